"""Runs Lua plugins and the PDK in a real LuaJIT. Lua's strings are bytes here."""

from importlib import resources
from typing import Any

import lupa.luajit21 as luajit

from devkong.exchange import Exchange, ResponseExit
from devkong.lua import host


class LuaFailed(Exception):
    """Lua raised an error, or did something that its phase does not allow."""


class PluginLeft(Exception):
    """Lua yielded in the access phase: Kong abandons the plugin and runs the next one."""


class Lua:
    """One interpreter. Plugins of several requests take turns in it."""

    def __init__(self, package_path: str) -> None:
        self._lua: Any = luajit.LuaRuntime(
            encoding=None,
            unpack_returned_tuples=True,
            register_eval=False,
            register_builtins=False,
        )
        self._exchange: Exchange | None = None
        """The exchange whose plugin runs now."""
        here = resources.files("devkong.lua")
        path = f"{package_path.replace(';;', ';')};{here}/?.lua".encode()
        functions = {name: self._answering(each) for name, each in host.FUNCTIONS.items()}
        load = self._lua.execute(b"return function(source) return load(source, '=kong.lua') end")
        self._kong = load(here.joinpath("kong.lua").read_bytes())(self.table(functions), path)
        self.call = self._kong[b"call"]
        """Calls a function of the PDK; its first argument is the name."""

    def plugin(self, name: str) -> tuple[Any, Any] | None:
        """Return the handler and the schema of a plugin, None if it is not on the path.

        Raises LuaFailed for one that cannot be loaded.
        """
        try:
            found = self._kong[b"plugin"](name.encode())
        except luajit.LuaError as error:
            raise LuaFailed(str(error)) from error
        return found if found is None else (found[0], text(plain(found[1])))

    def table(self, value: Any) -> Any:
        """Return dicts and lists as Lua tables, str as bytes."""
        if isinstance(value, list):
            return self._lua.table_from([self.table(inner) for inner in value])
        if isinstance(value, dict):
            return self._lua.table_from({self.table(k): self.table(v) for k, v in value.items()})
        return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value

    async def access(self, exchange: Exchange, function: Any, *args: Any) -> Any:
        """Run a function that may wait for the request's body, and return its first result.

        Raises ResponseExit when it answers, PluginLeft, LuaFailed.
        """
        what, result = self._enter(exchange, b"start", function, *args)
        while what == b"body":
            await exchange.body.read_whole()
            what, result = self._enter(exchange, b"go_on", result)
        if what == b"yield":
            raise PluginLeft
        return self._result(what, result)

    def header_filter(self, exchange: Exchange, function: Any, *args: Any) -> None:
        """Run a function that neither waits nor answers. Raises LuaFailed."""
        what, result = self._enter(exchange, b"start", function, *args)
        self._result(b"yield" if what == b"exit" else what, result)

    def body_filter(
        self, exchange: Exchange, function: Any, piece: bytes, last: bool, *args: Any
    ) -> bytes:
        """Run a function over a piece of the answer; return the piece to send instead."""
        what, result = self._enter(exchange, b"filter", piece, last, function, *args)
        result = self._result(b"yield" if what == b"exit" else what, result)
        return result if isinstance(result, bytes) else b""

    def _enter(self, exchange: Exchange, how: bytes, *args: Any) -> tuple[bytes, Any]:
        if exchange.lua is None:
            exchange.lua = self._kong[b"new_context"]()
        self._exchange = exchange
        what, result = self._kong[how](exchange.lua, exchange.plugin_id.encode(), *args)
        return what, result

    def _result(self, what: bytes, result: Any) -> Any:
        if what == b"exit":
            raise ResponseExit
        if what == b"error":
            raise LuaFailed(result.decode("utf-8", "replace"))
        if what != b"done":
            raise LuaFailed("this phase can neither wait, nor yield, nor answer")
        return plain(result)

    def _answering(self, function: Any) -> Any:
        def answer(*args: Any) -> Any:
            # Lua does not pass the exchange: a Python object that goes to Lua again and again may
            # be another object there, once the first has been collected.
            result = function(self._exchange, *map(plain, args))
            return result if isinstance(result, tuple) else self.table(result)

        return answer


def plain(value: Any) -> Any:
    """Return a value without Lua tables: lists for sequences, dicts for the rest."""
    if luajit.lua_type(value) != "table":
        return value
    items = dict(value.items())
    if all(at in items for at in range(1, len(items) + 1)):
        return [plain(items[at]) for at in range(1, len(items) + 1)]
    return {key: plain(inner) for key, inner in items.items()}


def text(value: Any) -> Any:
    """Return a value with all bytes in it as str; bytes that are not UTF-8 survive."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return [text(inner) for inner in value]
    if isinstance(value, dict):
        return {text(key): text(inner) for key, inner in value.items()}
    return value
