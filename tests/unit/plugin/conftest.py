"""A plugin server with the real plugin, a Kong that talks to it, and a sidecar that it asks."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jan_media_plugin.config import Schema
from jan_media_plugin.schema import Field

from tests.support.kong_driver import (
    Binary,
    KongDriver,
    Outcome,
    PluginLeft,
    PluginServerProcess,
    ScriptedRequest,
    running_plugin_server,
)
from tests.unit.plugin.fake_sidecar import FakeSidecar, running_fake_sidecar
from tests.unit.plugin.in_lua import Gate
from tests.unit.plugin.tokens import EC_KEY, ISSUER, public_jwk

GATHERED = "jan_media_gathered"
PIECE = "kong.ctx.shared.jan_media_piece"
ADMIT = "kong.ctx.shared.jan_media_admit"

Config = dict[str, Any]
Ask = Callable[..., tuple[Outcome, ScriptedRequest]]


def filled(given: Config, fields: list[Field] = Schema) -> Config:
    """A config as Kong sends it: with defaults, and None for what is not set."""
    config: Config = {}
    for field in fields:
        ((name, kind),) = field.items()
        value = given.get(name, kind.get("default"))
        if name == "issuers":
            value = [filled(issuer, kind["elements"]["fields"]) for issuer in value]
        config[name] = value
    assert not given.keys() - config.keys()
    return config


@pytest.fixture
def sidecar() -> Iterator[FakeSidecar]:
    """A sidecar of the test's own, which also publishes the issuer's keys."""
    with running_fake_sidecar() as fake:
        fake.jwks = {"keys": [public_jwk(EC_KEY)]}
        yield fake


@pytest.fixture
def config(sidecar: FakeSidecar) -> Config:
    """A usual configuration of an LLM route."""
    return {
        "sidecar_url": sidecar.url,
        "issuers": [
            {"issuer": ISSUER, "jwks_url": f"{sidecar.url}/jwks.json", "audience": ["jan"]}
        ],
        "resolve": True,
    }


@pytest.fixture(scope="session")
def metrics_at() -> str:
    """Where the plugin server shows its metrics."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture(scope="session")
def plugin_server(
    tmp_path_factory: pytest.TempPathFactory, metrics_at: str
) -> Iterator[PluginServerProcess]:
    """``python -m jan_media_plugin``, once for all."""
    prefix: Path = tmp_path_factory.mktemp("kong")
    command = ["-m", "jan_media_plugin", "--metrics-listen", metrics_at]
    with running_plugin_server(prefix, command, "jan-media.sock") as process:
        yield process


@pytest.fixture
def ask(plugin_server: PluginServerProcess, config: Config) -> Iterator[Ask]:
    """Sends a request through gate and plugin: how it ended, and what became of the request."""
    with KongDriver(plugin_server.path, plugin="jan-media") as kong:

        def send(
            headers: dict[Any, Any] | None = None,
            body: bytes = b"",
            *,
            consumer: dict[str, str] | None = None,
            slow_body: float = 0.0,
            **changes: Any,
        ) -> tuple[Outcome, ScriptedRequest]:
            headers = dict(headers or {})
            if body and not headers.keys() & {"content-length", "transfer-encoding"}:
                headers["content-length"] = str(len(body))
            asked = ScriptedRequest(headers=headers, body=body)
            gate = Gate(asked.headers, body).access()
            asked.shared[GATHERED] = gate.gathered
            asked.pdk[PIECE] = gate.piece
            asked.pdk["kong.client.get_consumer"] = lambda: consumer
            if slow_body:
                asked.pdk["kong.request.get_raw_body"] = lambda _: _late(slow_body, body)
            asked.pdk[ADMIT] = lambda *args: _admit(asked, gate, *args)
            outcome = kong.request(asked, filled({**config, **changes}))
            del asked.shared[GATHERED]
            return outcome, asked

        yield send


def _late(seconds: float, body: bytes) -> Binary:
    time.sleep(seconds)
    return Binary(body)


def _admit(asked: ScriptedRequest, gate: Gate, *args: Any) -> None:
    done = gate.admit(*args)
    assert done.status is None
    assert done.open
    asked.headers_set, asked.body_set = done.headers, done.body
    asked.authenticated = done.identity
    if done.groups is not None:
        asked.shared["authenticated_groups"] = done.groups
    raise PluginLeft
