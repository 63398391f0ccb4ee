"""The plugin server answers any bytes on a connection, once for each request.

Bytes in pieces get the same answers as in one. Only requests that the handler admits are admitted.
After the connection is closed the server continues with others.
"""

import asyncio
import contextlib
import itertools
import logging
import math
from collections.abc import AsyncIterator
from typing import Any

import msgpack
from jan_media_plugin.server.connection import Connection, new_unpacker
from jan_media_plugin.server.plugin_server import Limits, LoopPluginServer
from jan_media_plugin.server.watches import Freeze
from kong_pdk.module import Module

from tests.fuzz.readers.pieces import in_pieces, leading
from tests.support.kong_driver import pack_like_lua

_MOST_BYTES = 4096
_WORDS: list[Any] = [
    *("plugin.HandleEvent", "plugin.Step", "plugin.StepError", "plugin.StepMultiMap"),
    *("plugin.StartInstance", "plugin.CloseInstance", "plugin.InstanceStatus", "plugin.GetStatus"),
    *("plugin.GetPluginInfo", "InstanceId", "EventName", "EventId", "Data", "Name", "Config"),
    *("access", "Plugin", "{}", '{"a":[1]}', {"InstanceId": 1, "EventName": "access"}),
    *({"EventId": 1}, {"EventId": 1, "Data": 1}, {"Name": "Plugin", "Config": "{}"}),
]
WORDS = [
    *map(pack_like_lua, _WORDS),
    *(b"\x94\x00", b"\x91", b"\x82", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"),
    *(b"\xcb\x3f\xf0\0\0\0\0\0\0", b"\xd9\x02\xff\xfe", b"\xc7\x04\x01abcd"),
]


class _Plugin:
    """Lets a request through after two PDK calls, and counts that."""

    let_through = 0

    def __init__(self, config: Any) -> None:
        self.config = config

    async def access(self, kong: Any) -> None:
        headers = await kong.request.get_headers(1000)
        await kong.service.request.set_headers({"seen": headers})
        _Plugin.let_through += 1


class _Transport(asyncio.Transport):
    """Notes what is written; with ``slow`` it says after each write that Kong reads slowly."""

    def __init__(self, *, slow: bool) -> None:
        super().__init__()
        self.written: list[Any] = []
        self.slow = slow
        self.full = False
        self.aborted = False
        self.too_much = False  # written though Kong did not read, or not any more
        self.connection: Connection | None = None

    def write(self, data: Any) -> None:
        self.too_much = self.too_much or self.full or self.aborted
        self.written.append(msgpack.unpackb(data, raw=True, strict_map_key=False))
        if self.slow and self.connection is not None and not self.full:
            self.full = True
            self.connection.pause_writing()

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        self.full = False


@contextlib.asynccontextmanager
async def _serving() -> AsyncIterator[LoopPluginServer]:
    """A server that counts from 1, with one instance; nothing is left of it."""
    logging.disable()
    server = LoopPluginServer(Limits(max_message=_MOST_BYTES))
    server.instance_id, server.event_ids = 1, itertools.count(1)
    server.plugins["Plugin"] = Module("Plugin", module=type("module", (), {"Plugin": _Plugin}))
    server.start_instance({"Name": "Plugin", "Config": "{}"})
    yield server
    tasks = [event.task for event in server.events.values()]
    server.end_all()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not server.events
    logging.disable(logging.NOTSET)


async def _send(server: LoopPluginServer, pieces: list[bytes], *, slow: bool) -> _Transport:
    """Let a connection have these pieces, then lose it."""
    transport = _Transport(slow=slow)
    connection = Connection(server, Freeze(math.inf))
    connection.connection_made(transport)
    transport.connection = connection
    for piece in pieces:
        if not transport.aborted:
            connection.data_received(piece)
        await _settled(connection, transport)
    connection.connection_lost(None)
    return transport


async def _settled(connection: Connection, transport: _Transport) -> None:
    """Return when all that came is answered, as far as it is whole."""
    answered = -1
    while answered < len(transport.written) or connection._asked is not None or transport.full:
        answered = len(transport.written)
        if transport.full and not transport.aborted:
            connection.resume_writing()
        await asyncio.sleep(0)
        if transport.aborted:
            return


def _requests(data: bytes) -> list[int]:
    """The numbers of the requests that are whole, up to the first thing that is none."""
    numbers = []
    unpacker = new_unpacker(_MOST_BYTES)
    unpacker.feed(data)
    try:
        for kind, number, name, args in unpacker:
            if kind != 0 or not isinstance(number, int) or not isinstance(args, list):
                break
            if isinstance(name, list | dict):
                break
            numbers.append(number)
    except (ValueError, TypeError, msgpack.UnpackException):
        pass
    return numbers


def _without_times(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {
            name: _without_times(value)
            for name, value in answer.items()
            if name not in (b"StartTime", b"LoadTime", b"LastStartInstance", b"LastCloseInstance")
        }
    return [*map(_without_times, answer)] if isinstance(answer, list) else answer


def assert_answered(data: bytes, size: int, *, slow: bool) -> None:
    asyncio.run(_assert_answered(data, size, slow=slow))


async def _assert_answered(data: bytes, size: int, *, slow: bool) -> None:
    _Plugin.let_through = 0
    async with _serving() as server:
        sent = await _send(server, in_pieces(data, size), slow=slow)
        let_through = _Plugin.let_through
        await _assert_goes_on(server)
    assert not sent.too_much
    assert all(answer[0] == 1 and len(answer) == 4 for answer in sent.written)
    assert [answer[1] for answer in sent.written] == _requests(data)
    ends = [answer for answer in sent.written if _said(answer) == b"ret"]
    assert len(ends) == let_through
    async with _serving() as server:
        in_one = await _send(server, [data], slow=False)
    assert repr(_without_times(sent.written)) == repr(_without_times(in_one.written))
    assert sent.aborted == in_one.aborted


def _said(answer: list[Any]) -> Any:
    return answer[3].get(b"Data") if isinstance(answer[3], dict) else None


class _Question:
    """A question of Kong's, and the server's answer to it."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    def answer(self, answer: dict[str, Any]) -> None:
        self.answered.set_result(answer)


async def _assert_goes_on(server: LoopPluginServer) -> None:
    """A request of another connection is handled from its beginning to its end."""
    started = server.start_instance({"Name": "Plugin", "Config": "{}"})
    question = _Question()
    server.handle_event(question, {"InstanceId": started["Id"], "EventName": "access"})
    for method in ("kong.request.get_headers", "kong.service.request.set_headers"):
        event = await question.answered
        assert event["Data"]["Method"] == method
        question = _Question()
        server.step(question, {"EventId": event["EventId"], "Data": {}})
    assert (await question.answered)["Data"] == "ret"


def check(data: bytes) -> None:
    """A byte for the size of pieces, one for how fast Kong reads, and what it sends."""
    (size, slow), sent = leading(data, 2)
    if len(sent) <= _MOST_BYTES:
        assert_answered(sent, size + 1, slow=bool(slow % 2))
