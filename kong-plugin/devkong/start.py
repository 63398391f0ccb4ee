"""`devkong start`: everything from settings to a listening gateway, and a clean stop."""

import asyncio
import contextlib
import logging
import signal
import socket
from pathlib import Path

from devkong.config.declarative import load
from devkong.config.plugin_schema import PluginSchema
from devkong.gateway import Gateway
from devkong.http.server import ClientConnection, ClientProtocol
from devkong.plugin_server.external import ExternalPlugin
from devkong.plugin_server.process import PluginInfo, PluginServerProcess, query
from devkong.plugins import bundled, lua_plugins
from devkong.plugins.bound import Plugin
from devkong.plugins.chain import PluginChain
from devkong.settings import BadSettings, Listen, Settings

_log = logging.getLogger("devkong")
_STOP_SECONDS = 5.0
_START_SECONDS = 10.0


class Devkong:
    """A gateway with its listeners and plugin servers.

    Raises BadConfig, BadSettings or BadPluginServer when it cannot be built.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        infos = [query(server) for server in settings.plugin_servers]
        enabled = _enabled(settings, infos)
        self._declared = load(settings.config, {n: s for n, (s, _) in enabled.items()})
        externals = {
            info.name: ExternalPlugin(info, settings.socket_read_timeout) for info in infos
        }
        plugins = {name: plugin for name, (_, plugin) in enabled.items() if plugin}
        plugins.update((n, _as_plugin(p)) for n, p in externals.items() if n in enabled)
        self._externals = list(externals.values())
        self._gateway = Gateway(
            settings, self._declared, PluginChain(plugins, self._declared.plugins)
        )
        self.processes = [PluginServerProcess(server) for server in settings.plugin_servers]
        self._connections: set[ClientConnection] = set()
        self._servers: list[asyncio.Server] = []
        self.addresses: list[Listen] = []

    async def start(self) -> None:
        """Start plugin servers and listen."""
        self._settings.prefix.mkdir(parents=True, exist_ok=True)
        for process in self.processes:
            process.start()
        for listen in self._settings.listen:
            server = await self._listen(listen)
            self._servers.append(server)
            self.addresses.append(_address(listen, server))

    async def wait_for_plugin_servers(self) -> None:
        """Wait until each one that was started listens, ten seconds at most.

        Kong does not wait: what comes earlier is answered 500.
        """
        for server in self._settings.plugin_servers:
            if server.start:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(_until_it_listens(server.socket), _START_SECONDS)

    async def stop(self) -> None:
        """Finish the requests under way, then close everything."""
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.gather(*(c.closed.wait() for c in list(self._connections)))
        for connection in list(self._connections):
            connection.cancel()
        await self._gateway.close()
        for external in self._externals:
            external.close()
        await asyncio.gather(*(process.stop() for process in self.processes))
        for listen in self._settings.listen:
            if listen.unix:
                _remove_socket(listen.unix)

    async def _listen(self, listen: Listen) -> asyncio.Server:
        loop = asyncio.get_running_loop()

        async def serve(connection: ClientConnection) -> None:
            self._connections.add(connection)
            try:
                await connection.run(
                    self._gateway.serve, self._gateway.refuse, self._settings.head_limits
                )
            finally:
                self._connections.discard(connection)

        def protocol() -> ClientProtocol:
            return ClientProtocol(serve)

        try:
            if listen.unix:
                _remove_socket(listen.unix)
                return await loop.create_unix_server(protocol, listen.unix, backlog=1024)
            return await loop.create_server(protocol, listen.host, listen.port, backlog=1024)
        except OSError as error:
            raise BadSettings(f"cannot listen on {listen}: {error}") from error


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
        where = ", ".join(map(str, devkong.addresses))
        print(f"devkong ready on {where} (for development, not for production)", flush=True)
        await stop.wait()
    finally:
        await devkong.stop()


def _enabled(
    settings: Settings, infos: list[PluginInfo]
) -> dict[str, tuple[PluginSchema, Plugin | None]]:
    """Return the plugins that `plugins` names; None for external ones."""
    enabled: dict[str, tuple[PluginSchema, Plugin | None]] = {}
    external = {info.name: PluginSchema(info.config_fields) for info in infos}
    for name in settings.plugins:
        if name == "bundled":
            enabled.update(
                (n, (bundled.SCHEMAS[n], plugin)) for n, plugin in bundled.PLUGINS.items()
            )
        elif name in external:
            enabled[name] = (external[name], None)
        elif name in bundled.PLUGINS:
            enabled[name] = (bundled.SCHEMAS[name], bundled.PLUGINS[name])
        elif found := lua_plugins.find(name, settings.lua_package_path):
            enabled[name] = found
        else:
            raise BadSettings(f"KONG_PLUGINS: {name}: devkong has no such plugin")
    return enabled


def _as_plugin(external: ExternalPlugin) -> Plugin:
    return Plugin(
        external.name,
        external.priority,
        rewrite=external.rewrite if "rewrite" in external.phases else None,
        access=external.access if "access" in external.phases else None,
        log=external.log if "log" in external.phases else None,
    )


async def _until_it_listens(path: str) -> None:
    while True:
        try:
            _, writer = await asyncio.open_unix_connection(path)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


def _remove_socket(path: str) -> None:
    Path(path).unlink(missing_ok=True)


def _address(listen: Listen, server: asyncio.Server) -> Listen:
    if listen.unix:
        return listen
    sockets: tuple[socket.socket, ...] = tuple(server.sockets)
    return Listen(listen.host, sockets[0].getsockname()[1])
