"""API keys made with `jan-media keys` open the gateway until they are revoked."""

import json
import os
import re
import subprocess
import sys

import httpx
import pytest

from demo.addresses import url
from demo.stack import Stack
from tests.e2e.conftest import client_for
from tests.support.waiting import wait_until

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def keys(stack: Stack, *arguments: str) -> str:
    """Runs `jan-media keys …` with the settings of the stack's sidecar; returns what it printed."""
    sidecar = next(part for part in stack.parts if part.name == "sidecar")
    finished = subprocess.run(
        [sys.executable, "-m", "jan_media", "keys", *arguments],
        env={**os.environ, **sidecar.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return finished.stdout


def new_key(stack: Stack, *arguments: str, owner: str = "robot") -> str:
    """Makes a key and returns it."""
    found = re.search(r"sk_\S+", keys(stack, "create", "--owner", owner, *arguments))
    assert found
    return found[0]


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key", "X-Goog-Api-Key"])
def test_a_key_admits_its_owner_and_does_not_reach_the_model(own_stack: Stack, header: str) -> None:
    key = new_key(own_stack, "--group", "builders")
    with client_for(own_stack.base_url) as client:
        value = f"Bearer {key}" if header == "Authorization" else key
        answer = client.post("/v1/chat/completions", json=CHAT, headers={header: value})
    assert answer.status_code == 200, answer.text
    latest = httpx.get(url(own_stack.ports.llm, "/received"), trust_env=False).json()[-1]
    assert dict(latest["headers"])["x-jan-user-id"] == "robot"
    assert "builders" in dict(latest["headers"])["x-jan-groups"]
    assert key not in json.dumps(latest)


def test_a_key_that_nobody_made_is_refused(own_stack: Stack) -> None:
    with client_for(own_stack.base_url, "sk_" + "0" * 40) as client:
        assert client.post("/v1/chat/completions", json=CHAT).status_code == 401


def test_a_revoked_key_is_refused(own_stack: Stack) -> None:
    key = new_key(own_stack)
    (handle,) = re.findall(rf"(key_\w+)\s+{key[:8]}", keys(own_stack, "list"))
    keys(own_stack, "revoke", handle)
    with client_for(own_stack.base_url, key) as client:
        assert client.post("/v1/chat/completions", json=CHAT).status_code == 401


def test_a_key_ends_when_its_time_is_over(own_stack: Stack) -> None:
    key = new_key(own_stack, "--expires-in", "1s")
    with client_for(own_stack.base_url, key) as client:
        wait_until(lambda: client.post("/v1/chat/completions", json=CHAT).status_code == 401)
