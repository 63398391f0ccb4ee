"""jan-media and its gate belong together: a route with only one of them sends no request on."""

import json
from pathlib import Path

import httpx
import pytest

from demo.addresses import url
from tests.e2e import kong_yml
from tests.e2e.conftest import client_for, guest_token, start_stack


@pytest.mark.parametrize(("lost", "status"), [("jan-media", 503), ("jan-media-gate", 500)])
def test_a_route_with_half_of_it_sends_nothing_on(tmp_path: Path, lost: str, status: int) -> None:
    document = kong_yml.written()
    route = kong_yml.add_llm_route(document, "half", {})
    route["plugins"] = [each for each in route["plugins"] if each["name"] not in (lost, "acl")]
    stack = start_stack(tmp_path)
    stack.kong_yml = tmp_path / "half.yml"
    stack.kong_yml.write_text(kong_yml.text(document), "utf-8")
    with stack, client_for(stack.base_url, guest_token(stack.base_url)) as client:
        body = {"model": "m", "messages": [], "user": "nobody-has-looked-at-this"}
        answers = [client.post("/half/chat/completions", json=body) for _ in range(3)]
        whole = client.post("/v1/chat/completions", json=body | {"user": "looked-at"})
        received = httpx.get(url(stack.ports.llm, "/received"), trust_env=False).json()
    assert [answer.status_code for answer in answers] == [status] * 3
    assert all(answer.json()["error"]["type"] == "api_error" for answer in answers)
    assert "nobody-has-looked-at-this" not in json.dumps(received)
    assert whole.status_code == 200
