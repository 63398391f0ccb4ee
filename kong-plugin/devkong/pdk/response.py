"""kong.response: the answer to the client."""

from typing import Any, NoReturn

from devkong.error_page import message_of
from devkong.exchange import Exchange
from devkong.http.headers import Headers
from devkong.pdk.errors import PdkError, ResponseExit
from devkong.pdk.values import (
    cjson,
    header_lines,
    header_name,
    header_values,
    number_between,
    string,
)


def exit(exchange: Exchange, status: Any, body: Any = None, headers: Any = None) -> NoReturn:
    """Answer at once. Raises ResponseExit; PdkError for arguments that Kong refuses."""
    code = number_between(status, 100, 599, "code")
    lines = header_lines(headers) if headers is not None else []
    if body is not None and not isinstance(body, bytes | list | dict):
        raise PdkError("body must be a nil, string or table")
    _leave(exchange, code, body, lines)


def error(exchange: Exchange, status: Any, message: Any = None, headers: Any = None) -> NoReturn:
    """Answer an error at once, in the form that the client accepts. Raises as exit does."""
    code = number_between(status, 400, 599, "code")
    if isinstance(message, list | dict):
        message = cjson(message)
    if message is not None:
        string(message, "message")
    lines = header_lines(headers) if headers is not None else []
    accept = b",".join(exchange.headers.get_all(b"accept")) or None
    content_type, body = exchange.error_pages.page(accept, message or message_of(code), exchange.id)
    if not any(name.lower() == b"content-type" for name, _ in lines):
        lines.append((b"Content-Type", [content_type]))
    _leave(exchange, code, body, lines)


def set_status(exchange: Exchange, status: Any) -> None:
    """Set the status of the answer."""
    exchange.status = number_between(status, 100, 599, "code")


def set_header(exchange: Exchange, name: Any, value: Any = None) -> None:
    """Set a header of the answer."""
    _set(exchange, header_name(name), header_values(name, value))


def set_headers(exchange: Exchange, headers: Any) -> None:
    """Set several headers of the answer."""
    for name, values in header_lines(headers):
        _set(exchange, name, values)


def add_header(exchange: Exchange, name: Any, value: Any = None) -> None:
    """Add a line to a header of the answer."""
    for one in header_values(header_name(name), value):
        exchange.answer.add(name, one)


def clear_header(exchange: Exchange, name: Any) -> None:
    """Remove a header of the answer."""
    exchange.answer.remove(string(name, "header name"))


def get_status(exchange: Exchange) -> int:
    """Return the status of the answer."""
    return exchange.status


def get_header(exchange: Exchange, name: Any) -> bytes | None:
    """Return the first value of a header of the answer."""
    return exchange.answer.get(string(name, "header name").lower().replace(b"_", b"-"))


def get_headers(exchange: Exchange, most: Any = None) -> dict[bytes, bytes | list[bytes]]:
    """Return the headers of the answer."""
    limit = 100 if most is None else number_between(most, 1, 1000, "max_headers")
    return exchange.answer.as_table(limit)


def get_source(exchange: Exchange) -> bytes:
    """Say where the answer comes from: service, exit or error."""
    return exchange.source


def _leave(
    exchange: Exchange, status: int, body: Any, lines: list[tuple[bytes, list[bytes]]]
) -> NoReturn:
    exchange.source = b"exit"
    headers = Headers()
    for name, values in lines:
        # nginx frames the answer itself
        if name.lower() not in (b"transfer-encoding", b"transfer_encoding"):
            headers.set(name.replace(b"_", b"-"), values)
    if isinstance(body, list | dict):
        body = cjson(body)
        if headers.get(b"content-type") is None:
            headers.set(b"Content-Type", [b"application/json; charset=utf-8"])
    raise ResponseExit(status, body or b"", headers)


def _set(exchange: Exchange, name: bytes, values: list[bytes]) -> None:
    # OpenResty turns underscores into hyphens in the answer's headers
    if name.lower() not in (b"transfer-encoding", b"transfer_encoding"):
        exchange.answer.set(name.replace(b"_", b"-"), values)
