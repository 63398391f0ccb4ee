"""Tokens that are signed by the right key and are still invalid."""

import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from demo.stack import Stack
from tests.e2e.conftest import client_for, guest_token, start_stack

KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
).decode()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose guest tokens are signed with a key that the tests know."""
    with start_stack(tmp_path_factory.mktemp("claims"), MEDIA_SIGNING_KEY=PEM) as running:
        yield running


def status_of(stack: Stack, claims: dict[str, Any], algorithm: str = "ES256") -> int:
    """How the gateway answers a guest's token with other claims, rightly signed."""
    token = guest_token(stack.base_url)
    kept = jwt.decode(token, options={"verify_signature": False}) | claims
    kept = {name: value for name, value in kept.items() if value is not None}
    header = {"kid": jwt.get_unverified_header(token)["kid"]}
    with client_for(stack.base_url, jwt.encode(kept, KEY, algorithm, headers=header)) as client:
        return client.get("/media/v1/media").status_code


def test_a_token_that_is_right_in_everything_is_admitted(stack: Stack) -> None:
    assert status_of(stack, {}) == 200


def claims_that_are_refused() -> dict[str, dict[str, Any]]:
    """What is wrong, and the claims that make it so; None leaves a claim out."""
    now = int(time.time())
    return {
        "expired": {"exp": now - 3600},
        "not yet valid": {"nbf": now + 3600},
        "issued in the future": {"iat": now + 3600},
        "of another issuer": {"iss": "https://elsewhere.example"},
        "without an issuer": {"iss": None},
        "for another audience": {"aud": "elsewhere"},
        "without an audience": {"aud": None},
        "without an end": {"exp": None},
        "without a subject": {"sub": None},
    }


@pytest.mark.parametrize("kind", claims_that_are_refused())
def test_a_claim_that_is_wrong_is_a_401(stack: Stack, kind: str) -> None:
    assert status_of(stack, claims_that_are_refused()[kind]) == 401
