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
        state = lua.table_from(
            {
                b"headers": lua.table_from(
                    {_bytes(name): _bytes(value) for name, value in request.headers.items()}
                ),
                b"body": request.body,
                b"shared": lua.table_from(
                    {_bytes(name): self._to_lua(value) for name, value in request.shared.items()}
                ),
            }
        )
        lua.globals()[b"kong"] = self._make_kong(state)
        start = time.process_time()
        self._function()
        seconds = time.process_time() - start
        request.headers = {
            name.decode(): value.decode() for name, value in state[b"headers"].items()
        }
        for name, value in state[b"shared"].items():
            request.shared[name.decode()] = _from_lua(value)
        if state[b"body_set"] is not None:
            request.body_set = state[b"body_set"]
        if state[b"status"] is not None:
            raise RuntimeError(f"kong.yml's Lua refuses the request with {state[b'status']}")
        return seconds

    def _to_lua(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return self._lua.table_from([self._to_lua(each) for each in value])
        if isinstance(value, dict):
            return self._lua.table_from(
                {_bytes(key): self._to_lua(each) for key, each in value.items()}
            )
        return value.encode() if isinstance(value, str) else value


def _from_lua(value: Any) -> Any:
    """Lua has one kind of table: one with a first element is a list."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if not hasattr(value, "items"):
        return value
    if value[1] is not None:
        return [_from_lua(value[at]) for at in range(1, len(value) + 1)]
    return {_from_lua(key): _from_lua(each) for key, each in value.items()}


def _bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value
