"""Kong's error bodies: a message and the request id, in the form that the client accepts."""

import re
from http import HTTPStatus
from pathlib import Path

_MIME = {
    "json": b"application/json; charset=utf-8",
    "html": b"text/html; charset=utf-8",
    "plain": b"text/plain; charset=utf-8",
    "xml": b"application/xml; charset=utf-8",
}
_BY_TYPE = {"text/html": "html", "application/xml": "xml", "text/plain": "plain", "text/*": "plain"}
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
_QUALITY = re.compile(r";\s*q\s*=\s*([01](?:\.\d{0,3})?)", re.IGNORECASE)

# Statuses for which Kong does not use HTTP's phrase.
_MESSAGES = {
    413: "Payload too large",
    414: "URI too long",
    494: "Request header or cookie too large",
    500: "An unexpected error occurred",
    502: "An invalid response was received from the upstream server",
    503: "The upstream server is currently unavailable",
    504: "The upstream server is timing out",
}


class ErrorPages:
    """Kong's templates, with the operator's for JSON (KONG_ERROR_TEMPLATE_JSON) if there is one."""

    def __init__(self, json_template: Path | None) -> None:
        self._templates = dict(_TEMPLATES)
        if json_template:
            self._templates["json"] = json_template.read_text(encoding="utf-8")

    def page(
        self, accept: bytes | None, status: int, message: bytes | None, request_id: str
    ) -> tuple[bytes, bytes]:
        """Return the content type and the body. message: None for Kong's message of the status."""
        kind = _kind(accept)
        said = message or _message_of(status).encode()
        return _MIME[kind], _fill(self._templates[kind].encode(), said, request_id.encode())


def _message_of(status: int) -> str:
    if status in _MESSAGES:
        return _MESSAGES[status]
    try:
        return HTTPStatus(status).phrase.capitalize()
    except ValueError:
        return f"The upstream server responded with {status}"


def _fill(template: bytes, *values: bytes) -> bytes:
    # Lua's string.format, but only %s and %%
    left = list(values)
    return b"".join(
        left.pop(0) if part == b"%s" and left else b"%" if part == b"%%" else part
        for part in re.split(rb"(%s|%%)", template)
    )


def _kind(accept: bytes | None) -> str:
    best, kind = 0.0, "json"
    for value in (accept or b"").decode("latin-1").split(","):
        media_type, _, parameters = value.partition(";")
        quality = _QUALITY.search(f";{parameters}")
        weight = float(quality[1]) if quality else 1.0
        if "/" in media_type and weight > best:
            best, kind = weight, _BY_TYPE.get(media_type.strip(), "json")
    return kind
