"""How Kong fails over a plugin server that answers wrongly, late or not at all."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.raw_http import Upstream, ask
from tests.unit.devkong.running import RunningDevkong, running
from tests.unit.devkong.scripted_plugin_server import (
    Event,
    ScriptedPluginServer,
    Stuck,
    scripted,
)

CONFIG = """
_format_version: "3.0"
services:
  - name: up
    url: http://127.0.0.1:{port}
    routes:
      - name: open
        paths: [/open]
        plugins: [{{name: scripted}}]
      - name: guarded
        paths: [/guarded]
        plugins:
          - name: scripted
          - name: acl
            config:
              allow: [jan]
              always_use_authenticated_groups: true
              hide_groups_header: true
"""


def grants(_config: dict[str, Any]) -> Event:
    yield "kong.ctx.shared.set", ["authenticated_groups", ["jan"]]


def sticks(_config: dict[str, Any]) -> Event:
    raise Stuck
    yield "never", []


@contextmanager
def with_scripted(
    folder: Path, echo: Upstream
) -> Iterator[tuple[ScriptedPluginServer, RunningDevkong]]:
    text = CONFIG.format(port=echo.port)
    with scripted(folder) as server:
        server.script = grants
        with running(folder, text, server.environment) as devkong:
            yield server, devkong


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_an_unknown_instance_is_started_anew_and_the_event_repeated(
    short_path: Path, echo: Upstream
) -> None:
    with with_scripted(short_path, echo) as (server, devkong):
        assert ask(devkong.port, "/guarded").status == 200
        server.instances.clear()
        assert ask(devkong.port, "/guarded").status == 200
        assert server.methods.count("plugin.StartInstance") == 2


def test_an_instance_that_cannot_be_started_is_500_and_tried_again_next_time(
    short_path: Path, echo: Upstream
) -> None:
    with with_scripted(short_path, echo) as (server, devkong):
        server.refuses_to_start = "bad config"
        assert ask(devkong.port, "/open").status == 500
        server.refuses_to_start = None
        assert ask(devkong.port, "/open").status == 200


def test_requests_that_come_together_start_one_instance(short_path: Path, echo: Upstream) -> None:
    with with_scripted(short_path, echo) as (server, devkong):
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: ask(devkong.port, "/open").status, range(8)))
        assert answers == [200] * 8
        assert server.methods.count("plugin.StartInstance") == 1


def test_an_error_in_place_of_a_step_leaves_the_plugin_out(
    short_path: Path, echo: Upstream
) -> None:
    def loses_its_event(_config: dict[str, Any]) -> Event:
        server.message_error = "event id 7 not found"
        yield "kong.request.get_method", []

    with with_scripted(short_path, echo) as (server, devkong):
        server.script = loses_its_event
        assert ask(devkong.port, "/open").status == 200
        server.message_error = None
        assert ask(devkong.port, "/guarded").status == 401


def test_a_stuck_connection_goes_back_to_the_pool_and_breaks_the_next_request(
    short_path: Path, echo: Upstream
) -> None:
    with with_scripted(short_path, echo) as (server, devkong):
        assert ask(devkong.port, "/open").status == 200
        server.script = sticks
        assert ask(devkong.port, "/open").status == 200
        server.script = grants
        # the same connection is taken again; what arrives on it answers the call before
        with ThreadPoolExecutor(1) as thread:
            poisoned = thread.submit(ask, devkong.port, "/open")
            until(server.another_call_waits)
            server.release.set()
            assert poisoned.result().status == 500
        assert ask(devkong.port, "/guarded").status == 200


def test_an_answer_under_another_message_id_is_500(short_path: Path, echo: Upstream) -> None:
    with with_scripted(short_path, echo) as (server, devkong):
        assert ask(devkong.port, "/open").status == 200
        server.message_id_offset = 1
        assert ask(devkong.port, "/open").status == 500
