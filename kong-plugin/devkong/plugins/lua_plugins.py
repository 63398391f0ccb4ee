"""Ordinary Lua plugins, found as Kong finds them: kong/plugins/NAME on the lua_package_path."""

from pathlib import Path
from typing import Any

import lupa.luajit21 as luajit

from devkong.config.entities import PluginEntry
from devkong.config.plugin_schema import PluginSchema
from devkong.exchange import Exchange
from devkong.lua.runtime import the_runtime
from devkong.pdk.values import from_json_like
from devkong.plugins.bound import Plugin

# What a schema usually says about itself; devkong checks the fields of config alone.
_TYPEDEFS = """
package.preload["kong.db.schema.typedefs"] = function()
  return setmetatable({}, { __index = function() return {} end })
end
"""


def find(name: str, lua_package_path: str) -> tuple[PluginSchema, Plugin] | None:
    """Return the plugin of this name, if it is on the path. Raises LuaFailed if it is no Lua."""
    for pattern in lua_package_path.split(";"):
        folder = Path(pattern.replace("?", f"kong/plugins/{name}/handler")).parent
        if pattern and (folder / "handler.lua").is_file():
            lua: Any = luajit.LuaRuntime(unpack_returned_tuples=True)
            lua.execute(_TYPEDEFS)
            schema = _from_lua(lua.execute((folder / "schema.lua").read_text("utf-8")))
            fields = next(f["config"]["fields"] for f in schema["fields"] if "config" in f)
            module = the_runtime().load(f"kong.plugins.{name}.handler", lua_package_path)
            return PluginSchema(fields), _LuaPlugin(module).as_plugin(name)
    return None


class _LuaPlugin:
    def __init__(self, module: Any) -> None:
        self._module = module
        self._configs: dict[str, Any] = {}

    def as_plugin(self, name: str) -> Plugin:
        """Return the phases that the plugin has."""
        has = self._module
        return Plugin(
            name,
            int(has[b"PRIORITY"]),
            rewrite=self._rewrite if has[b"rewrite"] else None,
            access=self._access if has[b"access"] else None,
            header_filter=self._header_filter if has[b"header_filter"] else None,
            body_filter=self._body_filter if has[b"body_filter"] else None,
            log=self._log if has[b"log"] else None,
        )

    def _arguments(self, entry: PluginEntry) -> tuple[Any, Any]:
        if entry.id not in self._configs:
            self._configs[entry.id] = the_runtime().table(from_json_like(entry.config))
        return self._module, self._configs[entry.id]

    async def _rewrite(self, exchange: Exchange, entry: PluginEntry) -> None:
        await the_runtime().run(self._module[b"rewrite"], exchange, *self._arguments(entry))

    async def _access(self, exchange: Exchange, entry: PluginEntry) -> None:
        function = self._module[b"access"]
        await the_runtime().run(function, exchange, *self._arguments(entry), yield_leaves=True)

    def _header_filter(self, exchange: Exchange, entry: PluginEntry) -> None:
        the_runtime().run_now(self._module[b"header_filter"], exchange, *self._arguments(entry))

    def _body_filter(
        self, exchange: Exchange, entry: PluginEntry, piece: bytes, last: bool
    ) -> bytes:
        function = self._module[b"body_filter"]
        return the_runtime().filter(function, exchange, piece, last, *self._arguments(entry))

    def _log(self, exchange: Exchange, entry: PluginEntry) -> None:
        the_runtime().run_now(self._module[b"log"], exchange, *self._arguments(entry))


def _from_lua(value: Any) -> Any:
    if luajit.lua_type(value) != "table":
        return value
    items = {key: _from_lua(item) for key, item in value.items()}
    return list(items.values()) if all(isinstance(key, int) for key in items) else items
