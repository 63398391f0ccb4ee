"""An ordinary Lua plugin, found as in Kong: kong/plugins/NAME on the lua_package_path."""

from typing import Any

from devkong.config.entities import PluginEntry
from devkong.exchange import Exchange
from devkong.lua.runtime import Lua
from devkong.plugins.chain import Plugin

PHASES = ("access", "header_filter", "body_filter")


class LuaPlugin(Plugin):
    """A plugin, made from the table that its handler module returns."""

    def __init__(self, name: str, handler: Any, lua: Lua) -> None:
        phases = (phase for phase in PHASES if handler[phase.encode()])
        super().__init__(name, int(handler[b"PRIORITY"]), phases)
        self._handler = handler
        self._lua = lua
        self._configs: dict[str, Any] = {}

    async def access(self, exchange: Exchange, entry: PluginEntry) -> None:
        """Run the phase. Raises ResponseExit, PluginLeft, LuaFailed."""
        await self._lua.access(exchange, self._handler[b"access"], *self._arguments(entry))

    def header_filter(self, exchange: Exchange, entry: PluginEntry) -> None:
        """Run the phase. Raises LuaFailed."""
        function = self._handler[b"header_filter"]
        self._lua.header_filter(exchange, function, *self._arguments(entry))

    def body_filter(
        self, exchange: Exchange, entry: PluginEntry, piece: bytes, last: bool
    ) -> bytes:
        """Run the phase over a piece of the answer. Raises LuaFailed."""
        function = self._handler[b"body_filter"]
        return self._lua.body_filter(exchange, function, piece, last, *self._arguments(entry))

    def _arguments(self, entry: PluginEntry) -> tuple[Any, Any]:
        if entry.id not in self._configs:
            self._configs[entry.id] = self._lua.table(entry.config)
        return self._handler, self._configs[entry.id]
