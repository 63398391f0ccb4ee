"""The Lua of kong.yml's pre-function and post-function, run by LuaJIT as Kong runs it."""

import time
from importlib import resources
from typing import Any

import lupa.luajit21 as luajit

from tests.support.kong_driver import ScriptedRequest

_KONG = resources.files("bench").joinpath("lua_kong.lua").read_bytes()


class KongLua:
    """One piece of Lua from kong.yml, compiled once and run for many requests."""

    def __init__(self, code: str) -> None:
        self._lua = luajit.LuaRuntime(encoding=None, unpack_returned_tuples=True)
        self._make_kong = self._lua.execute(b"return function(code) return loadstring(code) end")(
            _KONG
        )
        self._function = self._lua.execute(b"return function(code) return loadstring(code) end")(
            code.encode()
        )

    def run(self, request: ScriptedRequest) -> float:
        """Run it for ``request``, change that as it says, and return its processor time in seconds.

        The time is Lua's alone: the body is a string of Lua's before it begins.
        """
        lua = self._lua
        state = self._to_lua({"headers": request.headers, "shared": request.shared})
        state[b"body"] = request.body
        lua.globals()[b"kong"] = self._make_kong(state)
        lua.globals()[b"ngx"] = self._to_lua({"var": {"upstream_scheme": "http"}})
        start = time.process_time()
        self._function()
        seconds = time.process_time() - start
        request.headers = _from_lua(state[b"headers"])
        request.shared = _from_lua(state[b"shared"]) or {}
        if state[b"body_set"] is not None:
            request.body_set = state[b"body_set"]
        if state[b"status"] is not None:
            raise RuntimeError(f"kong.yml's Lua refuses the request with {state[b'status']}")
        return seconds

    def _to_lua(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            value = dict(enumerate(value, 1))
        if isinstance(value, dict):
            return self._lua.table_from(
                {_bytes(key): self._to_lua(each) for key, each in value.items()}
            )
        return _bytes(value)


def _from_lua(value: Any) -> Any:
    """Lua has one kind of table: one whose keys are counted from 1 is a list, as Kong packs it."""
    if not hasattr(value, "items"):
        return value
    items = {_text(key): _from_lua(each) for key, each in value.items()}
    if items and list(items) == list(range(1, len(items) + 1)):
        return list(items.values())
    return items


def _bytes(value: Any) -> Any:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value


def _text(key: Any) -> Any:
    return key.decode() if isinstance(key, bytes) else key
