"""Guest tokens, and the keys to check them with."""

import math
import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jan_media.api.callers import client_address
from jan_media.api.errors import error_response
from jan_media.api.routes import sidecar_of
from jan_media.identity.signing_keys import guest_token


async def guest_login(request: Request) -> Response:
    """A token for a new guest. The request's body is ignored."""
    sidecar = sidecar_of(request)
    if not sidecar.settings.guest_login:
        return error_response("not_found", "Guest login is switched off here")
    wait = sidecar.login_limit.wait(client_address(request), time.monotonic())
    if wait > 0:
        return error_response(
            "too_many_requests",
            "Too many guest logins from this address: keep the token that you have, or wait",
            headers={"Retry-After": str(math.ceil(wait))},
        )
    answer = guest_token(
        sidecar.signing_keys,
        issuer=sidecar.settings.issuer,
        audience=sidecar.settings.audience,
        ttl=sidecar.settings.guest_token_ttl,
        now=time.time(),
    )
    return JSONResponse(answer, 201, {"Cache-Control": "no-store"})


async def jwks(request: Request) -> Response:
    """The public keys that guest tokens are signed with (RFC 7517)."""
    keys = sidecar_of(request).signing_keys.jwks()
    return JSONResponse(keys, headers={"Cache-Control": "public, max-age=300"})
