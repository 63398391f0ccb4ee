"""A whole stack whose plugin server has a fault in its handler for as long as a test wants it."""

import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from demo.part import Part
from tests.e2e.conftest import WatchedStack
from tests.e2e.processes import family
from tests.support.waiting import wait_until

START_COMMAND = "KONG_PLUGINSERVER_JAN_MEDIA_START_CMD"
TIME_LIMIT = 2
KONG_WAITS = 4
"""Seconds, above the plugin server's time limit as they have to be."""


class FaultyStack(WatchedStack):
    """Starts tests/e2e/faulty_handler.py in the plugin server's place, with Kong's own setting."""

    def _gateway(self, secret: str, issuer: str) -> Part:
        gateway = super()._gateway(secret, issuer)
        _, module, flags = gateway.environment[START_COMMAND].partition("-m jan_media_plugin")
        assert module
        script = Path(__file__).with_name("faulty_handler.py")
        self._fault_file.write_text("", "utf-8")
        command = [sys.executable, "-P", str(script), str(self._fault_file)]
        limits = f" --time-limit {TIME_LIMIT} --kong-read-timeout {KONG_WAITS}"
        settings = {
            START_COMMAND: shlex.join(command) + flags + limits,
            "KONG_NGINX_HTTP_LUA_SOCKET_READ_TIMEOUT": f"{KONG_WAITS}s",
        }
        return replace(gateway, environment={**gateway.environment, **settings})

    @property
    def _fault_file(self) -> Path:
        return self.folder / "fault"

    @contextmanager
    def fault(self, what: str, where: str) -> Iterator[None]:
        """Within this the plugin server has the fault; see faulty_handler.py for their names."""
        self._write(json.dumps({"what": what, "where": where}))
        try:
            yield
        finally:
            self._write("")

    def _write(self, fault: str) -> None:
        """Replaces the file at once: it is never read half-written."""
        new = self._fault_file.with_suffix(".new")
        new.write_text(fault, "utf-8")
        new.rename(self._fault_file)

    def plugin_servers(self) -> list[int]:
        """The plugin server's processes."""
        found = family(self.gateway.pid)
        return [pid for pid, command in found if "faulty_handler" in command]

    def signal_plugin_server(self, number: signal.Signals) -> None:
        """Sends a signal to the plugin server, once there is one."""
        for pid in wait_until(self.plugin_servers):
            os.kill(pid, number)
