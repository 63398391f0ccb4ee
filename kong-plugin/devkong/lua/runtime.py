"""A LuaJIT with Kong's globals in it. Lua's strings are bytes on the Python side."""

import asyncio
import base64
import binascii
import json
import time
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import lupa.luajit21 as luajit

from devkong.exchange import Exchange
from devkong.lua.tables import plain
from devkong.pdk.errors import Failure, PdkError, PluginLeft, ResponseExit
from devkong.pdk.table import FUNCTIONS, READS_BODY


class LuaFailed(Exception):
    """Lua raised an error, or did what cannot be done in its phase."""


class LuaRuntime:
    """One interpreter. Code of several requests takes turns in it, never at the same time."""

    def __init__(self) -> None:
        self._lua = luajit.LuaRuntime(
            encoding=None,
            unpack_returned_tuples=True,
            register_eval=False,
            register_builtins=False,
        )
        self._exchange: Exchange | None = None
        self._leave: ResponseExit | None = None
        source = resources.files("devkong.lua").joinpath("kong.lua").read_bytes()
        start = self._lua.execute(b"return function(source) return load(source, '=kong.lua') end")
        self._load, self._start, self._go_on, self._forget, self._filter = start(source)(
            self._call, self._read_ctx, self._write_ctx, self._names(), self._reads_body()
        )

    def load(self, module: str, lua_package_path: str) -> Any:
        """Return what a module returns. Raises LuaFailed if it cannot be loaded."""
        what, result, _ = self._start(self._load, module.encode(), lua_package_path.encode())
        if what != b"done":
            raise LuaFailed(_text(result))
        return result

    def table(self, value: Any) -> Any:
        """Return dicts and lists as Lua tables."""
        return self._to_lua(value)

    async def run(
        self, function: Any, exchange: Exchange, *args: Any, yield_leaves: bool = False
    ) -> Any:
        """Run a function that may wait for the body, and return its first result.

        yield_leaves: in the access phase Kong runs each plugin as a coroutine, and leaves one that
        yields where it is; in others a yield only gives other requests a turn.

        Raises ResponseExit, PluginLeft, LuaFailed.
        """
        what, message, thread = self._enter(
            exchange, self._start, function, *map(self._to_lua, args)
        )
        while what in (b"body", b"yield"):
            try:
                if what == b"yield" and yield_leaves:
                    raise PluginLeft
                await (exchange.body.read_whole() if what == b"body" else asyncio.sleep(0))
            except BaseException:
                self._forget(thread)
                raise
            what, message, thread = self._enter(exchange, self._go_on, thread)
        self._end(what, message)
        return plain(message)

    def run_now(self, function: Any, exchange: Exchange, *args: Any) -> None:
        """Run a function that may not wait. Raises ResponseExit, LuaFailed."""
        what, message, thread = self._enter(exchange, self._start, function, *args)
        if what in (b"body", b"yield"):
            self._forget(thread)
            raise LuaFailed("this phase can neither wait for the body nor yield")
        self._end(what, message)

    def filter(
        self, function: Any, exchange: Exchange, piece: bytes, last: bool, *args: Any
    ) -> bytes:
        """Run a body filter over a piece of the answer. Raises LuaFailed."""
        what, message, result = self._enter(exchange, self._filter, function, piece, last, *args)
        if what == b"error":
            raise LuaFailed(_text(message))
        if what != b"done":
            raise LuaFailed("a body filter can neither wait, nor yield, nor answer")
        return result if isinstance(result, bytes) else b""

    def _enter(self, exchange: Exchange, function: Any, *args: Any) -> tuple[Any, Any, Any]:
        self._exchange, self._leave = exchange, None
        what, message, more = function(*args)
        return what, message, more

    def _end(self, what: bytes, message: Any) -> None:
        if what == b"error":
            raise LuaFailed(_text(message))
        if self._leave:
            raise self._leave

    def _call(self, name: bytes, *args: Any) -> tuple[Any, ...]:
        assert self._exchange is not None
        try:
            result = FUNCTIONS[name.decode()](self._exchange, *map(plain, args))
        except ResponseExit as leave:
            self._leave = leave
            return (b"exit", None)
        except (PdkError, TypeError) as error:
            return b"error", str(error).encode()
        if isinstance(result, Failure):
            return b"ok", None, result.error, result.more
        return b"ok", self._to_lua(result)

    def _ctx(self, kind: bytes) -> dict[bytes, Any]:
        assert self._exchange is not None
        if kind == b"shared":
            return self._exchange.shared
        return self._exchange.ngx_ctx if kind == b"ngx" else self._exchange.own_ctx

    def _read_ctx(self, kind: bytes, key: Any) -> Any:
        table = self._ctx(kind)
        value = table.get(key)
        if isinstance(value, list | dict):
            # one table for all who read it, as in Kong
            value = table[key] = self._to_lua(value)
        return value

    def _write_ctx(self, kind: bytes, key: Any, value: Any) -> None:
        self._ctx(kind)[key] = value

    def _set_upstream_scheme(self, scheme: bytes) -> None:
        assert self._exchange is not None
        self._exchange.upstream_scheme = scheme

    def _to_lua(self, value: Any) -> Any:
        if isinstance(value, list):
            return self._lua.table_from([self._to_lua(inner) for inner in value])
        if isinstance(value, dict):
            return self._lua.table_from({k: self._to_lua(v) for k, v in value.items()})
        return value

    def _names(self) -> Any:
        names = self._lua.table_from([name.encode() for name in sorted(FUNCTIONS)])
        names[b"now"] = time.time
        names[b"set_upstream_scheme"] = self._set_upstream_scheme
        names[b"encode_base64"] = base64.b64encode
        names[b"json_encode"] = lambda text: json.dumps(_text(text)).encode()
        names[b"json_decode"] = lambda text: self._to_lua(_from_json(text))
        names[b"decode_base64"] = _decode_base64
        names[b"escape_uri"] = lambda text: quote_from_bytes(text, safe="-._~").encode()
        names[b"unescape_uri"] = lambda text: unquote_to_bytes(text.replace(b"+", b" "))
        return names

    def _reads_body(self) -> Any:
        return self._lua.table_from({name.encode(): True for name in READS_BODY})


@cache
def the_runtime() -> LuaRuntime:
    """Return the one interpreter of this process, as an nginx worker has one."""
    return LuaRuntime()


def _text(message: Any) -> str:
    return message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)


def _from_json(text: bytes) -> Any:
    try:
        return _as_bytes(json.loads(text))
    except ValueError:
        return None


def _as_bytes(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict):
        return {key.encode(): _as_bytes(item) for key, item in value.items()}
    return [_as_bytes(item) for item in value] if isinstance(value, list) else value


def _decode_base64(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
