"""Kong's error bodies: a message and the request id, in the form that the client accepts."""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

_MIME = {
    "json": b"application/json; charset=utf-8",
    "html": b"text/html; charset=utf-8",
    "plain": b"text/plain; charset=utf-8",
    "xml": b"application/xml; charset=utf-8",
}
_BY_TYPE = {
    b"application/json": "json",
    b"text/html": "html",
    b"application/xml": "xml",
    b"text/plain": "plain",
    b"application/*": "json",
    b"text/*": "plain",
}
_TEMPLATES = {
    "json": '{\n  "message":"%s",\n  "request_id":"%s"\n}',
    "html": (
        '<!doctype html>\n<html>\n  <head>\n    <meta charset="utf-8">\n    <title>Error</title>\n'
        "  </head>\n  <body>\n    <h1>Error</h1>\n    <p>%s.</p>\n    <p>request_id: %s</p>\n"
        "  </body>\n</html>\n"
    ),
    "plain": "%s\nrequest_id: %s\n",
    "xml": (
        '<?xml version="1.0" encoding="UTF-8"?>\n<error>\n  <message>%s</message>\n'
        "  <requestid>%s</requestid>\n</error>\n"
    ),
}
_ACCEPTED = re.compile(
    rb"((?:[a-z0-9][a-z0-9!#$&^_+.-]+|\*)/(?:[a-z0-9][a-z0-9!#$&^_+.-]+|\*))"
    rb"((?:\s*;[^;]*)*)\Z",
    re.IGNORECASE,
)
_QUALITY = re.compile(rb"\s*;\s*q\s*=\s*([01](?:\.\d{0,3})?)", re.IGNORECASE)

# What a plugin's kong.response.error says when it is given no message.
_SAYS_OTHERWISE = {
    418: "I'm a teapot",
    413: "Payload too large",
    414: "URI too long",
    416: "Range not satisfiable",
    424: "Failed dependency",
    494: "Request header or cookie too large",
    500: "An unexpected error occurred",
    502: "An invalid response was received from the upstream server",
    503: "The upstream server is currently unavailable",
    504: "The upstream server is timing out",
    505: "HTTP version not supported",
}


class ErrorPages:
    """Kong's templates, or the operator's (KONG_ERROR_TEMPLATE_JSON and so on)."""

    def __init__(self, templates: Mapping[str, Path]) -> None:
        self._templates = {
            **_TEMPLATES,
            **{kind: path.read_text(encoding="utf-8") for kind, path in templates.items()},
        }

    def page(self, accept: bytes | None, message: bytes, request_id: str) -> tuple[bytes, bytes]:
        """Return the content type and the body."""
        kind = _kind(accept)
        template = self._templates[kind].encode()
        return _MIME[kind], _fill(template, message, request_id.encode())


def message_of(status: int) -> bytes:
    """Return what Kong says about a status."""
    if status in _SAYS_OTHERWISE:
        return _SAYS_OTHERWISE[status].encode()
    try:
        return HTTPStatus(status).phrase.capitalize().encode()
    except ValueError:
        return b"The upstream server responded with %d" % status


def json_message(message: str) -> bytes:
    """Return the body that kong.response.exit makes of { message = ... }."""
    return json.dumps({"message": message}, separators=(",", ":")).encode()


def _fill(template: bytes, *values: bytes) -> bytes:
    # Lua's string.format, for %s and %% alone
    parts = re.split(rb"(%s|%%)", template)
    left = list(values)
    return b"".join(
        left.pop(0) if part == b"%s" and left else b"%" if part == b"%%" else part for part in parts
    )


def _kind(accept: bytes | None) -> str:
    best, kind = 0.0, "json"
    for value in (accept or b"").split(b","):
        match = _ACCEPTED.match(value.strip())
        if not match:
            continue
        quality = _QUALITY.search(match[2])
        weight = float(quality[1]) if quality else 1.0
        if weight > best:
            best, kind = weight, _BY_TYPE.get(match[1], "json")
    return kind
