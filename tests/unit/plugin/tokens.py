"""Keys and tokens of issuers, good and forged."""

import base64
import json
import time
from datetime import timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER = "https://issuer.example"
EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)


def public_jwk(key: Any, kid: str | None = "k1", **more: Any) -> dict[str, Any]:
    """The public half of ``key`` as an issuer publishes it."""
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    jwk = algorithm.to_jwk(key.public_key(), as_dict=True)
    named = {} if kid is None else {"kid": kid}
    return {**jwk, **named, **more}


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims, with ``changes``: None leaves a claim out, a timedelta counts from now."""
    now = int(time.time())
    for name, value in changes.items():
        if isinstance(value, timedelta):
            changes[name] = now + int(value.total_seconds())
    good = {"iss": ISSUER, "sub": "alice", "aud": "jan", "iat": now, "exp": now + 600}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def token(
    key: Any = EC_KEY,
    algorithm: str = "ES256",
    header: dict[str, Any] | None = None,
    **changes: Any,
) -> str:
    """A token, signed."""
    named = {"kid": "k1", **(header or {})}
    named = {name: value for name, value in named.items() if value is not None}
    return jwt.encode(claims(**changes), key, algorithm, headers=named)


def part(data: bytes) -> str:
    """One part of a token in compact form."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw_token(header: bytes | dict[str, Any], body: bytes | dict[str, Any], signature: str) -> str:
    """A token made by hand."""
    parts = (one if isinstance(one, bytes) else json.dumps(one).encode() for one in (header, body))
    return ".".join([*map(part, parts), signature])
