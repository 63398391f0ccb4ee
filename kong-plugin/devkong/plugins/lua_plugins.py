"""Ordinary Lua plugins, found as Kong finds them: kong/plugins/NAME on the lua_package_path."""

from pathlib import Path
from typing import Any

import lupa.luajit21 as luajit

from devkong.config.entities import PluginEntry
from devkong.config.plugin_schema import PluginSchema
from devkong.exchange import Exchange
from devkong.lua.runtime import the_runtime
from devkong.plugins.bound import Plugin

# What such a plugin has and the sandbox has not; then a function that runs one of its phases.
_AROUND = """
local null = {}
local cjson = { null = null, decode = ngx.json_decode }
function cjson.encode(value)
  return value == null and "null" or ngx.json_encode(value)
end
local function require(name)
  return name == "cjson.safe" and cjson or error("devkong has no module " .. name)
end
function kong.response.get_raw_body()
  local own = kong.ctx.plugin
  own.devkong_body = (own.devkong_body or "") .. (ngx.arg[1] or "")
  ngx.arg[1] = nil
  return ngx.arg[2] and own.devkong_body or nil
end
function kong.response.set_raw_body(body) ngx.arg[1] = body end
local plugin = (function() %s
end)()
return function() return plugin.%s(plugin, { guards = %s }) end
"""


def find(name: str, lua_package_path: str) -> tuple[PluginSchema, Plugin] | None:
    """Return the plugin of this name, if it is on the path."""
    for pattern in lua_package_path.split(";"):
        folder = Path(pattern.replace("?", f"kong/plugins/{name}/handler")).parent
        if pattern and (folder / "handler.lua").is_file():
            return _plugin(name, folder)
    return None


def _plugin(name: str, folder: Path) -> tuple[PluginSchema, Plugin]:
    lua: Any = luajit.LuaRuntime(unpack_returned_tuples=True)
    schema = _from_lua(lua.execute((folder / "schema.lua").read_text("utf-8")))
    fields = next(field["config"]["fields"] for field in schema["fields"] if "config" in field)
    source = (folder / "handler.lua").read_text("utf-8")
    compiled: dict[tuple[str, bool], Any] = {}

    def function(phase: str, entry: PluginEntry) -> Any:
        guards = bool(entry.config.get("guards"))
        if (phase, guards) not in compiled:
            code = _AROUND % (source, phase, str(guards).lower())
            compiled[phase, guards] = the_runtime().compile(code, name)
        return compiled[phase, guards]

    async def access(exchange: Exchange, entry: PluginEntry) -> None:
        await the_runtime().run(function("access", entry), exchange, yield_leaves=True)

    def header_filter(exchange: Exchange, entry: PluginEntry) -> None:
        the_runtime().run_now(function("header_filter", entry), exchange)

    def body_filter(exchange: Exchange, entry: PluginEntry, piece: bytes, last: bool) -> bytes:
        return the_runtime().filter(function("body_filter", entry), exchange, piece, last)

    priority = int(source.split("PRIORITY =", 1)[1].split(",", 1)[0])
    plugin = Plugin(
        name, priority, access=access, header_filter=header_filter, body_filter=body_filter
    )
    return PluginSchema(fields), plugin


def _from_lua(value: Any) -> Any:
    if luajit.lua_type(value) != "table":
        return value
    items = {key: _from_lua(item) for key, item in value.items()}
    return list(items.values()) if all(isinstance(key, int) for key in items) else items
