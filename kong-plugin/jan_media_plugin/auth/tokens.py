"""Bearer tokens: JWTs (RFC 7519) of the configured issuers, and of no others.

A token's `iss` selects the issuer, and only that issuer's keys and algorithms count. Fields of a
token's header that say where its key is (jku, x5u, jwk, x5c) are ignored.
"""

import base64
import hashlib
import json
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import jwt

from jan_media_plugin.answers import Refused, invalid_token
from jan_media_plugin.auth.caller import Caller, groups_of, is_subject
from jan_media_plugin.auth.jwks import Key, Keys
from jan_media_plugin.bounded_cache import BoundedCache
from jan_media_plugin.config import Issuer

_REMEMBERED_TOKENS = 20_000
_MOST_SECONDS = 300
_DEEPEST = 16
_MOST_SHOWN = 100
_NOT_SHOWN = re.compile(r"[^\w .:/@+~-]", re.ASCII)
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", re.ASCII)


class Tokens:
    """Checks tokens; remembers those that were good, by hash, until they expire or a limit."""

    def __init__(
        self,
        issuers: Sequence[Issuer],
        *,
        fresh: float,
        stale: float,
        timeout: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        """The times in seconds are those of `Keys`."""
        self._keys = {
            each.issuer: Keys(each, fresh=fresh, stale=stale, timeout=timeout) for each in issuers
        }
        self._now = now
        self._good: BoundedCache[bytes, Caller] = BoundedCache(_REMEMBERED_TOKENS)

    async def check(self, token: str) -> Caller:
        """Return the caller of ``token``. Raises `Refused`."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        known = self._good.get(digest)
        if known is not None:
            return known
        if not _COMPACT.fullmatch(token):
            raise invalid_token("The token is not a JWT in compact form.")
        header_part, claims_part, _ = token.split(".")
        header = _decoded(header_part)
        stated = _decoded(claims_part)
        name = stated.get("iss")
        keys = self._keys.get(name) if isinstance(name, str) else None
        if keys is None:
            raise invalid_token("The token's issuer is not accepted here.")
        issuer = keys.issuer
        # A NumericDate (RFC 7519, section 2): PyJWT would accept strings, too.
        dates = [stated[name] for name in ("exp", "nbf", "iat") if stated.get(name) is not None]
        if any(type(date) not in (int, float) for date in dates):
            raise invalid_token("The token's exp, nbf or iat is not a number.")
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in issuer.algorithms:
            raise invalid_token("The token's algorithm is not one that its issuer uses here.")
        if "crit" in header:
            raise invalid_token("The token demands an extension that is not supported.")
        if kid is not None and not isinstance(kid, str):
            raise invalid_token("The token's kid is not text.")
        caller, lifetime = self._verified(token, issuer, await keys.find(kid, algorithm))
        self._good.put(digest, caller, lifetime)
        return caller

    def _verified(self, token: str, issuer: Issuer, keys: list[Key]) -> tuple[Caller, float]:
        """Return the caller, and for how many seconds the token is valid."""
        refusal = invalid_token("The token is signed with a key that its issuer does not publish.")
        for key in keys:
            try:
                claims = jwt.decode(
                    token,
                    key.material,
                    algorithms=[key.algorithm],
                    issuer=issuer.issuer,
                    audience=issuer.audience or None,
                    leeway=issuer.leeway,
                    options={
                        "require": ["exp", "sub", "iss"],
                        "verify_aud": bool(issuer.audience),
                        "enforce_minimum_key_length": True,
                    },
                )
                expires_at = int(claims["exp"])
            except Exception as error:  # whatever it is, this token is not valid
                refusal = _refusal(error, token, issuer)
                if not isinstance(error, jwt.InvalidSignatureError):
                    break
            else:
                if not is_subject(claims["sub"]):
                    raise invalid_token("The token's sub cannot name a caller.")
                groups = groups_of(_claim(claims, issuer.groups_claim))
                now = int(self._now())
                lifetime = min(expires_at, now + _MOST_SECONDS) + issuer.leeway - now
                return Caller(claims["sub"], issuer.issuer, groups), min(lifetime, _MOST_SECONDS)
        raise refusal


def _decoded(part: str) -> dict[str, Any]:
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True)
        document = json.loads(data, object_pairs_hook=_without_duplicates)
        if isinstance(document, dict) and _depth(document) <= _DEEPEST:
            return document
    except (ValueError, RecursionError):  # base64's and Unicode's errors are ValueErrors
        pass
    raise invalid_token("The token is malformed.")


def _depth(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a name occurs twice")
    return document


def _claim(claims: dict[str, Any], name: str) -> object:
    if name in claims:
        return claims[name]
    value: object = claims
    for step in name.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


_MESSAGES: list[tuple[type[Exception], str, str]] = [
    (jwt.ExpiredSignatureError, "token_expired", "The token has expired. Get a new one."),
    (jwt.ImmatureSignatureError, "invalid_token", "The token is not valid yet."),
    (jwt.MissingRequiredClaimError, "invalid_token", "The token lacks a claim: exp, sub or aud."),
    (jwt.InvalidSignatureError, "invalid_token", "The token's signature is wrong."),
]


def _refusal(error: Exception, token: str, issuer: Issuer) -> Refused:
    if isinstance(error, jwt.InvalidAudienceError):
        meant = _decoded(token.split(".")[1]).get("aud")
        return invalid_token(
            f"The token is meant for the audience {_shown(meant)}, and not for "
            f"{_shown(list(issuer.audience))}. Have its issuer add that audience."
        )
    for kind, code, message in _MESSAGES:
        if isinstance(error, kind):
            return invalid_token(message, code)
    return invalid_token("The token is not acceptable.")


def _shown(audience: object) -> str:
    """Return audiences in a form that a message and a header may hold."""
    names = audience if isinstance(audience, list) else [audience]
    text = " or ".join(str(name)[:_MOST_SHOWN] for name in names[:5])
    return _NOT_SHOWN.sub("?", text)
