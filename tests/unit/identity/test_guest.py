"""Guest tokens."""

from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jan_media.identity.signing_keys import SigningKeys, guest_token

NOW = 1_700_000_000.75
KEYS = SigningKeys(
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)


def log_in(ttl: int = 60) -> dict[str, Any]:
    return guest_token(KEYS, issuer="http://x/llm", audience="jan", ttl=ttl, now=NOW)


def claims(answer: dict[str, Any]) -> dict[str, Any]:
    """What an answer's token claims, its signature checked (its times are left to the tests)."""
    key = jwt.PyJWKSet.from_dict(KEYS.jwks()).keys[0]
    decoded: dict[str, Any] = jwt.decode(
        answer["access_token"],
        key,
        ["ES256"],
        audience="jan",
        issuer="http://x/llm",
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )
    return decoded


def test_a_token_says_who_where_for_whom_and_how_long() -> None:
    answer = log_in(ttl=3600)
    said = claims(answer)
    assert said.pop("jti")
    assert said == {
        "iss": "http://x/llm",
        "aud": "jan",
        "sub": answer["user_id"],
        "iat": 1_700_000_000,
        "nbf": 1_700_000_000,
        "exp": 1_700_003_600,
    }
    assert (answer["expires_in"], answer["token_type"]) == (3600, "Bearer")


def test_every_login_is_someone_new() -> None:
    answers = [log_in() for _ in range(50)]
    assert len({answer["user_id"] for answer in answers}) == 50
    assert len({claims(answer)["jti"] for answer in answers}) == 50


def test_a_token_expires() -> None:
    answer = log_in()
    with pytest.raises(jwt.ExpiredSignatureError):
        jwt.decode(
            answer["access_token"],
            jwt.PyJWKSet.from_dict(KEYS.jwks()).keys[0],
            ["ES256"],
            audience="jan",
        )
