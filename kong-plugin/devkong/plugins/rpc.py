"""The MsgPack protocol as Kong speaks it (kong/runloop/plugin_servers/rpc/mp_rpc.lua).

Every call takes any idle connection and gives it back afterwards, whatever happened. So, as in
Kong, a connection with an outstanding answer is given back too, and breaks the next call. One thing
differs: in Kong the cost of an answer grows with the square of its size.
"""

import asyncio
import contextlib
from typing import Any, NamedTuple, cast

import msgpack

_IDLE_SECONDS = 60.0
_READ = 256 * 1024


class RpcError(Exception):
    """The call gave `nil, err`: no connection, no answer, or the plugin server's own error."""


class RpcBroken(Exception):
    """The answer belongs to another call: Lua's assert fails, and the client gets 500."""


class _Connection(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class PluginServerClient:
    """Calls to one plugin server.

    read_timeout: seconds to wait for an answer (lua_socket_read_timeout).
    """

    def __init__(self, socket: str, read_timeout: float) -> None:
        self._socket = socket
        self._read_timeout = read_timeout
        self._idle: dict[_Connection, asyncio.Task[None]] = {}
        self._message_id = 0

    async def call(self, method: str, argument: Any) -> Any:
        """Return the result. Raises RpcError for `nil, err`, RpcBroken for a failed assert."""
        self._message_id += 1
        message_id = self._message_id
        connection = await self._connect()
        try:
            connection.writer.write(_pack([0, message_id, method, [argument]]))
            async with asyncio.timeout(self._read_timeout):
                answer = await self._answer(connection)
        except (TimeoutError, OSError, EOFError) as error:
            self._give_back(connection)
            raise RpcError("no data") from error
        except BaseException as error:
            connection.writer.transport.abort()
            if isinstance(error, ValueError | TypeError | LookupError | msgpack.UnpackException):
                raise RpcBroken(f"bad question or answer: {error}") from error
            raise
        if answer[:2] != [1, message_id]:
            connection.writer.transport.abort()
            raise RpcBroken("unexpected RPC response ID from plugin server")
        self._give_back(connection)
        _, _, refusal, result = (*answer, None, None)[:4]
        if refusal is not None:
            text = refusal if isinstance(refusal, bytes) else repr(refusal).encode()
            raise RpcError(text.decode("utf-8", "replace"))
        return result

    def close(self) -> None:
        """Close the idle connections."""
        for connection, resting in self._idle.items():
            resting.cancel()
            connection.writer.transport.abort()

    async def _answer(self, connection: _Connection) -> list[Any]:
        unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=2**31 - 1)
        while data := await connection.reader.read(_READ):
            unpacker.feed(data)
            for message in unpacker:
                if message[0] != 2:  # 2: a notification
                    return list(message)
        raise EOFError

    async def _connect(self) -> _Connection:
        while self._idle:
            connection, resting = self._idle.popitem()
            resting.cancel()
            await asyncio.wait({resting})
            if not connection.reader.at_eof() and not connection.writer.is_closing():
                return connection
            connection.writer.transport.abort()
        try:
            return _Connection(*await asyncio.open_unix_connection(self._socket))
        except OSError as error:
            raise RpcError(f"trying to connect to unix:{self._socket}: {error}") from error

    def _give_back(self, connection: _Connection) -> None:
        self._idle[connection] = asyncio.create_task(self._rest(connection))

    async def _rest(self, connection: _Connection) -> None:
        """Wait for the next call. Unexpected bytes close the connection, as in nginx."""
        with contextlib.suppress(OSError):  # and TimeoutError is one
            await asyncio.wait_for(connection.reader.read(1), _IDLE_SECONDS)
        self._idle.pop(connection, None)
        connection.writer.transport.abort()


def _pack(value: Any) -> bytes:
    # header bytes that are not UTF-8 are still sent as a MsgPack string, as from Lua
    return cast(bytes, msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape"))
