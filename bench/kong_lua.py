"""jan-media-gate, run by LuaJIT as Kong runs it."""

import time
from importlib import resources
from typing import Any

import lupa.luajit21 as luajit

from tests.support.kong_driver import ScriptedRequest
from tests.unit.plugin.in_lua import GATE

_KONG = resources.files("bench").joinpath("lua_kong.lua").read_bytes()


class KongLua:
    """The function, compiled once and run for many requests, one after the other.

    Times are of the processor, in seconds, and Lua's alone: the body is a string of Lua's before it
    begins.
    """

    def __init__(self) -> None:
        self._lua = luajit.LuaRuntime(encoding=None, unpack_returned_tuples=True)
        self._gather, self._finish = self._lua.execute(_KONG)(GATE.read_bytes())
        self._state: Any = None

    def gather(self, request: ScriptedRequest) -> float:
        """Gather of ``request`` into its ``shared``, and return how long it took."""
        self._state = self._to_lua({"headers": request.headers, "shared": request.shared})
        self._state[b"body"] = request.body
        start = time.process_time()
        self._gather(self._state)
        seconds = time.process_time() - start
        request.shared = _from_lua(self._state[b"shared"])
        return seconds

    def finish(self, request: ScriptedRequest, *args: Any) -> float:
        """Do what the plugin decided for the same ``request``, and return how long it took."""
        in_lua = [self._to_lua(each) for each in args]
        start = time.process_time()
        self._finish(*in_lua)
        seconds = time.process_time() - start
        if self._state[b"status"] is not None:
            raise RuntimeError(f"the gate refuses it with {self._state[b'status']}")
        request.headers = _from_lua(self._state[b"headers"])
        request.body_set = self._state[b"body_set"]
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
