"""Guest tokens: a fresh identity for anyone who asks, good for a while."""

import secrets
from typing import Any

from jan_media.identity.signing_keys import SigningKeys


def guest_token(
    keys: SigningKeys, *, issuer: str, audience: str, ttl: int, now: float
) -> dict[str, Any]:
    """What a login answers with: a JWT for a new user, good for ``ttl`` seconds from ``now`` (Unix
    seconds) on."""
    user_id = f"guest_{secrets.token_hex(16)}"
    issued_at = int(now)
    claims = {
        "iss": issuer,
        "sub": user_id,
        "aud": audience,
        "iat": issued_at,
        "nbf": issued_at,
        "exp": issued_at + ttl,
        "jti": secrets.token_urlsafe(16),
    }
    return {
        "access_token": keys.sign(claims),
        "expires_in": ttl,
        "user_id": user_id,
        "token_type": "Bearer",
    }
