"""pre-function and post-function: Lua from kong.yml, by phase."""

from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from devkong.config.entities import PluginEntry
from devkong.config.plugin_schema import PluginSchema
from devkong.exchange import Exchange
from devkong.lua.runtime import LuaFailed, the_runtime
from devkong.plugins.bound import Plugin

_PHASES = ("certificate", "rewrite", "access", "header_filter", "body_filter", "log")
_CODE = {
    "type": "array",
    "required": True,
    "default": [],
    "elements": {"type": "string"},
}


class ServerlessFunctions:
    """One of the two plugins; they differ in name and priority."""

    def __init__(self, name: str, priority: int) -> None:
        self.name = name
        self.priority = priority
        self.schema = PluginSchema([{phase: _CODE} for phase in _PHASES], self._check)
        self._compiled: WeakKeyDictionary[PluginEntry, dict[str, list[Any]]] = WeakKeyDictionary()

    def as_plugin(self) -> Plugin:
        """Return the handlers."""
        return Plugin(
            self.name,
            self.priority,
            rewrite=self._rewrite,
            access=self._access,
            header_filter=self._header_filter,
            body_filter=self._body_filter,
            log=self._log,
        )

    def _check(self, config: dict[str, Any]) -> Iterable[tuple[str, str]]:
        if not any(config[phase] for phase in _PHASES):
            yield "access", "at least one of these fields: " + ", ".join(_PHASES)
        if config["certificate"]:
            yield "certificate", "devkong has no TLS, so no certificate phase"
        for phase in _PHASES:
            for code in config[phase]:
                try:
                    the_runtime().compile(code, self.name)
                except LuaFailed as error:
                    yield phase, f"error parsing {self.name}: {error}"

    async def _rewrite(self, exchange: Exchange, entry: PluginEntry) -> None:
        for function in self._functions(entry, "rewrite"):
            await the_runtime().run(function, exchange)

    async def _access(self, exchange: Exchange, entry: PluginEntry) -> None:
        for function in self._functions(entry, "access"):
            await the_runtime().run(function, exchange, yield_leaves=True)

    def _header_filter(self, exchange: Exchange, entry: PluginEntry) -> None:
        for function in self._functions(entry, "header_filter"):
            the_runtime().run_now(function, exchange)

    def _body_filter(
        self, exchange: Exchange, entry: PluginEntry, piece: bytes, last: bool
    ) -> bytes:
        for function in self._functions(entry, "body_filter"):
            piece = the_runtime().filter(function, exchange, piece, last)
        return piece

    def _log(self, exchange: Exchange, entry: PluginEntry) -> None:
        for function in self._functions(entry, "log"):
            the_runtime().run_now(function, exchange)

    def _functions(self, entry: PluginEntry, phase: str) -> list[Any]:
        compiled = self._compiled.get(entry)
        if compiled is None:
            compiled = self._compiled[entry] = {
                name: [the_runtime().compile(code, self.name) for code in entry.config[name]]
                for name in _PHASES
            }
        return compiled[phase]
