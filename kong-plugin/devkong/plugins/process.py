"""Queries, starts, watches and restarts the plugin server's process."""

import asyncio
import contextlib
import json
import logging
import subprocess
import time
from typing import NamedTuple

from devkong.config.schema import PluginSchema, schema_of
from devkong.settings import PluginServerSettings

_log = logging.getLogger("devkong.pluginserver")

_NOTICE_DEATH_SECONDS = 0.06
_LEAST_BETWEEN_SPAWNS = 1.0
_STOP_SECONDS = 5.0


class BadPluginServer(Exception):
    """The query command did not print what Kong needs."""


class PluginInfo(NamedTuple):
    """A plugin server's description of its plugin."""

    name: str
    priority: int
    schema: PluginSchema
    server: PluginServerSettings


def query(server: PluginServerSettings) -> PluginInfo:
    """Run the query command and read its JSON. Raises BadPluginServer."""
    # the operator's own command, run by a shell as Kong's io.popen does
    result = subprocess.run(server.query, shell=True, stdout=subprocess.PIPE, check=False)  # noqa: S602
    try:
        dump = json.loads(result.stdout)
        info = (dump["Plugins"] if isinstance(dump, dict) else dump)[0]
        protocol = dump.get("Protocol", "MsgPack:1") if isinstance(dump, dict) else "MsgPack:1"
        schema, phases = schema_of(info["Schema"]), info["Phases"]
        plugin = PluginInfo(info["Name"], int(info["Priority"]), schema, server)
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration) as error:
        raise BadPluginServer(
            f"{server.name}: the query command printed no plugin info ({error!r}): {server.query}"
        ) from error
    if protocol != "MsgPack:1" or phases != ["access"]:
        raise BadPluginServer(
            f"{server.name}: devkong speaks MsgPack:1 and runs the phase access; "
            f"this plugin asks for {protocol} and {', '.join(phases)}"
        )
    return plugin


class PluginServerProcess:
    """Keeps one plugin server running."""

    def __init__(self, server: PluginServerSettings) -> None:
        self._server = server
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The current process's id, None if none runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and running else None

    def start(self) -> None:
        """Start it, and restart it whenever it dies. Nothing if Kong is not to start it."""
        if self._server.start:
            self._task = asyncio.get_running_loop().create_task(self._keep_running())

    async def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL after five seconds."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _keep_running(self) -> None:
        next_spawn = 0.0
        while True:
            await asyncio.sleep(max(0.0, next_spawn - time.monotonic()))
            next_spawn = time.monotonic() + _LEAST_BETWEEN_SPAWNS
            _log.info("starting pluginserver process for %s", self._server.name)
            self._process = await asyncio.create_subprocess_shell(
                f"exec {self._server.start}",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            await self._pass_on_output(self._process)
            status = await self._process.wait()
            _log.info("external pluginserver '%s' terminated: %s", self._server.name, status)
            if status == 127:
                _log.error("start command not found: %s", self._server.start)
            await asyncio.sleep(_NOTICE_DEATH_SECONDS)

    async def _pass_on_output(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                # the line is longer than the reader's buffer, which drops it
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").rstrip()
            _log.info("[%s:%d] %s", self._server.name, process.pid, text)
