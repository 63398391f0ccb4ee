"""correlation-id: a request id in a header, for the upstream and, if asked, for the client."""

import itertools
import os
import time
import uuid
from typing import Any

from devkong.config.plugin_schema import PluginSchema
from devkong.exchange import Exchange
from devkong.pdk import response, service_request

NAME = "correlation-id"
PRIORITY = 100001
SCHEMA = PluginSchema(
    [
        {"header_name": {"type": "string", "default": "Kong-Request-ID"}},
        {
            "generator": {
                "type": "string",
                "default": "uuid#counter",
                "required": True,
                "one_of": ["uuid", "uuid#counter", "tracker"],
            }
        },
        {"echo_downstream": {"type": "boolean", "required": True, "default": False}},
    ]
)

_PROCESS = uuid.uuid4()
_counter = itertools.count(1)


def access(exchange: Exchange, config: dict[str, Any]) -> None:
    """Set the header unless the client has."""
    name = config["header_name"].encode()
    value = exchange.header(name)
    if not value:
        value = _generate(exchange, config["generator"])
        service_request.set_header(exchange, name, value)
    if config["echo_downstream"]:
        exchange.own_ctx[b"correlation_id"] = value


def header_filter(exchange: Exchange, config: dict[str, Any]) -> None:
    """Echo the id."""
    if not config["echo_downstream"]:
        return
    name = config["header_name"].encode()
    value = exchange.own_ctx.get(b"correlation_id") or exchange.header(name)
    response.set_header(exchange, name, value or _generate(exchange, config["generator"]))


def _generate(exchange: Exchange, generator: str) -> bytes:
    if generator == "uuid":
        return str(uuid.uuid4()).encode()
    if generator == "uuid#counter":
        return f"{_PROCESS}#{next(_counter)}".encode()
    request = exchange.request
    return (
        f"{request.server_ip}-{request.server_port}-{os.getpid()}-{request.client_port}-1-"
        f"{time.time():.3f}"
    ).encode()
