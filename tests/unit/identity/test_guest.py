"""Guest tokens."""

from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jan_media.identity.guest import GuestLogin, GuestToken
from jan_media.identity.signing_keys import SigningKeys

NOW = 1_700_000_000.75
KEYS = SigningKeys(ec.generate_private_key(ec.SECP256R1()))


def claims(token: GuestToken) -> dict[str, Any]:
    """The token's claims, its signature checked (its times are left to the tests)."""
    key = jwt.PyJWKSet.from_dict(KEYS.jwks()).keys[0]
    decoded: dict[str, Any] = jwt.decode(
        token.access_token,
        key,
        ["ES256"],
        audience="jan",
        issuer="http://x/llm",
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )
    return decoded


def test_a_token_says_who_where_for_whom_and_how_long() -> None:
    token = GuestLogin(KEYS, "http://x/llm", "jan", 3600).issue(NOW)
    said = claims(token)
    assert said.pop("jti")
    assert said == {
        "iss": "http://x/llm",
        "aud": "jan",
        "sub": token.user_id,
        "iat": 1_700_000_000,
        "nbf": 1_700_000_000,
        "exp": 1_700_003_600,
    }
    assert token.expires_in == 3600


def test_every_login_is_someone_new() -> None:
    login = GuestLogin(KEYS, "http://x/llm", "jan", 60)
    tokens = [login.issue(NOW) for _ in range(50)]
    assert len({token.user_id for token in tokens}) == 50
    assert len({claims(token)["jti"] for token in tokens}) == 50


def test_a_token_expires() -> None:
    token = GuestLogin(KEYS, "http://x/llm", "jan", 60).issue(NOW)
    with pytest.raises(jwt.ExpiredSignatureError):
        jwt.decode(
            token.access_token,
            jwt.PyJWKSet.from_dict(KEYS.jwks()).keys[0],
            ["ES256"],
            audience="jan",
        )
