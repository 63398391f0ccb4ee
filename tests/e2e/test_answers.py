"""Every answer of the gateway has a request id, one shape and no internal names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.stack import Stack
from tests.e2e import kong_yml
from tests.e2e.conftest import client_for, guest_token, start_stack
from tests.e2e.counting_upstream import CountingUpstream
from tests.e2e.test_api_keys import new_key

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
SHAPE = {"type", "code", "message", "param"}


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error in the one shape, and nothing beside it."""
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json().keys() == {"error"}
    error: dict[str, Any] = answer.json()["error"]
    assert error.keys() == SHAPE
    return error


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models", 200),
        ("GET", "/media/v1/media", 200),
        ("GET", "/media/healthz", 200),
        ("GET", "/readyz", 200),
        ("POST", "/llm/auth/guest-login", 201),
        ("GET", "/media/v1/media/jan_01arz3ndektsv4rrffq69g5fav", 404),
        ("GET", "/nothing", 404),
        ("GET", "/v1", 404),
        ("GET", "/v2/models", 404),
    ],
)
def test_every_answer_has_a_request_id(
    guest: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = guest.request(method, path)
    assert answer.status_code == status
    assert len(answer.headers["X-Request-Id"]) >= 16
    if status >= 400:
        assert error_of(answer)["type"] == "not_found_error"


def test_a_stream_has_a_request_id(guest: httpx.Client) -> None:
    with guest.stream("POST", "/v1/chat/completions", json=CHAT | {"stream": True}) as answer:
        assert answer.headers["X-Request-Id"]
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert "".join(answer.iter_text()).rstrip().endswith("data: [DONE]")


def test_a_refusal_and_a_browsers_preflight_have_one_too(stranger: httpx.Client) -> None:
    refused = stranger.get("/v1/models")
    assert (refused.status_code, error_of(refused)["code"]) == (401, "unauthenticated")
    assert refused.headers["X-Request-Id"]
    assert "X-Jan-Media-Decided" not in refused.headers
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    preflight = stranger.options("/v1/chat/completions", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["X-Request-Id"]
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [("/v1/models/", "/v1/models"), ("/llm/v1/models/", "/llm/v1/models")],
)
def test_a_redirect_of_the_model_does_not_name_its_address(
    guest: httpx.Client, path: str, leads_to: str
) -> None:
    answer = guest.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (307, leads_to)
    assert guest.get(path, follow_redirects=True).status_code == 200


def test_a_group_that_the_guard_does_not_admit_is_told_so(few: Stack) -> None:
    with client_for(few.base_url, guest_token(few.base_url)) as client:
        answer = client.get("/staff/models")
    assert (answer.status_code, error_of(answer)["code"]) == (403, "access_refused")
    assert "groups" in error_of(answer)["message"]


def test_an_upstream_that_is_not_there_is_a_502(few: Stack) -> None:
    with client_for(few.base_url, guest_token(few.base_url)) as client:
        answer = client.get("/gone/models")
    assert (answer.status_code, error_of(answer)["type"]) == (502, "api_error")


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """kong.yml with few requests for guests, a route for staff, and one to nowhere."""
    document = kong_yml.written()
    staff = kong_yml.add_llm_route(document, "staff", {})
    kong_yml.plugin(staff, "acl")["allow"] = ["staff"]
    gone = kong_yml.add_llm_route(document, "gone", {})
    service = next(each for each in document["services"] if each["name"] == "jan-llm")
    service["routes"].remove(gone)
    document["services"].append({"name": "gone", "url": "http://127.0.0.1:9", "routes": [gone]})
    (limit,) = (each for each in document["plugins"] if each["name"] == "rate-limiting")
    limit["config"]["minute"] = 3
    folder: Path = tmp_path_factory.mktemp("few")
    stack = start_stack(folder)
    stack.kong_yml = folder / "few.yml"
    stack.kong_yml.write_text(kong_yml.text(document), "utf-8")
    with stack:
        yield stack


def test_guests_are_limited_at_the_model_and_nobody_else(few: Stack) -> None:
    statuses = []
    with client_for(few.base_url, new_key(few)) as robot:
        for _ in range(10):
            # A new name each time does not help.
            with client_for(few.base_url, guest_token(few.base_url)) as guest:
                answer = guest.post("/v1/chat/completions", json=CHAT)
                statuses.append(answer.status_code)
                assert guest.get("/media/v1/media").status_code == 200
            assert robot.post("/v1/chat/completions", json=CHAT).status_code == 200
    # A minute may begin in between.
    assert set(statuses) == {200, 429}
    assert statuses.count(429) >= 4
    assert error_of(answer)["type"] == "rate_limit_error"
    assert "Guests" in error_of(answer)["message"]
    assert int(answer.headers["Retry-After"]) > 0


def test_an_upstreams_own_request_id_is_kept(tmp_path: Path) -> None:
    with CountingUpstream() as upstream:
        stack = start_stack(tmp_path)
        stack.llm_upstream = upstream.base_url
        with stack, client_for(stack.base_url, guest_token(stack.base_url)) as client:
            answer = client.post("/v1/chat/completions", json=CHAT)
    assert answer.status_code == 200
    assert answer.headers.get_list("X-Request-Id") == ["upstreams-own"]
