"""Tokens at the gateway: whom it admits, and what upstreams learn about them."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.conftest import client_for, guest_token

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
PROTECTED = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/llm/v1/chat/completions"),
    ("POST", "/v1/responses"),
    ("GET", "/v1/models"),
    ("POST", "/media/v1/media"),
    ("GET", "/media/v1/media"),
    ("POST", "/media/v1/media/resolve"),
    ("POST", "/media/v1/media/prepare-upload"),
    ("GET", "/media/v1/media/jan_01hqr8v9k2x3f4g5h6j7k8m9n0"),
    ("DELETE", "/media/v1/media/jan_01hqr8v9k2x3f4g5h6j7k8m9n0"),
]


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a token, unchecked."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def forged(token: str, **changed: Any) -> str:
    """The token with other claims, signed by a key that nobody trusts, under the same key id."""
    header = jwt.get_unverified_header(token)
    stranger = ec.generate_private_key(ec.SECP256R1())
    return jwt.encode(claims_of(token) | changed, stranger, "ES256", headers={"kid": header["kid"]})


def unsigned(token: str) -> str:
    """The token with `alg: none` and no signature."""
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).rstrip(b"=").decode()
    return f"{header}.{token.split('.')[1]}."


def tampered(token: str) -> str:
    """The token with another subject under the old signature."""
    head, _, signature = token.split(".")
    claims = json.dumps(claims_of(token) | {"sub": "somebody-else"}).encode()
    return f"{head}.{base64.urlsafe_b64encode(claims).rstrip(b'=').decode()}.{signature}"


BAD_TOKENS: dict[str, Callable[[str], str]] = {
    "no JWT at all": lambda _: "nonsense",
    "signed by a stranger": forged,
    "expired": lambda token: forged(token, exp=int(time.time()) - 3600),
    "not yet valid": lambda token: forged(token, nbf=int(time.time()) + 3600),
    "of another issuer": lambda token: forged(token, iss="https://elsewhere.example"),
    "for another audience": lambda token: forged(token, aud="elsewhere"),
    "unsigned": unsigned,
    "changed after signing": tampered,
}


def assert_refused(answer: httpx.Response) -> None:
    """401 in the project's shape, with a challenge."""
    assert answer.status_code == 401, answer.text
    assert answer.json()["error"]["type"] == "authentication_error"
    assert set(answer.json()["error"]) == {"type", "code", "message", "param"}
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_without_a_token_every_protected_route_answers_401(
    stranger: httpx.Client, method: str, path: str
) -> None:
    assert_refused(stranger.request(method, path, json=CHAT if method == "POST" else None))


@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_a_bad_token_is_refused(gateway_url: str, token: str, kind: str) -> None:
    with client_for(gateway_url, BAD_TOKENS[kind](token)) as client:
        assert_refused(client.get("/media/v1/media"))
        assert_refused(client.post("/v1/chat/completions", json=CHAT))


def test_a_refused_request_never_reaches_the_model(
    gateway_url: str, token: str, received: Callable[[], list[Any]]
) -> None:
    marker = f"marker-{time.time_ns()}"
    with client_for(gateway_url, forged(token)) as client:
        client.post("/v1/chat/completions", json=CHAT | {"user": marker})
    assert not any(marker in each["body"] for each in received())


@pytest.mark.parametrize("path", ["/llm/auth/guest-login", "/auth/guest-login"])
def test_guest_login_answers_201_with_a_token(stranger: httpx.Client, path: str) -> None:
    answer = stranger.post(path)
    assert answer.status_code == 201
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] > 0
    assert claims_of(body["access_token"])["sub"] == body["user_id"]


def test_the_model_learns_who_called_but_never_the_callers_token(
    guest: httpx.Client, token: str, received: Callable[[], list[Any]]
) -> None:
    assert guest.post("/v1/chat/completions", json=CHAT).status_code == 200
    headers = dict(received()[-1]["headers"])
    assert headers["x-jan-user-id"] == claims_of(token)["sub"]
    assert "authorization" not in headers
    assert token not in json.dumps(received()[-1])


@pytest.mark.parametrize(
    "name", ["X-Jan-User-Id", "x-jan-user-id", "X-JAN-USER-ID", "X_Jan_User_Id", "X-Jan_User-Id"]
)
def test_identity_headers_of_the_client_are_removed(
    guest: httpx.Client, token: str, received: Callable[[], list[Any]], name: str
) -> None:
    answer = guest.post("/v1/chat/completions", json=CHAT, headers={name: "root"})
    assert answer.status_code == 200
    arrived = [
        value
        for header, value in received()[-1]["headers"]
        if header.replace("_", "-").lower() == "x-jan-user-id"
    ]
    assert arrived == [claims_of(token)["sub"]]


def test_identity_and_group_headers_alone_admit_nobody(stranger: httpx.Client) -> None:
    spoofed = {
        "X-Jan-User-Id": "root",
        "X-Jan-Groups": "jan-users",
        "X-Authenticated-Groups": "jan-users",
        "X-Consumer-Groups": "jan-users",
    }
    assert_refused(stranger.get("/media/v1/media", headers=spoofed))


def test_guest_logins_are_limited_for_each_client_address(gateway_url: str) -> None:
    # From an address of its own, so that no other login of this suite is counted.
    transport = httpx.HTTPTransport(local_address="127.0.0.77")
    with httpx.Client(base_url=gateway_url, transport=transport, trust_env=False) as client:
        answers = [client.post("/llm/auth/guest-login") for _ in range(300)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} == {201, 429}
    assert int(refused[0].headers["Retry-After"]) > 0
    assert "error" in refused[0].json()
    assert guest_token(gateway_url)
