"""Guest tokens: a fresh identity for anyone who asks, good for a while."""

import secrets
from dataclasses import dataclass

from jan_media.identity.signing_keys import SigningKeys


@dataclass(frozen=True, slots=True)
class GuestToken:
    """What a login answers with."""

    access_token: str  # a JWT
    expires_in: int  # seconds
    user_id: str  # the token's subject


class GuestLogin:
    """Issues guest tokens, each for a new user."""

    def __init__(self, keys: SigningKeys, issuer: str, audience: str, ttl: int) -> None:
        """``ttl`` is in seconds."""
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._ttl = ttl

    def issue(self, now: float) -> GuestToken:
        """A token valid from ``now`` (Unix seconds) for the configured time."""
        user_id = f"guest_{secrets.token_hex(16)}"
        issued_at = int(now)
        claims = {
            "iss": self._issuer,
            "sub": user_id,
            "aud": self._audience,
            "iat": issued_at,
            "nbf": issued_at,
            "exp": issued_at + self._ttl,
            "jti": secrets.token_urlsafe(16),
        }
        return GuestToken(self._keys.sign(claims), self._ttl, user_id)
