"""The responses that refuse a request, in the format that every error has."""

import json
from dataclasses import dataclass, field

DECIDED = "X-Jan-Media-Decided"
"""Marks a response for jan-media-gate as jan-media's own. The gate removes the header."""
CHALLENGE = 'Bearer realm="jan"'
_TYPES = {401: "authentication_error", 413: "size_error"}


@dataclass(slots=True, eq=False)
class Refused(Exception):
    """The request ends here, with this response."""

    status: int
    code: str
    message: str
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def arguments(self) -> tuple[int, str, dict[str, str]]:
        """Return the arguments for ``kong.response.exit``.

        The body is text, since Kong would drop a null ``param`` from a map.
        """
        usual = "invalid_request_error" if self.status < 500 else "api_error"
        error = {
            "type": _TYPES.get(self.status, usual),
            "code": self.code,
            "message": self.message,
            "param": self.param,
        }
        headers = {"Content-Type": "application/json", DECIDED: "yes", **self.headers}
        return self.status, json.dumps({"error": error}), headers


def unauthenticated(message: str) -> Refused:
    """The request has no credential; ``message`` says what to send."""
    return Refused(401, "unauthenticated", message, headers={"WWW-Authenticate": CHALLENGE})


def invalid_token(message: str, code: str = "invalid_token") -> Refused:
    """A token or key was sent and is not accepted; ``message`` says why, without quoting it."""
    described = message.replace("…", "...")  # RFC 6750: ASCII, and no quotes
    challenge = f'{CHALLENGE}, error="invalid_token", error_description="{described}"'
    return Refused(401, code, message, headers={"WWW-Authenticate": challenge})


class Unavailable(Refused):
    """Something that the decision needs is unavailable. ``message`` says what."""

    def __init__(self, message: str) -> None:
        super().__init__(503, "service_unavailable", message, headers={"Retry-After": "1"})


def misconfigured(message: str) -> Refused:
    """The gateway's operator must change something before any request can pass."""
    return Refused(500, "gateway_misconfigured", message)


def invalid_request(code: str, message: str, param: str | None = None) -> Refused:
    """The request itself is wrong."""
    return Refused(400, code, message, param)


def too_large(message: str, param: str | None = None) -> Refused:
    """A body, or what it would become, is over a limit that ``message`` names."""
    return Refused(413, "max_size_exceeded", message, param)
