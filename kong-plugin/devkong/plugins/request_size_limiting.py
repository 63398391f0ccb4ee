"""request-size-limiting: refuses bodies that are too large."""

from typing import Any

from devkong.config.plugin_schema import PluginSchema
from devkong.exchange import Exchange
from devkong.pdk import response

NAME = "request-size-limiting"
PRIORITY = 951

_UNITS = {"megabytes": 1048576, "kilobytes": 1024, "bytes": 1}
SCHEMA = PluginSchema(
    [
        {"allowed_payload_size": {"type": "integer", "default": 128}},
        {
            "size_unit": {
                "type": "string",
                "required": True,
                "default": "megabytes",
                "one_of": list(_UNITS),
            }
        },
        {"require_content_length": {"type": "boolean", "required": True, "default": False}},
    ]
)


async def access(exchange: Exchange, config: dict[str, Any]) -> None:
    """Answer 413, 417 to a client that waits to be asked, or 411."""
    announced = exchange.request.length
    if announced is None:
        chunked = exchange.headers.get(b"transfer-encoding") is not None
        if config["require_content_length"] and not chunked:
            response.error(exchange, 411, b"A valid Content-Length header is required")
        await exchange.body.read_whole()
        announced = exchange.body.length or 0
    if announced > config["allowed_payload_size"] * _UNITS[config["size_unit"]]:
        expect = exchange.headers.get(b"expect") or b""
        status = 417 if expect.strip().lower() == b"100-continue" else 413
        response.error(exchange, status, b"Request size limit exceeded")
