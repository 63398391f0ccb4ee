"""Lua's values as Python's: strings are bytes, tables are lists or dicts with bytes keys."""

import json
from typing import Any

from devkong.pdk.errors import PdkError


def from_json_like(value: Any) -> Any:
    """Turn str into bytes, deeply."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, list | tuple):
        return [from_json_like(inner) for inner in value]
    if isinstance(value, dict):
        return {from_json_like(key): from_json_like(inner) for key, inner in value.items()}
    return value


def to_json_like(value: Any) -> Any:
    """Turn bytes into str, deeply; bytes that are no UTF-8 become surrogates."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return [to_json_like(inner) for inner in value]
    if isinstance(value, dict):
        return {to_json_like(key): to_json_like(inner) for key, inner in value.items()}
    return value


def cjson(value: Any) -> bytes:
    """Encode as lua-cjson does: slashes escaped, an empty table is {}, bytes as they are."""
    text = json.dumps(_for_cjson(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("/", "\\/").encode("utf-8", "surrogateescape")


def _for_cjson(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return [_for_cjson(inner) for inner in value] if value else {}
    if isinstance(value, dict):
        return {
            tostring(key).decode("utf-8", "surrogateescape"): _for_cjson(inner)
            for key, inner in value.items()
        }
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def tostring(value: Any) -> bytes:
    """Lua's tostring, for strings, numbers, booleans and nil."""
    if isinstance(value, bytes):
        return value
    if value is None:
        return b"nil"
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, int | float):
        return b"%.14g" % value
    return b"table" if isinstance(value, list | dict) else str(value).encode()


def type_name(value: Any) -> str:
    """Lua's type()."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if value is None:
        return "nil"
    return "string" if isinstance(value, bytes) else "table"


def string(value: Any, what: str) -> bytes:
    """Return a string argument. Raises PdkError."""
    if not isinstance(value, bytes):
        raise PdkError(f"{what} must be a string")
    return value


def number_between(value: Any, least: int, most: int, what: str) -> int:
    """Return a number argument. Raises PdkError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PdkError(f"{what} must be a number")
    if not least <= value <= most:
        raise PdkError(f"{what} must be a number between {least} and {most}")
    return int(value)


def header_lines(headers: Any) -> list[tuple[bytes, list[bytes]]]:
    """Check and normalise a map of headers. Raises PdkError."""
    if not isinstance(headers, dict):
        if headers == []:
            return []
        raise PdkError("headers must be a table")
    return [(header_name(name), header_values(name, value)) for name, value in headers.items()]


def header_name(name: Any) -> bytes:
    """Return a header's name. Raises PdkError."""
    if not isinstance(name, bytes):
        raise PdkError(f"invalid header name: got {type_name(name)}, expected string")
    return name


def header_values(name: bytes, value: Any) -> list[bytes]:
    """Return what a header is set to, one line for each. Raises PdkError."""
    values = value if isinstance(value, list) else [value]
    for one in values:
        if not isinstance(one, bytes | bool | int | float):
            raise PdkError(
                f"invalid value in header {name!r}: got {type_name(one)}, "
                "expected string, number, boolean or array of strings"
            )
    # OpenResty escapes what would start a new line
    return [tostring(one).strip().replace(b"\r", b"%0D").replace(b"\n", b"%0A") for one in values]
