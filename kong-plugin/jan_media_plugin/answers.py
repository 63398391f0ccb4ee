"""The answers that refuse a request, in the one shape that every error has."""

import json
from dataclasses import dataclass, field

RETRY_AFTER_SECONDS = 1
DECIDED = "X-Jan-Media-Decided"
"""Tells jan-media-gate that an answer is jan-media's own. The gate takes it away."""
_CHALLENGE = 'Bearer realm="jan"'


@dataclass(slots=True, eq=False)
class Refused(Exception):
    """The request ends here, with this answer."""

    status: int
    type: str
    code: str
    message: str
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def arguments(self) -> tuple[int, str, dict[str, str]]:
        """Return what ``kong.response.exit`` takes.

        The body is text and not a map, from which Kong would drop a null ``param``.
        """
        error = {
            "type": self.type,
            "code": self.code,
            "message": self.message,
            "param": self.param,
        }
        headers = {"Content-Type": "application/json", DECIDED: "yes", **self.headers}
        return self.status, json.dumps({"error": error}), headers


def no_credentials() -> Refused:
    """Nothing says who is calling."""
    return Refused(
        401,
        "authentication_error",
        "unauthenticated",
        "Send a token: Authorization: Bearer <token>.",
        headers={"WWW-Authenticate": _CHALLENGE},
    )


def no_consumer() -> Refused:
    """No plugin of Kong's has said who is calling, on a route that takes its word."""
    return Refused(
        401,
        "authentication_error",
        "unauthenticated",
        "Send the credential that this gateway asks for, such as an API key in the header apikey.",
        headers={"WWW-Authenticate": _CHALLENGE},
    )


def invalid_token(message: str, code: str = "invalid_token") -> Refused:
    """A token or key was sent and does not count; ``message`` says why and quotes none of it."""
    described = message.replace("…", "...")  # RFC 6750: ASCII, and no quotes
    challenge = f'{_CHALLENGE}, error="invalid_token", error_description="{described}"'
    return Refused(
        401, "authentication_error", code, message, headers={"WWW-Authenticate": challenge}
    )


def ambiguous_credentials(message: str) -> Refused:
    """More than one thing says who is calling (RFC 6750: invalid_request)."""
    challenge = f'{_CHALLENGE}, error="invalid_request"'
    return Refused(
        400,
        "invalid_request_error",
        "ambiguous_credentials",
        message,
        headers={"WWW-Authenticate": challenge},
    )


def unavailable(message: str) -> Refused:
    """Something that the decision needs is away."""
    return Refused(
        503,
        "api_error",
        "service_unavailable",
        message,
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


def misconfigured(message: str) -> Refused:
    """The gateway's operator has to change something before any request passes."""
    return Refused(500, "api_error", "gateway_misconfigured", message)


def invalid_request(code: str, message: str, param: str | None = None) -> Refused:
    """The request itself is wrong."""
    return Refused(400, "invalid_request_error", code, message, param)


def too_large(message: str, param: str | None = None) -> Refused:
    """A body, or what it would become, is over a limit that ``message`` names."""
    return Refused(413, "size_error", "max_size_exceeded", message, param)


def headers_too_large(size: int, limit: int) -> Refused:
    """The header lines are over a limit, in bytes."""
    message = f"The headers have {size} bytes. The most that is accepted is {limit}."
    return Refused(431, "invalid_request_error", "headers_too_large", message)


def too_many_headers(limit: int) -> Refused:
    """There may be headers that nobody has looked at."""
    message = f"Send fewer than {limit} header lines."
    return Refused(431, "invalid_request_error", "too_many_headers", message)
