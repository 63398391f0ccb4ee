"""What kong.yml promises to an operator who copies it."""

from pathlib import Path
from typing import Any

import jan_media_plugin
import pytest
import yaml

from demo.kong_settings import ROOT

KONG_YML = yaml.safe_load((ROOT / "kong.yml").read_text("utf-8"))
ROUTES = [
    *({**route, "service": s["name"]} for s in KONG_YML["services"] for route in s["routes"]),
    *KONG_YML["routes"],
]


def plugins(route: dict[str, Any]) -> dict[str, Any]:
    """A route's plugins by name."""
    return {each["name"]: each["config"] for each in route.get("plugins", [])}


WITH_JAN_MEDIA = [route for route in ROUTES if "jan-media" in plugins(route)]


def test_media_and_model_routes_have_the_plugin() -> None:
    assert [route["name"] for route in WITH_JAN_MEDIA] == ["media", "llm"]


@pytest.mark.parametrize("route", WITH_JAN_MEDIA, ids=lambda route: str(route["name"]))
def test_every_route_with_the_plugin_has_the_guard(route: dict[str, Any]) -> None:
    granted = plugins(route)["jan-media"].get("grant_group", "jan-users")
    assert plugins(route)["acl"] == {
        "allow": [granted],
        "always_use_authenticated_groups": True,
        "hide_groups_header": True,
    }


def test_only_the_sidecar_is_told_the_gateways_secret() -> None:
    told = [
        r["service"] for r in WITH_JAN_MEDIA if plugins(r)["jan-media"].get("send_gateway_secret")
    ]
    assert told == ["jan-media-sidecar"]


def test_a_route_with_lua_has_the_function_and_it_is_the_plugins_own() -> None:
    written = (Path(jan_media_plugin.__file__).parent / "in_kong.lua").read_text("utf-8")
    with_lua = [route for route in WITH_JAN_MEDIA if plugins(route)["jan-media"].get("lua")]
    assert [route["name"] for route in with_lua] == ["llm"]
    assert plugins(with_lua[0])["pre-function"]["access"] == [written]


def test_guest_logins_are_limited_by_address() -> None:
    (auth,) = [route for route in ROUTES if route["name"] == "auth"]
    assert plugins(auth)["rate-limiting"]["limit_by"] == "ip"


def test_messages_that_kong_puts_into_json_unescaped_need_no_escape() -> None:
    messages = [
        config["error_message"]
        for route in ROUTES
        for config in plugins(route).values()
        if "error_message" in config
    ]
    assert messages
    assert not any('"' in message or "\\" in message for message in messages)
