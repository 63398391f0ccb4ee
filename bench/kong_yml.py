"""kong.yml's routes, as the protocol driver plays them: the plugin's config, and Lua around it."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import yaml
from jan_media_plugin.config import Schema
from jan_media_plugin.schema import Field

from bench.kong_lua import KongLua
from bench.media import BenchSidecar
from demo.addresses import Ports
from demo.kong_settings import ROOT, kong_yml_for
from tests.support.kong_driver import KongDriver, Outcome, PluginLeft, ScriptedRequest

ISSUER = "http://localhost:8000/llm"  # the sidecar's own, unless told otherwise
_NOBODY = 9  # the discard port: a request to the model goes nowhere here


@dataclass(frozen=True, slots=True)
class Played:
    """A request that went through a route."""

    outcome: Outcome
    before_seconds: float
    """Processor time of the gate before the plugin."""
    after_seconds: float
    """Of what it does as the plugin's last call."""


@dataclass(frozen=True, slots=True)
class PlayedRoute:
    """One route of kong.yml."""

    config: dict[str, Any]
    """The plugin's, as Kong sends it: complete with defaults."""
    lua: KongLua

    def play(self, kong: KongDriver, request: ScriptedRequest) -> Played:
        """Send ``request`` through Lua, plugin and Lua again; it can be sent again after that."""
        headers = request.headers
        request.shared, request.body_set = {}, None
        after = 0.0
        before = self.lua.gather(request)

        def finish(*args: Any) -> None:
            nonlocal after
            after = self.lua.finish(request, *args)
            raise PluginLeft

        request.pdk["kong.ctx.shared.jan_media_admit"] = finish
        outcome = kong.request(request, self.config)
        request.headers = headers
        return Played(outcome, before, after)


def route(name: str, sidecar: BenchSidecar, **changes: Any) -> PlayedRoute:
    """The route ``name`` of kong.yml, for ``sidecar``; ``changes`` are of the plugin's config."""
    ports = Ports(
        public=_port(sidecar.public_url), internal=_port(sidecar.internal_url), llm=_NOBODY
    )
    text = kong_yml_for((ROOT / "kong.yml").read_text("utf-8"), ports, ISSUER, None)
    (found,) = (
        each
        for service in yaml.safe_load(text)["services"]
        for each in service["routes"]
        if each["name"] == name
    )
    plugins = {each["name"]: each.get("config", {}) for each in found["plugins"]}
    config: dict[str, Any] = (
        plugins["jan-media"] | {"gateway_secret": sidecar.gateway_secret} | changes
    )
    return PlayedRoute(_with_defaults(config, Schema), KongLua())


def _port(url: str) -> int:
    return urlsplit(url).port or 80


def _with_defaults(given: dict[str, Any], fields: list[Field]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for field in fields:
        ((name, kind),) = field.items()
        value = given.get(name, kind.get("default"))
        if name == "issuers":
            value = [_with_defaults(each, kind["elements"]["fields"]) for each in value]
        config[name] = value
    return config
