"""in_kong.lua, run by LuaJIT with as much of Kong as it needs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jan_media_plugin
import lupa.luajit21 as luajit

IN_KONG = (Path(jan_media_plugin.__file__).parent / "in_kong.lua").read_bytes()

_KONG = b"""
kong = {
  ctx = { shared = {} },
  client = { authenticate = function(...) done.identity = { ... } end },
  request = {
    get_headers = function(most) return most == 1000 and headers or nil end,
    get_raw_body = function(limit) reads = reads + 1; return limit == 0 and body or nil end,
  },
  service = { request = {
    set_raw_body = function(new) done.body = new end,
    set_headers = function(new) done.headers = new end,
  } },
  response = { exit = function(status) done.status = status; coroutine.yield() end },
}
ngx = { var = { upstream_scheme = "http" } }
"""
# Kong runs a plugin in a coroutine, and has the plugin's function called there.
_CALLED = b"""
function(...)
  local plugin = coroutine.create(kong.ctx.shared.jan_media_finish)
  assert(coroutine.resume(plugin, ...))
  return coroutine.status(plugin) == "suspended"
end
"""


@dataclass
class Done:
    """What was done of what the plugin decided."""

    headers: dict[str, Any] = field(default_factory=dict)
    body: bytes | None = None
    groups: list[str] | None = None
    identity: list[Any] | None = None
    status: int | None = None
    open: bool = True
    """Whether the request may reach the upstream."""


def gather(headers: dict[Any, Any], body: bytes) -> tuple[dict[str, Any], bool]:
    """Return what is gathered for the plugin, and whether the body was read for it."""
    lua = _met(headers, body)
    gathered = _from_lua(lua.eval(b"kong.ctx.shared.jan_media_gathered"))
    return gathered, bool(lua.globals()[b"reads"])


def finish(args: Sequence[Any], body: bytes) -> Done:
    """Return what the plugin's last call does, and see that Kong is not to come back from it."""
    lua = _met({}, body)
    assert lua.eval(_CALLED)(*(_to_lua(lua, each) for each in args))
    done = _from_lua(lua.globals()[b"done"])
    done = done if isinstance(done, dict) else {}
    groups = _from_lua(lua.eval(b"kong.ctx.shared.authenticated_groups"))
    return Done(
        done.get("headers") or {},
        lua.globals()[b"done"][b"body"],
        groups,
        done.get("identity"),
        done.get("status"),
        _scheme(lua) == b"http",
    )


def _met(headers: dict[Any, Any], body: bytes) -> Any:
    """Return a Lua whose pre-function has seen a request."""
    lua: Any = luajit.LuaRuntime(encoding=None)
    lua.globals()[b"body"] = body
    lua.globals()[b"done"] = lua.table()
    lua.globals()[b"reads"] = 0
    # nginx hands Lua one line as a text, several as a sequence, and an empty one as true.
    lua.globals()[b"headers"] = _to_lua(lua, {name: line or True for name, line in headers.items()})
    lua.execute(_KONG)
    lua.execute(IN_KONG)()
    assert _scheme(lua) == b"closed-http"
    return lua


def _scheme(lua: Any) -> Any:
    return lua.globals()[b"ngx"][b"var"][b"upstream_scheme"]


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
    if luajit.lua_type(value) == "table":
        items = {_from_lua(key): _from_lua(item) for key, item in value.items()}
        return list(items.values()) if all(isinstance(key, int) for key in items) else items
    return value
