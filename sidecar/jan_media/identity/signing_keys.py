"""Guest tokens, and the keys that sign them: ES256, published as a JWKS.

Rotation without an outage: make a new key current and give the old one as the previous one; both
are published, so tokens that the old one signed stay valid until they expire.
"""

import base64
import hashlib
import json
import secrets
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from jan_media.identity.kept_secret import kept_secret

ALGORITHM = "ES256"
KEY_FILE = "guest-signing-key.pem"


class SigningKeys:
    """The current private key, and the public half of the one before it."""

    def __init__(self, current: str, previous: str = "") -> None:
        """Takes PEM: a P-256 private key, and a private or public one before it if there was one.

        Raises `ValueError`, whose message never holds key material.
        """
        self._current = _private_key(current)
        self._published = [_jwk(self._current.public_key())]
        if previous.strip() and (before := _jwk(_public_key(previous))) not in self._published:
            self._published.append(before)

    @property
    def kid(self) -> str:
        """The current key's id: its RFC 7638 thumbprint."""
        return str(self._published[0]["kid"])

    def jwks(self) -> dict[str, Any]:
        """The public keys as RFC 7517 has it, the current one first."""
        return {"keys": [dict(key) for key in self._published]}

    def sign(self, claims: dict[str, Any]) -> str:
        """A JWT of ``claims``, signed with the current key."""
        return jwt.encode(claims, self._current, algorithm=ALGORITHM, headers={"kid": self.kid})


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


def kept_key(folder: Path) -> str:
    """The PEM of the private key in ``folder``, as `kept_secret` makes and keeps it."""
    return kept_secret(folder / KEY_FILE, _new_private_key_pem).decode("ascii", "replace")


def _new_private_key_pem() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _private_key(pem: str) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        raise ValueError("The signing key is not an unencrypted private key in PEM.") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("The signing key must be an elliptic curve key on P-256 (for ES256).")
    return key


def _public_key(pem: str) -> ec.EllipticCurvePublicKey:
    if "PRIVATE KEY" in pem:
        return _private_key(pem).public_key()
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except ValueError:
        raise ValueError("The previous signing key is not a key in PEM.") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("The previous signing key must be an elliptic curve key on P-256.")
    return key


def _jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    members = ECAlgorithm.to_jwk(key, as_dict=True)
    # RFC 7638: SHA-256 over the required members in lexicographic order, without white space.
    canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
    kid = base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
    return {**members, "kid": kid, "alg": ALGORITHM, "use": "sig"}
