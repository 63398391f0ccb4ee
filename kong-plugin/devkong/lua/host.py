"""The functions that Lua calls in Python: the request, its answer, and some of nginx."""

import json
import logging
import time
from collections.abc import Callable
from typing import Any

from devkong.exchange import Exchange
from devkong.http.headers import Headers

_LEVELS = {
    b"debug": logging.DEBUG,
    b"info": logging.INFO,
    b"notice": logging.INFO,
    b"warn": logging.WARNING,
    b"err": logging.ERROR,
}
_log = logging.getLogger("devkong.plugin")


def get(exchange: Exchange, name: bytes) -> Any:
    """Return an attribute of the exchange."""
    return getattr(exchange, name.decode())


def request_header(exchange: Exchange, name: bytes) -> bytes | None:
    """Return a header's first value. nginx looks up $http_x_y, so X_Y matches X-Y too."""
    wanted = name.lower().replace(b"-", b"_")
    return next((v for key, _, v in exchange.headers if key.replace(b"-", b"_") == wanted), None)


def headers(exchange: Exchange, side: bytes, most: int) -> dict[bytes, Any]:
    """Return header values by lower-case name; several of one name are a list."""
    return _side(exchange, side).as_table(most)


def set_header(exchange: Exchange, side: bytes, name: bytes, lines: list[bytes]) -> None:
    """Replace all lines of a name."""
    if side == b"request":
        if name.lower() == b"host" and lines:
            exchange.upstream_host = lines[0]
        exchange.headers.set(name, map(_escaped, lines))
    elif name.lower() not in (b"transfer-encoding", b"transfer_encoding"):
        # OpenResty turns underscores into hyphens here, and nginx sets the answer's framing itself.
        exchange.answer.set(name.replace(b"_", b"-"), map(_escaped, lines))


def add_header(exchange: Exchange, side: bytes, name: bytes, lines: list[bytes]) -> None:
    """Add lines."""
    for line in lines:
        _side(exchange, side).add(name, _escaped(line))


def raw_body(exchange: Exchange, limit: int | None = None) -> Any:
    """Return the body, which has been read, or nil and the reason."""
    body = exchange.body
    if body.in_memory:
        return body.whole()
    if limit is None or limit < 0:
        return None, (
            b"request body did not fit into client body buffer, "
            b"consider raising 'client_body_buffer_size'"
        )
    if 0 < limit < (body.length or 0):
        return None, b"request body file too big: %d > %d" % (body.length or 0, limit)
    return body.whole()


def set_raw_body(exchange: Exchange, body: bytes) -> None:
    """Send another body to the upstream."""
    exchange.body.replace(body)


def set_status(exchange: Exchange, status: int) -> None:
    """Set the status of the answer."""
    exchange.status = status


def exit_with(exchange: Exchange, status: int, body: bytes) -> None:
    """Store a plugin's answer."""
    exchange.status, exchange.own_body, exchange.source = status, body, b"exit"


def error_page(exchange: Exchange, status: int, message: bytes | None = None) -> Any:
    """Return an error's content type and body, in the form that the client accepts."""
    accept = b",".join(exchange.headers.get_all(b"accept")) or None
    return exchange.error_pages.page(accept, status, message, exchange.id)


def route(exchange: Exchange) -> Any:
    """Return the route's record."""
    return exchange.route.table if exchange.route else None


def service(exchange: Exchange) -> Any:
    """Return the service's record."""
    return exchange.route.service.table if exchange.route and exchange.route.service else None


def variable(exchange: Exchange, name: bytes) -> Any:
    """Return an nginx variable; those that devkong does not have are nil."""
    return getattr(exchange, _VARIABLES.get(name, ""), None)


def set_upstream_scheme(exchange: Exchange, scheme: bytes) -> None:
    """Set $upstream_scheme: any but http and https makes the request fail."""
    exchange.upstream_scheme = scheme


def now(_exchange: Exchange) -> float:
    """Return seconds since 1970."""
    return time.time()


def log(exchange: Exchange, level: bytes, message: bytes) -> None:
    """Log a plugin's line."""
    words = message.decode("utf-8", "replace")
    client = exchange.client_ip.decode()
    _log.log(_LEVELS.get(level, logging.CRITICAL), "%s, client: %s", words, client)


def json_encode(_exchange: Exchange, value: Any) -> bytes:
    """Encode as lua-cjson does: an empty table is {}, bytes stay as they are."""
    encoded = json.dumps(_for_json(value), separators=(",", ":"), ensure_ascii=False)
    return encoded.encode("utf-8", "surrogateescape")


def json_decode(_exchange: Exchange, text: bytes) -> Any:
    """Decode JSON; nil for invalid JSON and for null."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _side(exchange: Exchange, side: bytes) -> Headers:
    return exchange.headers if side == b"request" else exchange.answer


def _escaped(line: bytes) -> bytes:
    # OpenResty escapes line breaks.
    return line.strip().replace(b"\r", b"%0D").replace(b"\n", b"%0A")


def _for_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return [_for_json(inner) for inner in value] if value else {}
    if isinstance(value, dict):
        return {_for_json(key): _for_json(inner) for key, inner in value.items()}
    return value


_VARIABLES = {
    b"kong_request_id": "id",
    b"upstream_host": "upstream_host",
    b"upstream_scheme": "upstream_scheme",
    b"upstream_uri": "upstream_path",
}

FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{
        function.__name__: function
        for function in (
            *(get, request_header, headers, set_header, add_header, raw_body, set_raw_body),
            *(set_status, error_page, route, service, variable),
            *(set_upstream_scheme, now, log, json_encode, json_decode),
        )
    },
    "exit": exit_with,
}
