"""kong.service and kong.service.request: what the upstream will get."""

from typing import Any

from devkong.exchange import Exchange
from devkong.pdk.errors import Failure, PdkError
from devkong.pdk.request import encode_args
from devkong.pdk.values import (
    cjson,
    header_lines,
    header_name,
    header_values,
    number_between,
    string,
)
from devkong.router.uri import escape

_METHODS = frozenset(
    b"GET HEAD PUT POST DELETE OPTIONS MKCOL COPY MOVE PROPFIND PROPPATCH LOCK UNLOCK PATCH "
    b"TRACE".split()
)


def set_target(exchange: Exchange, host: Any, port: Any) -> None:
    """Send the request to another host and port."""
    exchange.upstream_address = (
        string(host, "host").decode(),
        number_between(port, 0, 65535, "port"),
    )


def set_scheme(exchange: Exchange, scheme: Any) -> None:
    """Speak http or https to the upstream."""
    if string(scheme, "scheme") not in (b"http", b"https"):
        raise PdkError(f"invalid scheme: {scheme!r}")
    exchange.upstream_scheme = scheme


def set_path(exchange: Exchange, path: Any) -> None:
    """Ask for another path."""
    if not string(path, "path").startswith(b"/"):
        raise PdkError("path must start with /")
    exchange.upstream_path = escape(path)


def set_raw_query(exchange: Exchange, query: Any) -> None:
    """Set the query as it stands."""
    exchange.query = string(query, "query")


def set_query(exchange: Exchange, args: Any) -> None:
    """Set the query from a table."""
    exchange.query = encode_args(args)


def set_method(exchange: Exchange, method: Any) -> None:
    """Use another method."""
    if string(method, "method") not in _METHODS:
        raise PdkError(f"invalid method: {method!r}")
    exchange.method = method


def set_header(exchange: Exchange, name: Any, value: Any = None) -> None:
    """Set a header, whatever the client sent under its name."""
    _set(exchange, header_name(name), header_values(name, value))


def set_headers(exchange: Exchange, headers: Any) -> None:
    """Set several headers."""
    for name, values in header_lines(headers):
        _set(exchange, name, values)


def add_header(exchange: Exchange, name: Any, value: Any = None) -> None:
    """Add a line to a header."""
    lower = header_name(name).lower()
    _set(exchange, name, exchange.headers.get_all(lower) + header_values(name, value))


def clear_header(exchange: Exchange, name: Any) -> None:
    """Remove every line of a header."""
    exchange.headers.remove(string(name, "header"))


def set_raw_body(exchange: Exchange, body: Any) -> None:
    """Send another body, after the client's has been read."""
    exchange.body.replace(string(body, "body"))


def set_body(exchange: Exchange, args: Any, mime: Any = None) -> bool | Failure:
    """Send a table as a form or as JSON, after the client's body has been read."""
    content_type = mime or exchange.header(b"content-type")
    if not content_type:
        return Failure(
            b"content type was neither explicitly given as an argument or received as a header"
        )
    kind = content_type.partition(b";")[0].strip().lower()
    if kind == b"application/json":
        exchange.body.replace(cjson(args))
    elif kind == b"application/x-www-form-urlencoded":
        exchange.body.replace(encode_args(args))
    else:
        raise PdkError(f"unsupported content type {content_type!r}")
    exchange.headers.set(b"Content-Type", [content_type])
    return True


def _set(exchange: Exchange, name: bytes, values: list[bytes]) -> None:
    if name.lower() == b"host" and values:
        exchange.upstream_host = values[0]
    exchange.headers.set(name, values)
