"""A small provider of OpenID Connect, as strict about a public client as a good one is.

The authorization code flow with PKCE (S256 alone), exact redirect addresses, codes for one use, and
refresh tokens that change with each use. `Provider.lies` has it answer as an attacker would.
"""

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from demo.addresses import url
from tests.support.waiting import wait_until

CLIENT = "console"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Provider:
    """What it is and was asked. A test may change it while it runs."""

    issuer: str
    redirect_uri: str
    audience: str
    lives: int = 3600  # seconds that an access token lives, as the client is told
    refreshes: bool = True  # whether refresh tokens are taken
    lies: dict[str, str] = field(default_factory=dict)  # state, iss, nonce: in the answers' place
    asked: list[dict[str, str]] = field(default_factory=list)  # at the authorization endpoint
    granted: list[str] = field(default_factory=list)  # the grant of each token that was given
    ended: list[dict[str, str]] = field(default_factory=list)  # what came to the way out
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _refresh: str = ""

    def app(self) -> Starlette:
        """The provider's pages. Scripts of the client's site may read those that are for them."""
        origin = self.redirect_uri.rsplit("/console/", 1)[0]
        cors = Middleware(CORSMiddleware, allow_origins=[origin], allow_headers=["*"])
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._described),
                Route("/keys", self._keys),
                Route("/authorize", self._authorize),
                Route("/agreed", self._agreed),
                Route("/token", self._token, methods=["POST"]),
                Route("/end", self._end),
            ],
            middleware=[cors],
        )

    async def _described(self, request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "end_session_endpoint": f"{self.issuer}/end",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def _keys(self, request: Request) -> Response:
        key = jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
        return JSONResponse({"keys": [{**key, "kid": "one", "use": "sig", "alg": "RS256"}]})

    async def _authorize(self, request: Request) -> Response:
        """Where people say who they are: with one button, or another to refuse."""
        asked = dict(request.query_params)
        self.asked.append(asked)
        right = {
            "client_id": CLIENT,
            "redirect_uri": self.redirect_uri,
            "response_type": "code",
            "code_challenge_method": "S256",
        }
        if any(asked.get(name) != value for name, value in right.items()):
            return HTMLResponse("This is no request of a client that is known here.", 400)
        query = urlencode({"state": asked["state"], "request": len(self.asked) - 1})
        return HTMLResponse(
            f'<a href="{self.issuer}/agreed?{query}">I am Ada</a> '
            f'<a href="{self.issuer}/agreed?{query}&error=access_denied">No</a>'
        )

    async def _agreed(self, request: Request) -> Response:
        asked = self.asked[int(request.query_params["request"])]
        answer = {"state": asked["state"], "iss": self.issuer} | self.lies
        answer.pop("nonce", None)
        if "error" in request.query_params:
            answer["error"] = request.query_params["error"]
        else:
            answer["code"] = secrets.token_urlsafe()
            self._codes[answer["code"]] = asked
        return RedirectResponse(f"{self.redirect_uri}?{urlencode(answer)}")

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        kind = form["grant_type"]
        nonce = {}
        if kind == "authorization_code":
            asked = self._codes.pop(form["code"], None)
            hashed = hashlib.sha256(form["code_verifier"].encode()).digest()
            challenge = base64.urlsafe_b64encode(hashed).rstrip(b"=").decode()
            good = (
                asked is not None
                and challenge == asked["code_challenge"]
                and form["redirect_uri"] == self.redirect_uri
            )
            nonce = {"nonce": self.lies.get("nonce", asked["nonce"])} if asked else {}
        else:
            good = self.refreshes and form["refresh_token"] == self._refresh
        if not good or form["client_id"] != CLIENT:
            return JSONResponse({"error": "invalid_grant"}, 400)
        self.granted.append(kind)
        self._refresh = secrets.token_urlsafe()
        return JSONResponse(
            {
                "access_token": self.token(),
                "token_type": "Bearer",
                "expires_in": self.lives,
                "refresh_token": self._refresh,
                "id_token": self._signed(aud=CLIENT, name="Ada <b>Lovelace</b>", **nonce),
            },
            headers={"Cache-Control": "no-store"},
        )

    async def _end(self, request: Request) -> Response:
        self.ended.append(dict(request.query_params))
        return RedirectResponse(self.redirect_uri)

    def token(self) -> str:
        """An access token for the gateway."""
        return self._signed(aud=self.audience, jti=secrets.token_hex(8))

    def _signed(self, **claims: Any) -> str:
        now = int(time.time())
        usual = {"iss": self.issuer, "sub": "ada", "iat": now, "exp": now + 3600}
        return jwt.encode(usual | claims, KEY, "RS256", headers={"kid": "one"})


@contextmanager
def running(port: int, redirect_uri: str, audience: str) -> Iterator[Provider]:
    """A provider at ``port`` of this machine, for a client at ``redirect_uri`` alone."""
    provider = Provider(url(port), redirect_uri, audience)
    server = uvicorn.Server(uvicorn.Config(provider.app(), port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield provider
    finally:
        server.should_exit = True
        thread.join()
