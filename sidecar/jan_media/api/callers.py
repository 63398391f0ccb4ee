"""Who is calling: the identity that the gateway vouches for.

The gateway removes these headers from clients' requests and sets its own. The gateway's secret
proves who set them. Without a secret, only this machine can reach the listener.
"""

import functools
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from jan_media.api.errors import error_response
from jan_media.api.routes import sidecar_of
from jan_media.errors import Refused
from jan_media.log import about
from jan_media.settings import Address
from jan_media.sidecar import Sidecar

LONGEST_USER_ID = 256  # characters
LONGEST_IDENTITY = 1024  # bytes of UTF-8: an index of the catalog holds it
USER_HEADER = "x-jan-user-id"
ISSUER_HEADER = "x-jan-issuer"
SECRET_HEADER = "x-jan-gateway-secret"  # noqa: S105  the name of a header


def owner_of(request: Request, fields: Mapping[str, Any] | None = None) -> str:
    """The owner that the catalog knows the caller by: issuer and subject, joined by ``|``.

    Without a gateway (no secret, so only this machine can reach the listener) the request names the
    owner itself: by ``user_id``, in the ``fields`` of its body or in its query.
    Raises `Refused` (``unauthenticated``, and ``invalid_field`` for an invalid name).
    """
    named = _user_id(fields or {})
    vouched = vouched_for(request)
    if vouched:
        return vouched
    if not sidecar_of(request).gateway_secret.configured:
        owner = f"local|{named or _user_id(request.query_params) or 'anonymous'}"
        if len(owner.encode()) > LONGEST_IDENTITY:
            raise Refused(
                "invalid_field",
                "The user's name is too long: with its issuer it may have "
                f"{LONGEST_IDENTITY} bytes of UTF-8",
                "user_id",
            )
        return owner
    raise Refused("unauthenticated", "Call through the gateway, with a token or an API key")


def _user_id(fields: Mapping[str, Any]) -> str:
    """The ``user_id`` that the request names, "" if none. Raises `Refused` if it is invalid."""
    value = fields.get("user_id")
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > LONGEST_USER_ID or not value.isprintable():
        raise Refused(
            "invalid_field",
            f"user_id must be a string of at most {LONGEST_USER_ID} printable characters",
            "user_id",
        )
    return value


def vouched_for(request: Request) -> str:
    """The owner that the gateway's headers name, "" if none. Later log lines name it too.

    The gateway writes UTF-8, and Starlette reads every header as Latin-1. The plugin limits issuer
    and subject, so that no caller it accepts is refused here. Raises `Refused`.
    """
    subject = request.headers.get(USER_HEADER, "")
    if not subject:
        return ""
    encoded = f"{request.headers.get(ISSUER_HEADER, '')}|{subject}".encode("latin-1")
    if len(encoded) > LONGEST_IDENTITY:
        raise Refused("unauthenticated", f"The caller's identity has over {LONGEST_IDENTITY} bytes")
    try:
        owner = encoded.decode()
    except UnicodeDecodeError:
        raise Refused("unauthenticated", "The caller's identity is not UTF-8") from None
    known = about.get()
    if known is not None:
        known.caller = owner
    return owner


def client_address(request: Request) -> str:
    """The client's address: from the header that the gateway always sets, or the peer's own.

    Use it for limits, not for permissions: a client that bypasses the gateway can choose it.
    """
    peer = request.client.host if request.client else ""
    return request.headers.get("x-real-ip", "").strip() or peer


def guarded(app: ASGIApp, sidecar: Sidecar, address: Address, below: str) -> ASGIApp:
    """Wrap the app of a listener at ``address``: paths ``below`` this are for the gateway alone.

    Without a secret only this machine can reach the listener, and its programs are trusted. Web
    pages in its browsers are not: a page could point its own host name at this machine (DNS
    rebinding) and read everything. So a request must call this machine by a name of its own.
    A Unix socket needs no such check: browsers cannot connect to it.
    """
    secret = sidecar.gateway_secret
    if secret.configured:
        message = "This service is reached through the gateway only"
    elif address.path:
        return app
    else:
        message = (
            "Call this service as localhost or 127.0.0.1; for other names set MEDIA_GATEWAY_SECRET"
        )

    def admits(headers: Headers) -> bool:
        if secret.configured:
            # In UTF-8; Starlette reads every header as Latin-1.
            shown = headers.get(SECRET_HEADER, "").encode("latin-1")
            return secret.admits(shown.decode("utf-8", "surrogateescape"))
        return all(map(_names_this_machine, headers.getlist("host")))

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        concerned = scope["type"] == "http" and scope["path"].startswith(below)
        refused = concerned and not admits(Headers(scope=scope))
        taken = error_response("gateway_secret_required", message) if refused else app
        await taken(scope, receive, send)

    return guard


@functools.lru_cache(64)
def _names_this_machine(host: str) -> bool:
    try:
        name = urlsplit("//" + host).hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
