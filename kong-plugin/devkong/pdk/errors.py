"""How a call of the kit can end other than by returning."""

from typing import Any, NamedTuple

from devkong.http.headers import Headers


class PdkError(Exception):
    """Lua's error(): the plugin that called fails, and the client gets 500."""


class ResponseExit(Exception):
    """kong.response.exit or .error was called: the answer is made, the plugin does not go on."""

    def __init__(self, status: int, body: bytes, headers: Headers) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = headers


class PluginLeft(Exception):
    """Lua yielded in the access phase: to Kong the plugin is over, and the next has its turn."""


class Failure(NamedTuple):
    """Lua's `return nil, err`."""

    error: bytes
    more: Any = None
