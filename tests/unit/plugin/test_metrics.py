"""What the plugin counts, as Prometheus reads it from the plugin server."""

import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from jan_media_plugin.metrics import NO_ROUTE, count_request
from jan_media_plugin.metrics import REGISTRY as registry

from tests.support.kong_driver import (
    KongDriver,
    PluginServerProcess,
    ScriptedRequest,
    running_plugin_server,
)
from tests.support.scrape import Scrape
from tests.support.waiting import wait_until
from tests.unit.plugin.bodies import ID, OTHER_ID
from tests.unit.plugin.conftest import Ask, filled
from tests.unit.plugin.fake_sidecar import FakeSidecar
from tests.unit.plugin.test_access import bearer, chat
from tests.unit.plugin.test_inline_media import STORE, data_url

URL = "https://media.example/x"
Counted = Callable[..., float]


@pytest.fixture
def metrics_url(plugin_server: PluginServerProcess, metrics_at: str) -> str:
    """Where the plugin server shows its metrics, as it does soon after its start."""
    wait_until(lambda: answers(f"http://{metrics_at}/metrics"))
    return f"http://{metrics_at}/metrics"


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.ConnectError:
        return False


@pytest.fixture
def counted(metrics_url: str) -> Counted:
    """How much a metric has risen since the test began."""
    before = Scrape(metrics_url)

    def risen(name: str, **labels: str) -> float:
        return Scrape(metrics_url).value(name, **labels) - before.value(name, **labels)

    return risen


def test_requests_are_counted_by_route_and_outcome(ask: Ask, counted: Counted) -> None:
    ask(bearer())
    ask(bearer())
    ask()
    name = "jan_media_plugin_requests_total"
    assert counted(name, route="llm", outcome="admitted") == 2
    assert counted(name, route="llm", outcome="unauthenticated") == 1
    assert counted("jan_media_plugin_seconds_count", route="llm") == 3


def test_a_route_without_the_gate_is_counted_as_misconfigured(
    plugin_server: PluginServerProcess, counted: Counted, config: dict[str, Any]
) -> None:
    with KongDriver(plugin_server.path, plugin="jan-media") as kong:
        assert kong.request(ScriptedRequest(), filled(config)).status == 500
    name = "jan_media_plugin_requests_total"
    assert counted(name, route=NO_ROUTE, outcome="gateway_misconfigured") == 1


def test_the_time_of_a_slow_body_is_the_clients(ask: Ask, counted: Counted) -> None:
    began = time.perf_counter()
    ask(bearer(), chat(padding=500_000), slow_body=0.3)
    assert time.perf_counter() - began > 0.3
    assert counted("jan_media_plugin_seconds_sum", route="llm") < 0.3
    assert counted("jan_media_plugin_body_bytes_total") > 500_000


def test_ids_are_counted_by_what_became_of_them(
    ask: Ask, sidecar: FakeSidecar, counted: Counted
) -> None:
    ours = "https://media.example/of-ours"
    sidecar.media = {ID: URL, ours: URL}
    sidecar.foreign = ["https://elsewhere.example/v1/media/jan_01hqr8v9k2x3f4g5h6j7k8m9n0"]
    ask(bearer(), chat(ID))
    ask(bearer(), chat(ID, OTHER_ID), unresolved="pass")
    ask(bearer(), chat(*sidecar.foreign))
    name = "jan_media_plugin_ids_total"
    results = ("resolved", "cached", "unknown", "foreign")
    assert [counted(name, result=result) for result in results] == [1, 1, 1, 1]
    asked = {"question": "/internal/resolve", "outcome": "200"}
    assert counted("jan_media_plugin_sidecar_seconds_count", **asked) == 3


def test_renditions_are_counted_whenever_they_go_on(
    ask: Ask, sidecar: FakeSidecar, counted: Counted
) -> None:
    sidecar.media[ID] = URL
    sidecar.renditions.add(ID)
    for _ in range(2):
        ask(bearer(), chat(ID))
    assert counted("jan_media_plugin_renditions_total") == 2


def test_bytes_that_are_taken_in_are_counted_once(ask: Ask, counted: Counted) -> None:
    body = chat(data_url(os.urandom(5000)))
    for _ in range(2):
        ask(bearer(), body, **STORE)
    assert counted("jan_media_plugin_inline_bytes_total") == 5000


def test_a_sidecar_that_is_away_is_counted(ask: Ask, counted: Counted, unused_url: str) -> None:
    ask(bearer(), chat(ID), sidecar_url=unused_url)
    asked = {"question": "/internal/resolve", "outcome": "away"}
    assert counted("jan_media_plugin_sidecar_seconds_count", **asked) == 1


@pytest.fixture
def unused_url() -> str:
    """The URL of a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_routes_without_end_become_one_label() -> None:
    for number in range(2000):
        count_request(f"made-by-a-program-{number}", "admitted", 0.001)
    requests = next(each for each in registry.collect() if "requests" in each.name)
    routes = {each.labels["route"] for each in requests.samples}
    assert len(routes) == 501
    assert NO_ROUTE in routes


def test_a_silent_scraper_holds_nobody_up_and_is_let_go(metrics_url: str, metrics_at: str) -> None:
    host, _, port = metrics_at.partition(":")
    with socket.create_connection((host, int(port))) as silent:
        assert httpx.get(metrics_url).status_code == 200
        assert silent.recv(1) == b""


def test_an_address_that_a_predecessor_has_is_taken_when_it_ends(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with socket.create_server(("127.0.0.1", 0)) as predecessor:
            at = f"127.0.0.1:{predecessor.getsockname()[1]}"
            command = ["-m", "jan_media_plugin", "--metrics-listen", at]
            server = running_plugin_server(tmp_path, command, "jan-media.sock")
            process = stack.enter_context(server)
            wait_until(lambda: "metrics cannot be shown" in process.log)
        wait_until(lambda: answers(f"http://{at}/metrics"))
