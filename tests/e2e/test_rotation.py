"""Keys and secrets are rotated under running gateways, without an outage."""

from dataclasses import replace

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from demo.stack import Stack
from tests.e2e.conftest import client_for, guest_token, start_stack


def new_key() -> str:
    """A signing key, as PEM."""
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


def restart_sidecar(stack: Stack, **settings: str) -> None:
    """Stop the stack's sidecar and start it with other settings."""
    at = next(place for place, part in enumerate(stack.parts) if part.name == "sidecar")
    stack.parts[at].stop()
    environment = {**stack.parts[at].environment, **settings}
    stack.parts[at] = replace(stack.parts[at], environment=environment)
    stack.parts[at].start()
    stack.parts[at].wait_until_ready()


def status_of(stack: Stack, token: str) -> int:
    """How the gateway answers a holder of this token."""
    with client_for(stack.base_url, token) as client:
        return client.get("/media/v1/media").status_code


def test_a_signing_key_is_changed_without_ending_a_session(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    old, new = new_key(), new_key()
    with start_stack(tmp_path_factory.mktemp("rotated"), MEDIA_SIGNING_KEY=old) as stack:
        before = guest_token(stack.base_url)
        assert status_of(stack, before) == 200
        restart_sidecar(stack, MEDIA_SIGNING_KEY=new, MEDIA_SIGNING_KEY_PREVIOUS=old)
        after = guest_token(stack.base_url)
        kids = {jwt.get_unverified_header(token)["kid"] for token in (before, after)}
        assert len(kids) == 2
        assert [status_of(stack, token) for token in (after, before)] == [200, 200]


def test_a_signing_key_that_was_published_before_it_signs_is_known_to_gateways_already(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    old, new = new_key(), new_key()
    published = {"MEDIA_SIGNING_KEY": old, "MEDIA_SIGNING_KEY_PREVIOUS": new}
    with start_stack(tmp_path_factory.mktemp("published"), **published) as stack:
        before = guest_token(stack.base_url)
        assert status_of(stack, before) == 200
        restart_sidecar(stack, MEDIA_SIGNING_KEY=new, MEDIA_SIGNING_KEY_PREVIOUS=old)
        after = guest_token(stack.base_url)
        kids = {jwt.get_unverified_header(token)["kid"] for token in (before, after)}
        assert len(kids) == 2
        next(part for part in stack.parts if part.name == "sidecar").stop()  # nobody can be asked
        for token in (after, before):
            with client_for(stack.base_url, token) as client:
                assert client.get("/v1/models").status_code == 200


def test_the_gateways_secret_is_changed_one_side_after_the_other(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with start_stack(tmp_path_factory.mktemp("secret")) as stack:
        token = guest_token(stack.base_url)
        current = stack.gateway.environment["JAN_GATEWAY_SECRET"]
        restart_sidecar(
            stack,
            MEDIA_GATEWAY_SECRET="the next secret, long and random",
            MEDIA_GATEWAY_SECRET_PREVIOUS=current,
        )
        assert status_of(stack, token) == 200
        restart_sidecar(stack, MEDIA_GATEWAY_SECRET_PREVIOUS="")
        assert status_of(stack, token) == 401


def test_without_guest_login_there_is_none_and_old_guests_stay(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with start_stack(tmp_path_factory.mktemp("closed")) as stack:
        token = guest_token(stack.base_url)
        restart_sidecar(stack, MEDIA_GUEST_LOGIN="false")
        with client_for(stack.base_url) as client:
            answer = client.post("/llm/auth/guest-login")
        assert answer.status_code == 404
        assert set(answer.json()["error"]) == {"type", "code", "message", "param"}
        assert status_of(stack, token) == 200
