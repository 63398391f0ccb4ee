"""kong.yml's two Lua functions, run by LuaJIT with as much of Kong as they need."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jan_media_plugin
import lupa

FOLDER = Path(jan_media_plugin.__file__).parent
GATHER = (FOLDER / "gather.lua").read_bytes()
APPLY = (FOLDER / "apply.lua").read_bytes()

_KONG = b"""
kong = {
  ctx = { shared = {} },
  request = {
    get_headers = function(most) return most == 1000 and headers or nil end,
    get_raw_body = function(limit) reads = reads + 1; return limit == 0 and body or nil end,
  },
  service = { request = {
    set_raw_body = function(new) done.body = new end,
    set_headers = function(new) done.headers = new end,
  } },
  response = { exit = function(status) done.status = status end },
}
ngx = { var = { upstream_scheme = "http" } }
"""


@dataclass
class Done:
    """What apply.lua did."""

    headers: dict[str, Any] = field(default_factory=dict)
    body: bytes | None = None
    status: int | None = None
    open: bool = True
    """Whether the request may reach the upstream."""


def gather(headers: dict[Any, Any], body: bytes) -> tuple[dict[str, Any], bool]:
    """Return what gather.lua leaves for the plugin, and whether it read the body."""
    lua, kong = _lua(body)
    # nginx hands Lua one line as a text, several as a sequence, and an empty one as true.
    lua.globals()[b"headers"] = _to_lua(lua, {name: line or True for name, line in headers.items()})
    lua.execute(GATHER)
    assert _scheme(lua) == b"closed-http"
    gathered = _from_lua(kong[b"ctx"][b"shared"][b"jan_media_request"])
    return gathered, bool(lua.globals()[b"reads"])


def apply(shared: dict[str, Any], body: bytes) -> Done:
    """Return what apply.lua does with what the plugin left in ``kong.ctx.shared``."""
    lua, kong = _lua(body)
    kong[b"ctx"][b"shared"] = _to_lua(lua, shared)
    lua.globals()[b"ngx"][b"var"][b"upstream_scheme"] = b"closed-http"
    lua.execute(APPLY)
    done = lua.globals()[b"done"]
    headers = done[b"headers"]
    return Done(
        {} if headers is None else _from_lua(headers),
        done[b"body"],
        done[b"status"],
        _scheme(lua) == b"http",
    )


def _scheme(lua: Any) -> Any:
    return lua.globals()[b"ngx"][b"var"][b"upstream_scheme"]


def _lua(body: bytes) -> tuple[Any, Any]:
    lua: Any = lupa.LuaRuntime(encoding=None)
    lua.globals()[b"body"] = body
    lua.globals()[b"done"] = lua.table()
    lua.globals()[b"reads"] = 0
    lua.execute(_KONG)
    return lua, lua.globals()[b"kong"]


def _to_lua(lua: Any, value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, list | tuple):
        return lua.table(*(_to_lua(lua, item) for item in value))
    if isinstance(value, dict):
        table = lua.table()
        for key, item in value.items():
            table[_to_lua(lua, key)] = _to_lua(lua, item)
        return table
    return value


def _from_lua(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if lupa.lua_type(value) == "table":
        items = {_from_lua(key): _from_lua(item) for key, item in value.items()}
        return list(items.values()) if all(isinstance(key, int) for key in items) else items
    return value
