"""kong.yml's routes, as the protocol driver plays them: the plugin's config, and Lua around it."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import yaml
from jan_media_plugin.schema import Field, Schema

from bench.kong_lua import KongLua
from bench.media import BenchSidecar
from demo.addresses import Ports
from demo.kong_settings import ROOT, kong_yml_for
from tests.support.kong_driver import KongDriver, Outcome, ScriptedRequest

ISSUER = "http://localhost:8000/llm"  # the sidecar's own, unless told otherwise
_NOBODY = 9  # the discard port: a request to the model goes nowhere here


@dataclass(frozen=True, slots=True)
class Played:
    """A request that went through a route."""

    outcome: Outcome
    before_seconds: float
    """Processor time of the pre-functions' Lua."""
    after_seconds: float
    """Of the post-functions'."""


@dataclass(frozen=True, slots=True)
class PlayedRoute:
    """One route of kong.yml."""

    config: dict[str, Any]
    """The plugin's, as Kong sends it: complete with defaults."""
    before: tuple[KongLua, ...]
    after: tuple[KongLua, ...]

    def play(self, kong: KongDriver, request: ScriptedRequest) -> Played:
        """Send ``request`` through Lua, plugin and Lua again; it can be sent again after that."""
        headers = request.headers
        request.shared, request.body_set = {}, None
        before = sum(function.run(request) for function in self.before)
        outcome = kong.request(request, self.config)
        passed = outcome.kind == "passed"
        after = sum(function.run(request) for function in self.after) if passed else 0.0
        request.headers = headers
        return Played(outcome, before, after)


def route(name: str, sidecar: BenchSidecar, **changes: Any) -> PlayedRoute:
    """The route ``name`` of kong.yml, for ``sidecar``; ``changes`` are of the plugin's config.

    With ``lua=False`` it has none of its Lua either.
    """
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
    plugins = {each["name"]: each["config"] for each in found["plugins"]}
    config: dict[str, Any] = (
        plugins["jan-media"] | {"gateway_secret": sidecar.gateway_secret} | changes
    )
    around = plugins if config.get("lua") else {}
    return PlayedRoute(
        _with_defaults(config, Schema),
        _lua(around.get("pre-function")),
        _lua(around.get("post-function")),
    )


def _port(url: str) -> int:
    return urlsplit(url).port or 80


def _lua(config: dict[str, Any] | None) -> tuple[KongLua, ...]:
    return tuple(map(KongLua, config["access"])) if config else ()


def _with_defaults(given: dict[str, Any], fields: list[Field]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for field in fields:
        ((name, kind),) = field.items()
        value = given.get(name, kind.get("default"))
        if name == "issuers":
            value = [_with_defaults(each, kind["elements"]["fields"]) for each in value]
        config[name] = value
    return config
