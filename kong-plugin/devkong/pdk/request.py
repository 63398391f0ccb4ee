"""kong.request: what the client sent."""

import json
from typing import Any
from urllib.parse import unquote_to_bytes

from devkong.exchange import DEFAULT_MOST_HEADERS, Exchange
from devkong.pdk.errors import Failure, PdkError
from devkong.pdk.values import from_json_like, number_between, string
from devkong.router.uri import normalize
from devkong.trusted_ips import is_trusted

_DEFAULT_MOST_ARGS = 100


def get_scheme(exchange: Exchange) -> bytes:
    """Return http: devkong has no TLS listener."""
    return exchange.scheme


def get_host(exchange: Exchange) -> bytes:
    """Return the host without its port."""
    return exchange.host


def get_port(exchange: Exchange) -> int:
    """Return the port that the client connected to."""
    return exchange.request.server_port


def get_forwarded_scheme(exchange: Exchange) -> bytes:
    """Return X-Forwarded-Proto of a trusted client, or the scheme."""
    return (_trusted(exchange, b"x-forwarded-proto") or exchange.scheme).lower()


def get_forwarded_host(exchange: Exchange) -> bytes:
    """Return X-Forwarded-Host of a trusted client, or the host."""
    host = _trusted(exchange, b"x-forwarded-host")
    if host is None:
        return exchange.host
    return host.rpartition(b"@")[2].partition(b":")[0].lower()


def get_forwarded_port(exchange: Exchange) -> int:
    """Return X-Forwarded-Port of a trusted client, or the port."""
    port = _trusted(exchange, b"x-forwarded-port") or b""
    return int(port) if port.isdigit() and 0 < int(port) < 65536 else get_port(exchange)


def get_forwarded_path(exchange: Exchange) -> bytes:
    """Return X-Forwarded-Path of a trusted client, or the path."""
    return _trusted(exchange, b"x-forwarded-path") or get_path(exchange)


def get_forwarded_prefix(exchange: Exchange) -> bytes | None:
    """Return X-Forwarded-Prefix of a trusted client, or what the route strips."""
    return _trusted(exchange, b"x-forwarded-prefix") or exchange.forwarded.get(
        b"X-Forwarded-Prefix"
    )


def get_http_version(exchange: Exchange) -> float:
    """Return 1.0 or 1.1."""
    return 1.1 if exchange.request.minor_version else 1.0


def get_method(exchange: Exchange) -> bytes:
    """Return the method."""
    return exchange.method


def get_path(exchange: Exchange) -> bytes:
    """Return the path in normal form."""
    return normalize(exchange.raw_path)


def get_raw_path(exchange: Exchange) -> bytes:
    """Return the path as it was sent."""
    return exchange.raw_path


def get_path_with_query(exchange: Exchange) -> bytes:
    """Return the request target."""
    return exchange.target


def get_raw_query(exchange: Exchange) -> bytes:
    """Return the query as it was sent, or as a plugin has set it."""
    return exchange.query


def get_query(exchange: Exchange, most: Any = None) -> dict[bytes, Any]:
    """Return the query's arguments: true for one without "=", a list for duplicates."""
    limit = _DEFAULT_MOST_ARGS if most is None else number_between(most, 1, 1000, "max_args")
    return decode_args(exchange.query, limit)


def get_query_arg(exchange: Exchange, name: Any) -> Any:
    """Return the first value of an argument."""
    value = get_query(exchange).get(string(name, "query argument name"))
    return value[0] if isinstance(value, list) else value


def get_header(exchange: Exchange, name: Any) -> bytes | None:
    """Return a header's first value."""
    return exchange.header(string(name, "header name"))


def get_headers(exchange: Exchange, most: Any = None) -> dict[bytes, bytes | list[bytes]]:
    """Return the headers by lower-case name, a list for duplicates; a hundred unless told."""
    limit = DEFAULT_MOST_HEADERS
    if most is not None:
        limit = number_between(most, 1, 1000, "max_headers")
    return exchange.headers.as_table(limit)


def get_raw_body(exchange: Exchange, most: Any = None) -> bytes | Failure:
    """Return the body, after it has been read.

    most: the largest size to read back from the temporary file, 0 for any; without it a body
    that is not in memory is a failure.
    """
    if exchange.body.in_memory:
        return exchange.body.whole()
    if most is None or most < 0:
        return Failure(
            b"request body did not fit into client body buffer, "
            b"consider raising 'client_body_buffer_size'"
        )
    size = exchange.body.length or 0
    if 0 < most < size:
        return Failure(b"request body file too big: %d > %d" % (size, most))
    return exchange.body.whole()


def get_body(exchange: Exchange, mime: Any = None, most: Any = None, file: Any = None) -> Any:
    """Return a form or a JSON object as a table."""
    content_type = mime or exchange.header(b"content-type")
    if not content_type:
        return Failure(b"missing content type")
    kind = content_type.partition(b";")[0].strip().lower()
    body = get_raw_body(exchange, file)
    if isinstance(body, Failure):
        return body
    if kind == b"application/json":
        try:
            value = json.loads(body)
        except ValueError:
            value = None
        if not isinstance(value, dict | list):
            return Failure(b"invalid json body", b"application/json")
        return from_json_like(value)
    if kind == b"application/x-www-form-urlencoded":
        return decode_args(body, most or _DEFAULT_MOST_ARGS)
    return Failure(b"unsupported content type '%s'" % content_type, kind)


def get_start_time(exchange: Exchange) -> float:
    """Return when the request came, in milliseconds since 1970."""
    return int(exchange.request.started * 1000)


def get_uri_captures(exchange: Exchange) -> dict[bytes, Any]:
    """Return what the route's regex captured."""
    captures = exchange.captures
    unnamed = [value for key, value in captures.items() if isinstance(key, int)]
    named = {key: value for key, value in captures.items() if isinstance(key, bytes)}
    return {b"unnamed": unnamed, b"named": named}


def decode_args(query: bytes, most: int) -> dict[bytes, Any]:
    """Decode a query as ngx.decode_args does. most: how many arguments are looked at."""
    table: dict[bytes, Any] = {}
    for part in [part for part in query.split(b"&") if part][:most]:
        name, equals, text = part.partition(b"=")
        key = unquote_to_bytes(name.replace(b"+", b" "))
        value: Any = unquote_to_bytes(text.replace(b"+", b" ")) if equals else True
        if not key:
            continue
        if key not in table:
            table[key] = value
        elif isinstance(table[key], list):
            table[key].append(value)
        else:
            table[key] = [table[key], value]
    return table


def encode_args(args: Any) -> bytes:
    """Encode a table as a query, arguments in order. Raises PdkError."""
    if not isinstance(args, dict) and args != []:
        raise PdkError("args must be a table")
    parts = []
    for name, value in (args or {}).items():
        if not isinstance(name, bytes):
            raise PdkError("arg keys must be strings")
        for one in value if isinstance(value, list) else [value]:
            parts.append(_encode_arg(name, one))
    return b"&".join(sorted(part for part in parts if part))


def _encode_arg(name: bytes, value: Any) -> bytes:
    if value is False:
        return b""
    if value is True:
        return _quote(name)
    return _quote(name) + b"=" + _quote(value if isinstance(value, bytes) else b"%.14g" % value)


def _quote(text: bytes) -> bytes:
    safe = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
    return b"".join(bytes([c]) if c in safe else b"%%%02X" % c for c in text)


def _trusted(exchange: Exchange, name: bytes) -> bytes | None:
    if not is_trusted(exchange.settings.trusted_ips, exchange.request.client_ip):
        return None
    return exchange.header(name)
