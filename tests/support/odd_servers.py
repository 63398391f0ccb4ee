"""Servers of the odd plugin, and checks of how requests end."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.kong_driver import (
    KongDriver,
    Outcome,
    PluginServerProcess,
    ScriptedRequest,
    pack_like_lua,
    running_plugin_server,
)


@contextmanager
def odd_server(prefix: Path, *flags: str) -> Iterator[PluginServerProcess]:
    """Serve the odd plugin in ``prefix``."""
    command = ["-m", "tests.support.odd_plugin", *flags]
    with running_plugin_server(prefix, command, "odd.sock") as server:
        yield server


def driver(server: PluginServerProcess, **options: Any) -> KongDriver:
    """Return a Kong worker that talks to ``server``."""
    return KongDriver(server.path, plugin="odd", **options)


def run(kong: KongDriver, do: str, request: ScriptedRequest | None = None, **more: Any) -> Outcome:
    """Run a request through the odd plugin, which does ``do``."""
    return kong.request(request or ScriptedRequest(), {"do": do, **more})


def in_background(function: Callable[[], Outcome]) -> Callable[[], Outcome]:
    """Run ``function`` in a thread; what is returned waits for its result."""
    results: list[Outcome] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()

    def result() -> Outcome:
        thread.join(30)
        return results[0]

    return result


def until(condition: Callable[[], bool], what: str, seconds: float = 15) -> None:
    """Return once ``condition`` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.01)


def assert_refused(outcome: Outcome, status: int, code: str) -> None:
    """The plugin has answered, and in the gateway's error shape."""
    assert (outcome.kind, outcome.status) == ("exited", status)
    assert outcome.headers["Content-Type"] == "application/json"
    error = outcome.json["error"]
    assert (error["type"], error["code"], error["param"]) == ("api_error", code, None)
    assert error["message"]
    assert ("Retry-After" in outcome.headers) == (status == 503)


ACCESS = {"EventName": "access"}


def message(number: int, method: str, *args: Any) -> bytes:
    """Return one message of Kong's, packed."""
    return pack_like_lua([0, number, method, list(args)])


def connected(server: PluginServerProcess) -> socket.socket:
    """Return a connection to ``server``, to send on what Kong would not."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(10)
    connection.connect(str(server.path))
    return connection


def begin(kong: KongDriver, do: str, **more: Any) -> int:
    """Start an event, and leave it at its first PDK call; return its id."""
    instance = kong.start_instance({"do": do, **more})
    return int(kong.call("plugin.HandleEvent", {"InstanceId": instance, **ACCESS})["EventId"])
