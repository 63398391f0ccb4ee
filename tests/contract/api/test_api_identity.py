"""Who may call the sidecar: the gateway's secret, its identity headers, guest tokens."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.contract.api.client import Api, assert_error, data_url_body
from tests.support.pictures import picture
from tests.support.sidecar import RunningSidecar, running_sidecar

SECRET, PREVIOUS = "s" * 32, "p" * 32


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    with running_sidecar(
        tmp_path_factory.mktemp("guarded") / "data",
        GATEWAY_SECRET=SECRET,
        GATEWAY_SECRET_PREVIOUS=PREVIOUS,
        GUEST_LOGIN="false",
    ) as running:
        yield running


@pytest.fixture
def behind(guarded: RunningSidecar) -> Iterator[Api]:
    with Api(guarded) as api:
        yield api


def headers(secret: str, user: str = "ann") -> dict[str, str]:
    return {"X-Jan-Gateway-Secret": secret, "X-Jan-User-Id": user}


@pytest.mark.parametrize("secret", [SECRET, PREVIOUS])
def test_the_gateway_is_admitted_with_either_secret(behind: Api, secret: str) -> None:
    response = behind.http.post("/v1/media", json=data_url_body(picture()), headers=headers(secret))
    assert response.status_code == 200
    status, _ = behind.ask("/internal/resolve", {"names": []}, **headers(secret))
    assert status == 200


@pytest.mark.parametrize("shown", [{}, {"X-Jan-Gateway-Secret": "wrong"}])
def test_others_are_refused_on_both_listeners(behind: Api, shown: dict[str, str]) -> None:
    response = behind.http.get("/v1/media", headers=shown | {"X-Jan-User-Id": "ann"})
    error = assert_error(response, 401, "gateway_secret_required")
    assert error["type"] == "authentication_error"
    assert response.headers["www-authenticate"]
    status, answer = behind.ask("/internal/resolve", {"names": []}, **shown)
    assert (status, answer["error"]["code"]) == (401, "gateway_secret_required")


@pytest.mark.parametrize("host", ["page.example", "127.0.0.1.page.example:80", "localhost.", ""])
def test_without_a_secret_a_name_that_is_not_this_machines_leads_nowhere(
    api: Api, host: str
) -> None:
    listing = api.http.get("/v1/media", headers={"Host": host})
    assert_error(listing, 401, "gateway_secret_required")
    status, answer = api.ask("/internal/resolve", {"names": []}, Host=host)
    assert (status, answer["error"]["code"]) == (401, "gateway_secret_required")


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_without_a_secret_this_machine_has_names_of_its_own(api: Api, host: str) -> None:
    assert api.http.get("/v1/media", headers={"Host": host}).status_code == 200


def test_a_request_that_the_gateway_vouches_for_nobody_in_is_401(behind: Api) -> None:
    response = behind.http.get("/v1/media", headers={"X-Jan-Gateway-Secret": SECRET})
    assert_error(response, 401, "unauthenticated")
    assert response.headers["www-authenticate"]
    upload = behind.http.post(
        "/v1/media",
        json=data_url_body(picture()) | {"user_id": "ann"},
        headers={"X-Jan-Gateway-Secret": SECRET},
    )
    assert_error(upload, 401, "unauthenticated")


def test_the_longest_identity_that_the_plugin_lets_through_is_taken_and_a_longer_one_is_401(
    behind: Api,
) -> None:
    issuer = "https://" + "i" * (768 - len("https://"))
    vouched = {"X-Jan-Gateway-Secret": SECRET, "X-Jan-Issuer": issuer}
    named = vouched | {"X-Jan-User-Id": "ä" * 127 + "a"}
    sent = {name.encode(): value.encode() for name, value in named.items()}
    upload = {"json": data_url_body(picture())}
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/v1/media", upload),
        ("GET", "/v1/media", {}),
        ("POST", "/v1/media/prepare-upload", {"json": {"mime_type": "image/png"}}),
    ]
    for method, path, more in calls:
        taken = behind.http.request(method, path, headers=sent, **more)
        assert taken.status_code == 200, taken.text
        subject = sent[b"X-Jan-User-Id"]
        for wrong in (subject + b"a", b"\xff"):
            changed = sent | {b"X-Jan-User-Id": wrong}
            refused = behind.http.request(method, path, headers=changed, **more)
            assert_error(refused, 401, "unauthenticated")


def test_health_and_signed_files_need_no_secret(behind: Api) -> None:
    uploaded = behind.http.post(
        "/v1/media", json=data_url_body(picture()), headers=headers(SECRET)
    ).json()
    assert behind.http.get(uploaded["presigned_url"]).status_code == 200
    assert behind.http.get("/healthz").status_code == 200


def test_guest_login_can_be_switched_off(behind: Api) -> None:
    assert_error(behind.http.post("/auth/guest-login"), 404, "not_found")


@pytest.mark.parametrize("path", ["/v1/media", "/v1/files"])
def test_a_list_for_a_name_that_no_catalog_can_hold_is_400(api: Api, path: str) -> None:
    response = api.http.get(path, params={"user_id": "\N{CAT}" * 256})
    assert_error(response, 400, "invalid_field", "user_id")


def test_without_a_gateway_the_body_names_the_user(api: Api) -> None:
    body: dict[str, Any] = data_url_body(picture()) | {"user_id": "local-user"}
    media_id = api.http.post("/v1/media", json=body).json()["id"]
    assert_error(api.http.delete(f"/v1/media/{media_id}"), 403, "not_owner")
    assert api.http.delete(f"/v1/media/{media_id}?user_id=local-user").status_code == 204


def test_a_guest_token_verifies_against_the_published_keys(
    api: Api, sidecar: RunningSidecar
) -> None:
    response = api.http.post("/auth/guest-login")
    assert response.status_code == 201
    answer = response.json()
    assert answer.keys() == {"access_token", "token_type", "expires_in", "user_id"}
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 86400)
    keys = jwt.PyJWKClient(f"{sidecar.public_url}/.well-known/jwks.json")
    claims = jwt.decode(
        answer["access_token"],
        keys.get_signing_key_from_jwt(answer["access_token"]),
        algorithms=["ES256"],
        audience="jan",
        issuer="http://localhost:8000/llm",
    )
    assert claims["sub"] == answer["user_id"]


def test_every_guest_is_another_user(api: Api) -> None:
    users = {api.http.post("/auth/guest-login").json()["user_id"] for _ in range(5)}
    assert len(users) == 5


def test_the_signing_key_outlives_a_restart(tmp_path: Path) -> None:
    published = []
    for _ in range(2):
        with running_sidecar(tmp_path / "data") as sidecar, Api(sidecar) as api:
            published.append(api.http.get("/.well-known/jwks.json").json())
    assert published[0] == published[1]


def log_in(api: Api, address: str = "") -> httpx.Response:
    return api.http.post("/auth/guest-login", headers={"X-Real-IP": address} if address else {})


def test_guest_logins_are_limited_for_each_client_address(tmp_path: Path) -> None:
    with running_sidecar(tmp_path, GUEST_LOGIN_PER_MINUTE="2") as sidecar, Api(sidecar) as api:
        statuses = [log_in(api, "203.0.113.7").status_code for _ in range(3)]
        refused = log_in(api, "203.0.113.7")
        assert statuses == [201, 201, 429]
        assert assert_error(refused, 429, "too_many_requests")["type"] == "rate_limit_error"
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        assert log_in(api, "203.0.113.8").status_code == 201
        assert log_in(api).status_code == 201


def test_the_login_limit_can_be_switched_off(tmp_path: Path) -> None:
    with running_sidecar(tmp_path, GUEST_LOGIN_PER_MINUTE="0") as sidecar, Api(sidecar) as api:
        assert {log_in(api, "203.0.113.7").status_code for _ in range(70)} == {201}
