"""The MsgPack protocol as Kong speaks it (kong/runloop/plugin_servers/rpc/mp_rpc.lua).

Every call takes any idle connection, and gives it back whatever came of the call, so a
connection on which an answer is still missing goes back as well and breaks the next call: Kong
does that. What is not imitated is the cost of a large answer, which grows with its square in
Kong.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgpack

_IDLE_SECONDS = 60.0
_MOST_IDLE = 256


class RpcError(Exception):
    """The call gave `nil, err`: no connection, no answer, or the plugin server's own error."""


class RpcBroken(Exception):
    """The answer is to another call: Lua's assert fails, and the client gets 500."""


class PluginServerConnection(asyncio.Protocol):
    """One connection to the plugin server's socket."""

    def __init__(self, on_leave: Callable[["PluginServerConnection"], None]) -> None:
        self._on_leave = on_leave
        self._answer: asyncio.Future[list[Any]] | None = None
        self._unpacker: msgpack.Unpacker | None = None
        self._early: list[Any] = []
        self._idle: asyncio.TimerHandle | None = None
        self._notified: Callable[[Any, Any], None] = lambda _label, _args: None
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """A call that waits here gets no data."""
        self.lost = True
        self.stop_resting()
        if self._answer and not self._answer.done():
            self._answer.set_exception(RpcError("no data"))
        self._on_leave(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes; those that come while nobody asks close the connection, as in nginx."""
        if self._answer is None or self._unpacker is None:
            self.transport.abort()
            return
        self._unpacker.feed(data)
        try:
            for message in self._unpacker:
                if message[0] == 2:
                    self._notified(message[1], message[2])
                elif not self._answer.done():
                    self._answer.set_result(message)
                    return
        except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
            if not self._answer.done():
                self._answer.set_exception(RpcBroken(f"bad answer: {error}"))

    async def exchange(
        self, request: bytes, seconds: float, notified: Callable[[Any, Any], None]
    ) -> list[Any]:
        """Send a request and return the next answer. Raises RpcError, RpcBroken."""
        loop = asyncio.get_running_loop()
        self._notified = notified
        self._unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=2**31 - 1)
        answer: asyncio.Future[list[Any]] = loop.create_future()
        self._answer = answer
        timer = loop.call_later(seconds, _time_out, answer)
        try:
            self.transport.write(request)
            return await answer
        finally:
            timer.cancel()
            self._answer = self._unpacker = None

    def rest(self) -> None:
        """Wait for the next call, for a minute at most."""
        self._idle = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self.transport.abort)

    def stop_resting(self) -> None:
        """A call begins."""
        if self._idle:
            self._idle.cancel()
            self._idle = None


class PluginServerClient:
    """Calls to one plugin server.

    read_timeout: seconds until an answer is given up (lua_socket_read_timeout).
    """

    def __init__(
        self, socket: str, read_timeout: float, notified: Callable[[Any, Any], None]
    ) -> None:
        self._socket = socket
        self._read_timeout = read_timeout
        self._notified = notified
        self._idle: list[PluginServerConnection] = []
        self._message_id = 0

    async def call(self, method: str, argument: Any) -> Any:
        """Return the result. Raises RpcError for `nil, err`, RpcBroken for a failed assert."""
        self._message_id += 1
        message_id = self._message_id
        connection = await self._connect()
        try:
            request = _pack([0, message_id, method, [argument]])
        except (ValueError, TypeError) as error:
            connection.transport.abort()
            raise RpcBroken(f"cannot be packed: {error}") from error
        try:
            answer = await connection.exchange(request, self._read_timeout, self._notified)
        except RpcError:
            self._give_back(connection)
            raise
        except BaseException:
            connection.transport.abort()
            raise
        if len(answer) < 2 or answer[0] != 1 or answer[1] != message_id:
            connection.transport.abort()
            raise RpcBroken("unexpected RPC response ID from plugin server")
        self._give_back(connection)
        refusal = answer[2] if len(answer) > 2 else None
        if refusal is not None:
            text = refusal if isinstance(refusal, bytes) else repr(refusal).encode()
            raise RpcError(text.decode("utf-8", "replace"))
        return answer[3] if len(answer) > 3 else None

    def close(self) -> None:
        """Close the idle connections."""
        for connection in list(self._idle):
            connection.transport.abort()

    async def _connect(self) -> PluginServerConnection:
        while self._idle:
            connection = self._idle.pop()
            connection.stop_resting()
            if not connection.lost and not connection.transport.is_closing():
                return connection
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_unix_connection(
                lambda: PluginServerConnection(self._forget), self._socket
            )
        except OSError as error:
            raise RpcError(f"trying to connect to unix:{self._socket}: {error}") from error
        return connection

    def _give_back(self, connection: PluginServerConnection) -> None:
        if connection.lost or len(self._idle) >= _MOST_IDLE:
            connection.transport.abort()
            return
        connection.rest()
        self._idle.append(connection)

    def _forget(self, connection: PluginServerConnection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)


def _time_out(answer: "asyncio.Future[list[Any]]") -> None:
    if not answer.done():
        answer.set_exception(RpcError("no data"))


def _pack(value: Any) -> bytes:
    # header bytes that are no UTF-8 go out as a MsgPack string all the same, as from Lua
    return cast(bytes, msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape"))
