"""What kong.yml promises to an operator who copies it."""

from typing import Any

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
    return {each["name"]: each.get("config", {}) for each in route.get("plugins", [])}


WITH_JAN_MEDIA = [route for route in ROUTES if "jan-media" in plugins(route)]
PROTECTED = [route for route in WITH_JAN_MEDIA if plugins(route)["jan-media"]["auth"] != "off"]


def test_media_and_model_routes_have_the_plugin() -> None:
    assert [route["name"] for route in PROTECTED] == ["media", "files-api", "llm"]


@pytest.mark.parametrize("route", WITH_JAN_MEDIA, ids=lambda route: str(route["name"]))
def test_every_route_with_the_plugin_has_the_gate(route: dict[str, Any]) -> None:
    assert plugins(route)["jan-media-gate"] == {}


@pytest.mark.parametrize("route", PROTECTED, ids=lambda route: str(route["name"]))
def test_every_protected_route_has_the_guard(route: dict[str, Any]) -> None:
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
    assert told == ["jan-media-sidecar", "jan-media-files-api"]


def test_there_is_no_lua_in_it() -> None:
    names = {name for route in ROUTES for name in plugins(route)}
    assert not names & {"pre-function", "post-function"}


def test_guests_and_only_guests_are_limited_at_the_model() -> None:
    (guests,) = (consumer["id"] for consumer in KONG_YML["consumers"])
    (limit,) = (each for each in KONG_YML["plugins"] if each["name"] == "rate-limiting")
    assert (limit["route"], limit["consumer"], limit["config"]["limit_by"]) == ("llm", guests, "ip")
    for route in PROTECTED:
        (issuer,) = plugins(route)["jan-media"]["issuers"]
        assert issuer["consumer_id"] == guests


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
