"""A route that says `lua: true` and has lost its post-function sends nothing on."""

import json
from pathlib import Path

import httpx
import yaml

from demo.addresses import url
from demo.kong_settings import ROOT
from tests.e2e.conftest import client_for, guest_token, start_stack


def test_a_route_that_has_lost_its_post_function_sends_nothing_on(tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / "kong.yml").read_text("utf-8"))
    for service in config["services"]:
        for route in service["routes"]:
            plugins = route.get("plugins", [])
            route["plugins"] = [each for each in plugins if each["name"] != "post-function"]
    stack = start_stack(tmp_path)
    stack.kong_yml = tmp_path / "lost.yml"
    stack.kong_yml.write_text(yaml.safe_dump(config), "utf-8")
    with stack, client_for(stack.base_url, guest_token(stack.base_url)) as client:
        answers = [
            client.post(
                "/v1/chat/completions",
                json={"model": "m", "messages": [], "user": "nobody-has-looked-at-this"},
                headers={"X-Jan-User-Id": "root"},
            )
            for _ in range(3)
        ]
        media = client.get("/media/v1/media")
        received = httpx.get(url(stack.ports.llm, "/received"), trust_env=False).json()
    assert [answer.status_code for answer in answers] == [500] * 3
    assert all(answer.json()["error"]["type"] == "api_error" for answer in answers)
    assert "nobody-has-looked-at-this" not in json.dumps(received)
    assert media.status_code == 200
