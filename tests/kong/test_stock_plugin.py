"""How Kong fails when a plugin server does: open, unless the acl guard is on the route.

The plugin server is kong-pdk's own, which an operator would use without ours.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.e2e.processes import family
from tests.kong.gateway import config, route, running
from tests.support.raw_http import Upstream, ask

PATIENCE = 2
"""Seconds that Kong waits for the plugin server."""
STOCK = Path(__file__).with_name("stock_plugin.py")
GUARD = {
    "name": "acl",
    "config": {
        "allow": ["jan"],
        "always_use_authenticated_groups": True,
        "hide_groups_header": True,
    },
}


@contextmanager
def gateway(folder: Path, upstream: Upstream, *, starts_it: bool = False) -> Iterator[int]:
    """A gateway with the stock plugin, whose server it starts itself or leaves to the test."""
    command = f"{sys.executable} {STOCK} --kong-prefix {folder}"
    settings = {
        "KONG_PLUGINSERVER_NAMES": "stock",
        "KONG_PLUGINSERVER_STOCK_SOCKET": str(folder / "stock.sock"),
        "KONG_PLUGINSERVER_STOCK_QUERY_CMD": f"{command} --dump",
        **({"KONG_PLUGINSERVER_STOCK_START_CMD": command} if starts_it else {}),
        "KONG_NGINX_HTTP_LUA_SOCKET_READ_TIMEOUT": f"{PATIENCE}s",
    }
    document = config(
        upstream.port,
        route("open", {"name": "stock", "config": {"tag": "open"}}),
        route("other", {"name": "stock"}),
        route("guarded", {"name": "stock"}, GUARD),
    )
    with running(folder, document, settings, ["stock"]) as port:
        yield port


@contextmanager
def stock(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the stock plugin's server by hand, as Kong does with a start command."""
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


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def port(folder: Path, served: Upstream) -> Iterator[int]:
    """A gateway whose plugin server each test runs."""
    with gateway(folder, served) as port:
        yield port


@pytest.fixture
def server(folder: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """The plugin server, of which the gateway has started all instances."""
    with stock(folder) as process:
        for path in ("/open", "/other", "/guarded"):
            until(lambda path=path: ask(port, path).status == 200)  # type: ignore[misc]
        yield process


def test_a_plugin_server_that_was_never_there_is_500(tmp_path: Path, up: Upstream) -> None:
    with gateway(tmp_path, up) as port:
        assert ask(port, "/open").status == 500
    assert up.requests == []


def test_a_dead_plugin_server_lets_requests_through_and_the_guard_stops_them(
    port: int, up: Upstream, server: "subprocess.Popen[bytes]"
) -> None:
    server.kill()
    server.wait()
    got = ask(port, "/open", b"X-Tag: the client's own")
    assert got.status == 200
    assert up.last.get(b"x-tag") == b"the client's own"
    seen = len(up.requests)
    assert ask(port, "/guarded").status == 401
    assert len(up.requests) == seen


@pytest.mark.usefixtures("server")
def test_a_header_that_is_not_utf8_switches_a_stock_plugin_off(port: int, up: Upstream) -> None:
    assert ask(port, "/open").status == 200
    assert up.last.get(b"x-tag") == b"open"
    assert ask(port, "/open", b"X-Odd: \xff").status == 200
    assert up.last.get(b"x-tag") is None
    assert ask(port, "/guarded", b"X-Odd: \xff").status == 401


def test_a_stopped_plugin_server_is_waited_for_and_then_left_out(
    port: int, up: Upstream, server: "subprocess.Popen[bytes]"
) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert ask(port, "/guarded").status == 401
        assert time.monotonic() - began > PATIENCE / 2
    finally:
        os.kill(server.pid, signal.SIGCONT)


@pytest.mark.parametrize(("path", "status"), [("/open", 200), ("/guarded", 401)])
def test_a_handler_that_raises_hangs_until_the_timeout_and_is_then_left_out(
    tmp_path: Path, up: Upstream, path: str, status: int
) -> None:
    with gateway(tmp_path, up) as port, stock(tmp_path):
        until(lambda: ask(port, path).status == 200)
        began = time.monotonic()
        assert ask(port, path, b"X-Do: raise").status == status
        assert PATIENCE / 2 < time.monotonic() - began < PATIENCE * 4
        assert (up.last.get(b"x-tag") is None) == (status == 200)


def test_instance_ids_outlive_a_restart_and_one_route_runs_with_anothers_config(
    tmp_path: Path, up: Upstream
) -> None:
    with gateway(tmp_path, up) as port:
        with stock(tmp_path):
            until(lambda: ask(port, "/open").status == 200)
            assert up.last.get(b"x-tag") == b"open"
        with stock(tmp_path):
            start_instance_by_hand(tmp_path, "stranger")
            ask(port, "/open")
            assert up.last.get(b"x-tag") == b"stranger"


def start_instance_by_hand(folder: Path, tag: str) -> None:
    config = json.dumps({"tag": tag})
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(folder / "stock.sock"))
        call: list[Any] = [0, 1, "plugin.StartInstance", [{"Name": "stock", "Config": config}]]
        sock.sendall(msgpack.packb(call))
        assert msgpack.unpackb(sock.recv(65536))[2] is None


def test_a_plugin_server_that_dies_is_started_again(tmp_path: Path, up: Upstream) -> None:
    with gateway(tmp_path, up, starts_it=True) as port:
        until(lambda: ask(port, "/guarded").status == 200)
        first = plugin_server()
        os.kill(first, signal.SIGKILL)
        until(lambda: ask(port, "/guarded").status == 200)
        assert plugin_server() != first


def plugin_server() -> int:
    """The stock plugin's server that a gateway of this process has started."""
    (pid,) = (
        pid
        for pid, command in family(os.getpid())
        if command.startswith(sys.executable) and "stock_plugin.py" in command
    )
    return pid
