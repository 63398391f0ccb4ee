"""Without its plugin server the gateway refuses; nothing reaches the model or the sidecar."""

import json
import os
import signal
from pathlib import Path

import httpx
import pytest

from demo.addresses import url
from demo.stack import Stack
from tests.e2e import kong_yml
from tests.e2e.conftest import client_for, guest_token, start_stack
from tests.e2e.processes import plugin_servers
from tests.support.waiting import wait_until

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
MISCONFIGURED = "gateway_misconfigured"
SPOOFED = {"X-Jan-User-Id": "root", "X-Authenticated-Groups": "jan-users"}


def wait_for_plugin_servers(stack: Stack) -> list[int]:
    """Waits until the gateway has started its plugin server (again)."""
    return wait_until(lambda: plugin_servers(stack.gateway.pid))


def bodies_received(stack: Stack) -> str:
    """What the model received lately, asked past the gateway."""
    return json.dumps(httpx.get(url(stack.ports.llm, "/received"), trust_env=False).json())


def test_a_killed_plugin_server_lets_nobody_through(own_stack: Stack) -> None:
    statuses = set()
    with client_for(own_stack.base_url) as client:
        for round_number in range(5):
            for pid in wait_for_plugin_servers(own_stack):
                os.kill(pid, signal.SIGKILL)
            for _ in range(20):
                body = CHAT | {"user": f"intruder-{round_number}"}
                answer = client.post("/v1/chat/completions", json=body, headers=SPOOFED)
                listing = client.get("/media/v1/media", headers=SPOOFED)
                statuses |= {answer.status_code, listing.status_code}
    assert statuses <= {401, 503}  # the plugin's own word while it is there
    assert 503 in statuses
    assert "intruder" not in bodies_received(own_stack)


@pytest.mark.parametrize("accept", ["application/json", "text/html", "text/event-stream"])
def test_without_the_plugin_server_clients_are_told_when_to_try_again(
    own_stack: Stack, accept: str
) -> None:
    waits = set()
    with client_for(own_stack.base_url) as client:
        for pid in wait_for_plugin_servers(own_stack):
            os.kill(pid, signal.SIGKILL)
        for _ in range(20):
            answer = client.get("/v1/models", headers={"Accept": accept})
            assert answer.json().keys() == {"error"}
            assert answer.json()["error"].keys() == {"code", "message", "param", "type"}
            assert answer.headers["X-Request-Id"]
            if answer.status_code == 503:
                assert "WWW-Authenticate" not in answer.headers
                waits.add(answer.headers["Retry-After"])
    assert waits == {"1"}


@pytest.mark.parametrize("lock", ["jan-media-gate", "acl"])
def test_each_of_the_two_locks_alone_lets_nobody_through(tmp_path: Path, lock: str) -> None:
    document = kong_yml.written()
    route = kong_yml.add_llm_route(document, "one-lock", {})
    route["plugins"] = [each for each in route["plugins"] if each["name"] in (lock, "jan-media")]
    stack = start_stack(tmp_path)
    stack.kong_yml = tmp_path / "one-lock.yml"
    stack.kong_yml.write_text(kong_yml.text(document), "utf-8")
    # What jan-media says while it is there: on a route without its gate, that this is wrong.
    there, away = ("unauthenticated", 503) if lock == "jan-media-gate" else (MISCONFIGURED, 401)
    statuses = set()
    with stack, client_for(stack.base_url) as client:
        client.headers.update(SPOOFED)

        def intrude() -> httpx.Response:
            body = CHAT | {"user": "intruder"}
            answer = client.post("/one-lock/chat/completions", json=body)
            assert answer.json()["error"].keys() == {"code", "message", "param", "type"}
            return answer

        for _ in range(3):
            wait_until(lambda: intrude().json()["error"]["code"] == there)
            for pid in wait_for_plugin_servers(stack):
                os.kill(pid, signal.SIGKILL)
            statuses |= {intrude().status_code for _ in range(20)}
        received = bodies_received(stack)
    assert away in statuses
    assert statuses <= {401, 500, 503}
    assert "intruder" not in received


def test_requests_with_a_token_succeed_again_by_themselves(own_stack: Stack) -> None:
    for pid in wait_for_plugin_servers(own_stack):
        os.kill(pid, signal.SIGKILL)
    with client_for(own_stack.base_url, guest_token(own_stack.base_url)) as client:
        wait_until(lambda: client.post("/v1/chat/completions", json=CHAT).status_code == 200)


@pytest.mark.parametrize("name", ["X-Odd", "User-Agent", "Authorization"])
def test_a_header_that_is_not_utf8_does_not_switch_the_plugin_off(
    own_stack: Stack, name: str
) -> None:
    wait_for_plugin_servers(own_stack)
    with client_for(own_stack.base_url) as client:
        headers = [(name.encode(), b"\xff\xfe intruder")]
        headers += [(each.encode(), value.encode()) for each, value in SPOOFED.items()]
        answer = client.post(
            "/v1/chat/completions?q=%ff", json=CHAT | {"user": "intruder"}, headers=headers
        )
    assert answer.status_code == 401
    assert "intruder" not in bodies_received(own_stack)
