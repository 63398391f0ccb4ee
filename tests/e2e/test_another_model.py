"""LLM_UPSTREAM_URL puts another model behind /v1."""

from pathlib import Path

import httpx

from demo.addresses import free_ports, url
from demo.stack import Stack
from tests.e2e.conftest import client_for, guest_token


def test_another_upstream_answers_in_the_demo_models_place(
    own_stack: Stack, tmp_path: Path
) -> None:
    elsewhere = url(own_stack.ports.llm)
    with Stack(
        tmp_path, free_ports(), kong_bin=own_stack.kong_bin, llm_upstream=elsewhere
    ) as stack:
        assert [part.name for part in stack.parts] == ["sidecar", "gateway"]
        with client_for(stack.base_url, guest_token(stack.base_url)) as client:
            answer = client.post("/llm/v1/chat/completions", json={"user": "from afar"})
        assert answer.status_code == 200, answer.text
    latest = httpx.get(f"{elsewhere}/received", trust_env=False).json()[-1]
    assert latest["path"] == "/v1/chat/completions"
    assert "from afar" in latest["body"]
