"""cors: answers preflight requests, and tells browsers which origins may read answers."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from devkong.config.plugin_schema import PluginSchema
from devkong.exchange import Exchange
from devkong.pdk import response

NAME = "cors"
PRIORITY = 2000

_METHODS = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT"]
_STRINGS = {"type": "array", "elements": {"type": "string"}}
_OFF = {"type": "boolean", "required": True, "default": False}
_NOT_PLAIN = re.compile(rb"[^A-Za-z0-9.:/-]")
_SKIP = b"skip_response_headers"


def _check(config: dict[str, Any]) -> Iterable[tuple[str, str]]:
    for origin in config["origins"] or []:
        if origin != "*":
            try:
                re.compile(origin)
            except re.error:
                yield "origins", f"'{origin}' is not a valid regex"


SCHEMA = PluginSchema(
    [
        {"origins": _STRINGS},
        {"headers": _STRINGS},
        {"exposed_headers": _STRINGS},
        {
            "methods": {
                "type": "array",
                "default": _METHODS,
                "elements": {"type": "string", "one_of": _METHODS},
            }
        },
        {"max_age": {"type": "number"}},
        {"credentials": _OFF},
        {"private_network": _OFF},
        {"preflight_continue": _OFF},
    ],
    _check,
)


class _Origin(NamedTuple):
    domain: bytes
    host: bytes


def access(exchange: Exchange, config: dict[str, Any]) -> None:
    """Answer a preflight request."""
    if (
        exchange.method != b"OPTIONS"
        or not exchange.header(b"Origin")
        or not exchange.header(b"Access-Control-Request-Method")
    ):
        return
    exchange.own_ctx[_SKIP] = True
    if config["preflight_continue"]:
        return
    allow_all = _configure_origin(exchange, config, in_header_filter=False)
    _configure_credentials(exchange, config, allow_all, in_header_filter=False)
    asked = exchange.header(b"Access-Control-Request-Headers")
    if config.get("headers"):
        _set(exchange, b"Access-Control-Allow-Headers", ",".join(config["headers"]).encode())
    elif asked:
        _set(exchange, b"Access-Control-Allow-Headers", asked)
    _set(exchange, b"Access-Control-Allow-Methods", ",".join(config["methods"]).encode())
    if config.get("max_age") is not None:
        _set(exchange, b"Access-Control-Max-Age", config["max_age"])
    private = exchange.header(b"Access-Control-Request-Private-Network")
    if config["private_network"] and private == b"true":
        _set(exchange, b"Access-Control-Allow-Private-Network", b"true")
    response.exit(exchange, 200)


def header_filter(exchange: Exchange, config: dict[str, Any]) -> None:
    """Set the headers of any other answer."""
    if exchange.own_ctx.get(_SKIP):
        return
    allow_all = _configure_origin(exchange, config, in_header_filter=True)
    _configure_credentials(exchange, config, allow_all, in_header_filter=True)
    if config.get("exposed_headers"):
        exposed = ",".join(config["exposed_headers"]).encode()
        _set(exchange, b"Access-Control-Expose-Headers", exposed)


def _configure_origin(exchange: Exchange, config: dict[str, Any], in_header_filter: bool) -> bool:
    """Set Access-Control-Allow-Origin; say whether any origin is allowed."""
    origins = [origin.encode() for origin in config.get("origins") or []]
    if origins in ([], [b"*"]):
        _set(exchange, b"Access-Control-Allow-Origin", b"*")
        return True
    _vary(exchange, in_header_filter)
    if len(origins) == 1 and not _NOT_PLAIN.search(origins[0]):
        _set(exchange, b"Access-Control-Allow-Origin", origins[0])
        return False
    sent = exchange.header(b"origin")
    if sent:
        if b"*" in origins:
            _set(exchange, b"Access-Control-Allow-Origin", b"*")
            return True
        origin = _normalize(sent)
        if any(_accepts(allowed, origin) for allowed in origins):
            _set(exchange, b"Access-Control-Allow-Origin", origin.domain)
            return False
    response.clear_header(exchange, b"Access-Control-Allow-Origin")
    return False


def _configure_credentials(
    exchange: Exchange, config: dict[str, Any], allow_all: bool, in_header_filter: bool
) -> None:
    if not config["credentials"]:
        return
    if not allow_all:
        _set(exchange, b"Access-Control-Allow-Credentials", True)
        return
    sent = exchange.header(b"origin")
    if sent:
        _vary(exchange, in_header_filter)
        _set(exchange, b"Access-Control-Allow-Origin", sent)
        _set(exchange, b"Access-Control-Allow-Credentials", True)


def _accepts(allowed: bytes, origin: _Origin) -> bool:
    if not _NOT_PLAIN.search(allowed):
        return _normalize(allowed).domain == origin.domain
    subject = origin.domain if b":" in allowed else origin.host
    return re.match(allowed.removeprefix(b"^").removesuffix(b"$") + rb"\Z", subject) is not None


def _normalize(origin: bytes) -> _Origin:
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        return _Origin(origin, origin)
    usual = {b"http": 80, b"https": 443}.get(parts.scheme)
    tail = b"" if port is None or port == usual else b":%d" % port
    return _Origin((parts.scheme + b"://" if parts.scheme else b"") + host + tail, host)


def _vary(exchange: Exchange, in_header_filter: bool) -> None:
    if in_header_filter:
        response.add_header(exchange, b"vary", b"Origin")
    else:
        _set(exchange, b"vary", b"Origin")


def _set(exchange: Exchange, name: bytes, value: Any) -> None:
    response.set_header(exchange, name, value)
