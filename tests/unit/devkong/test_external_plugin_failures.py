"""How Kong fails when a plugin server does: open, unless the acl guard is on the route."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.unit.devkong.raw_http import Upstream, ask
from tests.unit.devkong.running import RunningDevkong, running
from tests.unit.devkong.scripted_plugin_server import (
    Event,
    ScriptedPluginServer,
    Stuck,
    scripted,
)

STOCK = Path(__file__).with_name("stock_plugin.py")

CONFIG = """
_format_version: "3.0"
services:
  - name: up
    url: http://127.0.0.1:{port}
    routes:
      - name: open
        paths: [/open]
        plugins: [{{name: {plugin}{config}}}]
      - name: other
        paths: [/other]
        plugins: [{{name: {plugin}}}]
      - name: guarded
        paths: [/guarded]
        plugins:
          - name: {plugin}
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
    text = CONFIG.format(port=echo.port, plugin="scripted", config="")
    with scripted(folder) as server:
        server.script = grants
        with running(folder, text, server.environment) as devkong:
            yield server, devkong


@contextmanager
def stock(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the stock plugin's server by hand, as Kong does without a start command."""
    path = folder / "stock.sock"
    path.unlink(missing_ok=True)
    process = subprocess.Popen([sys.executable, str(STOCK), "--kong-prefix", str(folder)])
    try:
        until(lambda: accepts(path))
        yield process
    finally:
        process.kill()
        process.wait()


def accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(path))
        except OSError:
            return False
        return True


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def stock_environment(folder: Path, start: bool = False) -> dict[str, str]:
    command = f"{sys.executable} {STOCK} --kong-prefix {folder}"
    return {
        "KONG_PLUGINS": "bundled,stock",
        "KONG_PLUGINSERVER_NAMES": "stock",
        "KONG_PLUGINSERVER_STOCK_SOCKET": str(folder / "stock.sock"),
        "KONG_PLUGINSERVER_STOCK_QUERY_CMD": f"{command} --dump",
        **({"KONG_PLUGINSERVER_STOCK_START_CMD": command} if start else {}),
        "KONG_LUA_SOCKET_READ_TIMEOUT": "500ms",
    }


def stock_config(echo: Upstream) -> str:
    return CONFIG.format(port=echo.port, plugin="stock", config=", config: {tag: open}")


def test_a_dead_plugin_server_lets_requests_through_and_the_guard_stops_them(
    short_path: Path, echo: Upstream
) -> None:
    with running_stock(short_path, echo) as (process, devkong):
        assert ask(devkong.port, "/open").status == 200
        assert ask(devkong.port, "/guarded").status == 200
        process.kill()
        process.wait()
        got = ask(devkong.port, "/open", b"X-Tag: the client's own")
        assert got.status == 200
        assert echo.last.get(b"x-tag") == b"the client's own"
        seen = len(echo.requests)
        assert ask(devkong.port, "/guarded").status == 401
        assert len(echo.requests) == seen


@contextmanager
def running_stock(
    folder: Path, echo: Upstream
) -> Iterator[tuple[subprocess.Popen[bytes], RunningDevkong]]:
    with (
        stock(folder) as process,
        running(folder, stock_config(echo), stock_environment(folder)) as devkong,
    ):
        yield process, devkong


def test_a_plugin_server_that_was_never_there_is_500(short_path: Path, echo: Upstream) -> None:
    environment = stock_environment(short_path)
    with running(short_path, stock_config(echo), environment) as devkong:
        assert ask(devkong.port, "/open").status == 500
    assert echo.requests == []


def test_a_handler_that_raises_hangs_until_the_timeout_and_is_then_left_out(
    short_path: Path, echo: Upstream
) -> None:
    with running_stock(short_path, echo) as (_, devkong):
        assert ask(devkong.port, "/open").status == 200
        assert ask(devkong.port, "/guarded").status == 200
        began = time.monotonic()
        assert ask(devkong.port, "/open", b"X-Do: raise").status == 200
        assert 0.4 < time.monotonic() - began < 3
        assert echo.last.get(b"x-tag") is None
        seen = len(echo.requests)
        assert ask(devkong.port, "/guarded", b"X-Do: raise").status == 401
        assert len(echo.requests) == seen


def test_a_header_that_is_not_utf8_switches_a_stock_plugin_off(
    short_path: Path, echo: Upstream
) -> None:
    with running_stock(short_path, echo) as (_, devkong):
        assert ask(devkong.port, "/open").status == 200
        assert echo.last.get(b"x-tag") == b"open"
        assert ask(devkong.port, "/open", b"X-Odd: \xff").status == 200
        assert echo.last.get(b"x-tag") is None
        assert ask(devkong.port, "/guarded", b"X-Odd: \xff").status == 401


def test_instance_ids_outlive_a_restart_and_one_route_runs_with_anothers_config(
    short_path: Path, echo: Upstream
) -> None:
    environment = stock_environment(short_path)
    with running(short_path, stock_config(echo), environment) as devkong:
        with stock(short_path):
            ask(devkong.port, "/open")
            ask(devkong.port, "/other")
            assert echo.last.get(b"x-tag") == b"none"
        with stock(short_path):
            # the new server knows no ids yet: "no plugin instance", so it is started anew
            ask(devkong.port, "/other")
            assert echo.last.get(b"x-tag") == b"none"
            ask(devkong.port, "/open")
            assert echo.last.get(b"x-tag") == b"open"
        with stock(short_path):
            # 0 was /other's: whoever asks first under it gets it, here /open starts it
            ask(devkong.port, "/open")
            ask(devkong.port, "/other")
            assert echo.last.get(b"x-tag") == b"none"
        with stock(short_path) as process:
            start_instance_by_hand(short_path, "stranger")
            ask(devkong.port, "/open")
            assert echo.last.get(b"x-tag") == b"stranger"
            assert process.poll() is None


def start_instance_by_hand(folder: Path, tag: str) -> None:
    config = json.dumps({"tag": tag})
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(folder / "stock.sock"))
        call = [0, 1, "plugin.StartInstance", [{"Name": "stock", "Config": config}]]
        sock.sendall(msgpack.packb(call))
        assert msgpack.unpackb(sock.recv(65536))[2] is None


def test_a_stopped_plugin_server_is_waited_for_and_then_left_out(
    short_path: Path, echo: Upstream
) -> None:
    with running_stock(short_path, echo) as (process, devkong):
        assert ask(devkong.port, "/guarded").status == 200
        os.kill(process.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            assert ask(devkong.port, "/guarded").status == 401
            assert time.monotonic() - began > 0.4
        finally:
            os.kill(process.pid, signal.SIGCONT)


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


def test_a_plugin_server_that_dies_is_started_again_within_a_second(
    short_path: Path, echo: Upstream
) -> None:
    environment = stock_environment(short_path, start=True)
    with running(short_path, stock_config(echo), environment) as devkong:
        process = devkong.devkong.processes[0]
        first = process.pid
        assert first is not None
        assert ask(devkong.port, "/guarded").status == 200
        os.kill(first, signal.SIGKILL)
        until(lambda: process.pid not in (None, first), 5)
        until(lambda: ask(devkong.port, "/guarded").status == 200, 5)
        last = process.pid
    assert last is not None
    with pytest.raises(ProcessLookupError):
        os.kill(last, 0)
