"""Spans of the plugin, as a collector gets them; none if tracing is off."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.kong_driver import (
    KongDriver,
    PluginServerProcess,
    ScriptedRequest,
    running_plugin_server,
)
from tests.support.otlp import CLIENTS_SPAN, CLIENTS_TRACE, TRACEPARENT, Collector, collector
from tests.support.waiting import wait_until
from tests.unit.plugin.bodies import ID
from tests.unit.plugin.conftest import ADMIT, Ask, Config, filled
from tests.unit.plugin.fake_sidecar import FakeSidecar
from tests.unit.plugin.test_access import bearer, chat


@pytest.fixture(scope="module")
def spans() -> Iterator[Collector]:
    with collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(
    spans: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PluginServerProcess]:
    """A plugin server that sends its spans to the collector."""
    prefix = tmp_path_factory.mktemp("traced")
    server = running_plugin_server(prefix, ["-m", "jan_media_plugin"], "jan-media.sock")
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in spans.environment.items():
                patch.setenv(name, value)
            started = stack.enter_context(server)
        yield started


def sent_on(server: PluginServerProcess, config: Config, **headers: str) -> ScriptedRequest:
    """A request with an id in its body, and what became of it."""
    asked = ScriptedRequest()
    asked.shared["jan_media_gathered"] = {
        "headers": {**bearer(), **headers, "content-length": "200"},
        "body": chat(ID).decode(),
        "route": "llm",
        "request_id": "0f0f",
    }
    asked.pdk[ADMIT] = lambda changes, *_: asked.headers_set.update(changes)
    with KongDriver(server.path, plugin="jan-media") as kong:
        kong.request(asked, filled(config))
    return asked


def test_plugin_sidecar_and_model_are_parts_of_the_clients_trace(
    traced: PluginServerProcess, spans: Collector, sidecar: FakeSidecar, config: Config
) -> None:
    sidecar.media[ID] = "https://media.example/x"
    asked = sent_on(traced, config, traceparent=TRACEPARENT)
    wait_until(lambda: len(spans.named("jan-media llm")) == 1)
    (question,) = spans.named("POST /internal/resolve")
    (request,) = spans.named("jan-media llm")

    assert {service for service, _ in spans.spans} == {"jan-media-plugin"}
    assert request.trace_id.hex() == question.trace_id.hex() == CLIENTS_TRACE
    assert request.parent_span_id.hex() == CLIENTS_SPAN
    assert question.parent_span_id == request.span_id
    said = {each.key: each.value.string_value for each in request.attributes}
    assert said == {"http.route": "llm", "jan.request_id": "0f0f", "jan.outcome": "admitted"}
    to_model, to_sidecar = asked.headers_set["traceparent"], sidecar.headers[-1]["traceparent"]
    assert to_model == f"00-{CLIENTS_TRACE}-{request.span_id.hex()}-01"
    assert to_sidecar == f"00-{CLIENTS_TRACE}-{question.span_id.hex()}-01"


@pytest.mark.parametrize("odd", ["", "00-zz-b7ad6b7169203331-01", "x" * 5000])
def test_an_odd_traceparent_begins_a_trace(
    traced: PluginServerProcess, spans: Collector, sidecar: FakeSidecar, config: Config, odd: str
) -> None:
    sidecar.media[ID] = "https://media.example/x"
    spans.spans.clear()
    asked = sent_on(traced, config, traceparent=odd)
    wait_until(lambda: len(spans.named("jan-media llm")) == 1)
    (request,) = spans.named("jan-media llm")
    trace = request.trace_id.hex()
    assert asked.headers_set["traceparent"].startswith(f"00-{trace}-{request.span_id.hex()}-")


def test_without_a_collector_the_clients_trace_is_left_alone(
    ask: Ask, sidecar: FakeSidecar
) -> None:
    sidecar.media[ID] = "https://media.example/x"
    _, asked = ask({**bearer(), "traceparent": TRACEPARENT}, chat(ID))
    assert "traceparent" not in asked.headers_set
    assert "traceparent" not in sidecar.headers[-1]


def test_without_a_collector_nothing_of_opentelemetry_is_loaded() -> None:
    program = (
        "import sys, jan_media_plugin.handler, jan_media_plugin.tracing as tracing\n"
        "from jan_media.tracing import start, stop\n"
        "start('x'); tracing.begin({}, '', None); tracing.passed_on(); stop()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_a_collector_without_the_extra_is_a_warning() -> None:
    program = (
        "import sys, logging, jan_media_plugin.tracing as tracing\n"
        "from jan_media.tracing import start\n"
        "sys.modules['opentelemetry.sdk.trace'] = None\n"
        "start('x'); assert tracing.begin({}, '', None) is None"
    )
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "install the extra otel" in done.stderr


def test_a_collector_that_is_away_does_not_hold_up_the_end(
    tmp_path: Path, sidecar: FakeSidecar, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar.media[ID] = "https://media.example/x"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    command = ["-m", "jan_media_plugin"]
    with running_plugin_server(tmp_path, command, "jan-media.sock") as server:
        sent_on(server, config)
        server.process.terminate()
        assert server.process.wait(15) == 0
