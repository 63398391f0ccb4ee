"""`devkong start`: builds the gateway from its settings, runs it, and stops it cleanly."""

import asyncio
import contextlib
import signal

from devkong.config.declarative import load
from devkong.config.schema import PluginSchema, schema_of
from devkong.gateway import Gateway
from devkong.http.server import ClientConnection, ClientProtocol
from devkong.lua.runtime import Lua, LuaFailed
from devkong.plugins.chain import Plugin, PluginChain
from devkong.plugins.external import ExternalPlugin
from devkong.plugins.lua_plugin import LuaPlugin
from devkong.plugins.process import PluginServerProcess, query
from devkong.settings import BadSettings, Listen, Settings

BUNDLED = ("acl", "cors", "rate-limiting", "request-termination")
"""Kong's bundled plugins that devkong has, rewritten in Lua: lua/kong/plugins."""

_STOP_SECONDS = 5.0
_START_SECONDS = 10.0


class Devkong:
    """A gateway with its listener and its plugin servers.

    Raises BadConfig, BadSettings or BadPluginServer when it cannot be built.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        lua = Lua(settings.lua_package_path)
        infos = {info.name: info for info in map(query, settings.plugin_servers)}
        self._externals: list[ExternalPlugin] = []
        plugins: list[Plugin] = []
        schemas: dict[str, PluginSchema] = {}
        names = [n for each in settings.plugins for n in (BUNDLED if each == "bundled" else [each])]
        for name in names:
            if name in infos:
                external = ExternalPlugin(infos[name], lua, settings.socket_read_timeout)
                self._externals.append(external)
                plugins.append(external)
                schemas[name] = infos[name].schema
            else:
                plugin, schemas[name] = _lua_plugin(name, lua)
                plugins.append(plugin)
        declared = load(settings.config, schemas)
        self._gateway = Gateway(settings, declared, PluginChain(plugins, declared.plugins))
        self.processes = [PluginServerProcess(server) for server in settings.plugin_servers]
        self._connections: set[ClientConnection] = set()
        self._server: asyncio.Server | None = None
        self.address = settings.listen

    async def start(self) -> None:
        """Start the plugin servers and listen. Raises BadSettings."""
        self._settings.prefix.mkdir(parents=True, exist_ok=True)
        for process in self.processes:
            process.start()
        listen = self._settings.listen
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: ClientProtocol(self._serve), listen.host, listen.port, backlog=1024
            )
        except OSError as error:
            raise BadSettings(f"cannot listen on {listen}: {error}") from error
        self.address = Listen(listen.host, self._server.sockets[0].getsockname()[1])

    async def wait_for_plugin_servers(self) -> None:
        """Wait, at most ten seconds, until each server that was started listens.

        Kong does not wait: it answers earlier requests with 500.
        """
        for server in self._settings.plugin_servers:
            if server.start:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(_until_it_listens(server.socket), _START_SECONDS)

    async def stop(self) -> None:
        """Finish the requests in progress, then close everything."""
        if self._server:
            self._server.close()
        for connection in list(self._connections):
            connection.stop()
        tasks = [connection.task for connection in self._connections if connection.task]
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_SECONDS)
        for connection in list(self._connections):
            connection.cancel()
        for external in self._externals:
            external.close()
        await asyncio.gather(*(process.stop() for process in self.processes))

    async def _serve(self, connection: ClientConnection) -> None:
        self._connections.add(connection)
        try:
            limits = self._settings.head_limits
            await connection.run(self._gateway.serve, self._gateway.refuse, limits)
        finally:
            self._connections.discard(connection)


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    devkong = Devkong(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    try:
        await devkong.start()
        await devkong.wait_for_plugin_servers()
        ready = f"devkong ready on {devkong.address} (for development, not for production)"
        print(ready, flush=True)
        await stop.wait()
    finally:
        await devkong.stop()


def _lua_plugin(name: str, lua: Lua) -> tuple[Plugin, PluginSchema]:
    try:
        found = lua.plugin(name)
        if found is None:
            raise BadSettings(f"KONG_PLUGINS: {name}: devkong has no such plugin")
        return LuaPlugin(name, found[0], lua), schema_of(found[1])
    except (LuaFailed, LookupError, TypeError) as error:
        raise BadSettings(f"KONG_PLUGINS: {name}: {error}") from error


async def _until_it_listens(path: str) -> None:
    while True:
        try:
            _, writer = await asyncio.open_unix_connection(path)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return
