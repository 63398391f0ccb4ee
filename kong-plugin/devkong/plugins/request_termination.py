"""request-termination: answers every request itself."""

from collections.abc import Iterable
from typing import Any

from devkong.config.plugin_schema import PluginSchema
from devkong.exchange import Exchange
from devkong.pdk import response
from devkong.pdk.request import get_query

NAME = "request-termination"
PRIORITY = 2

_MESSAGES = {
    401: "Unauthorized",
    404: "Not found",
    405: "Method not allowed",
    500: "An unexpected error occurred",
    502: "Bad Gateway",
    503: "Service unavailable",
}


def _check(config: dict[str, Any]) -> Iterable[tuple[str, str]]:
    if config["message"] and (config["content_type"] or config["body"]):
        yield "message", "message cannot be used with content_type or body"
    if config["content_type"] and not config["body"]:
        yield "content_type", "content_type requires a body"
    if config["echo"]:
        yield "echo", "devkong does not echo requests"


SCHEMA = PluginSchema(
    [
        {
            "status_code": {
                "type": "integer",
                "required": True,
                "default": 503,
                "between": [100, 599],
            }
        },
        {"message": {"type": "string"}},
        {"content_type": {"type": "string"}},
        {"body": {"type": "string"}},
        {"echo": {"type": "boolean", "required": True, "default": False}},
        {"trigger": {"type": "string"}},
    ],
    _check,
)


def access(exchange: Exchange, config: dict[str, Any]) -> None:
    """Answer, if the request carries the trigger or none is set."""
    trigger = (config.get("trigger") or "").encode()
    if trigger:
        in_headers = exchange.headers.get(trigger.lower()) is not None
        if not in_headers and trigger not in get_query(exchange):
            return
    status = config["status_code"]
    if config.get("body") is not None:
        kind = config.get("content_type")
        headers = {b"Content-Type": kind.encode()} if kind else None
        response.exit(exchange, status, config["body"].encode(), headers)
    message = config.get("message") or _MESSAGES.get(status)
    response.exit(exchange, status, {b"message": message.encode()} if message else None)
