"""One of Kong's connections: requests ``[0, id, "plugin.Method", [args]]`` in, answers out.

The protocol is that of Kong's kong/runloop/plugin_servers/rpc/mp_rpc.lua. A message is handled
right in the socket's callback, which is what makes a handler's PDK call one switch away from it.

Lua strings are bytes: Kong packs each as a MessagePack string, so headers and query values are not
always UTF-8. Bytes that are not come in as lone surrogates (PEP 383) and go out as the same bytes.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import msgpack
from kong_pdk.exception import PDKException, PluginServerException

from jan_media_plugin.server.event import FAILED, INTERRUPTED, Event
from jan_media_plugin.server.log import where
from jan_media_plugin.server.plugin_server import LoopPluginServer
from jan_media_plugin.server.watches import Freeze

_EXPECTED = (PluginServerException, PDKException)
_OF_EVENTS = ("plugin.HandleEvent", "plugin.Step")
_LARGE = 1 << 20
TEXT_ERRORS = "surrogateescape"
_MOST_ITEMS = 1 << 20  # a header may claim 2**32 items and send none


def new_unpacker(max_message: int) -> msgpack.Unpacker:
    """Return an unpacker for one connection that buffers at most ``max_message`` bytes."""
    return msgpack.Unpacker(
        read_size=min(1 << 16, max_message),
        strict_map_key=False,
        unicode_errors=TEXT_ERRORS,
        max_buffer_size=max_message,
        max_array_len=_MOST_ITEMS,
        max_map_len=_MOST_ITEMS,
    )


def _new_packer() -> msgpack.Packer:
    return msgpack.Packer(unicode_errors=TEXT_ERRORS)


_packer = _new_packer()


def pack(message: Any) -> bytes:
    """Return ``message`` packed; TypeError, ValueError or OverflowError if it cannot be."""
    global _packer
    packed: bytes = _packer.pack(message)
    if len(packed) > _LARGE:
        _packer = _new_packer()  # a packer keeps the largest buffer it ever needed
    return packed


_STEPS = ("", "Service", "Consumer", "Route", "Plugin", "Credential", "MemoryStats", "MultiMap")
"""Kong has a method for each kind of result that a PDK call may have."""


def methods_of(server: LoopPluginServer) -> dict[str, Callable[..., Any]]:
    """Return what Kong may call, by the names it calls them."""
    return {
        "plugin.StartInstance": server.start_instance,
        "plugin.CloseInstance": server.close_instance,
        "plugin.InstanceStatus": server.instance_status,
        "plugin.GetStatus": server.get_status,
        "plugin.GetPluginInfo": server.get_plugin_info,
        "plugin.HandleEvent": server.handle_event,
        **{f"plugin.Step{kind}": server.step for kind in _STEPS},
        "plugin.StepError": server.step_error,
    }


class Connection(asyncio.Protocol):
    """Feeds ``server`` with what arrives, unless it is too late for that (``freeze``)."""

    transport: asyncio.Transport

    def __init__(
        self,
        server: LoopPluginServer,
        methods: dict[str, Callable[..., Any]],
        freeze: Freeze,
    ) -> None:
        self.server = server
        self.methods = methods
        self.freeze = freeze
        self.unpacker = new_unpacker(server.limits.max_message)
        self.received = 0
        self.full = False
        """Whether Kong is slow to read: then nothing more is taken in."""
        self.owed: dict[int, Event] = {}
        """Events that wait for I/O, by the request that they are to answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.freeze.transports.add(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.freeze.transports.discard(self.transport)
        owed, self.owed = self.owed, {}
        for event in owed.values():
            event.deliver = None
            self.server.end(event, INTERRUPTED)

    def pause_writing(self) -> None:
        self.full = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.full = False
        self.transport.resume_reading()
        self._handle_buffered()

    def data_received(self, data: bytes) -> None:
        if self.freeze.noticed():
            self.transport.abort()
            return
        try:
            self.unpacker.feed(data)
        except msgpack.BufferFull:
            self._give_up("a message is too long")
            return
        self.received += len(data)
        self._handle_buffered()

    def _handle_buffered(self) -> None:
        unpacker = self.unpacker
        try:
            while unpacker.tell() < self.received:
                self._handle(unpacker.unpack())
                if self.full or self.transport.is_closing():
                    return
        except msgpack.OutOfData:
            return  # the rest of the message is still to come
        except Exception as failure:  # not MessagePack, or not a request: there is no way on
            self._give_up(type(failure).__name__)
            return
        if self.received > _LARGE:  # an unpacker keeps the largest buffer it ever needed
            self.unpacker = new_unpacker(self.server.limits.max_message)
            self.received = 0

    def _give_up(self, why: str) -> None:
        self.server.logger.error(f"a connection is closed, it did not speak the protocol: {why}")
        self.transport.abort()

    def _handle(self, message: Any) -> None:
        kind, number, name, args = message
        if kind != 0 or not isinstance(number, int) or not isinstance(args, list):
            raise ValueError("not a request")
        method = self.methods.get(name)
        if method is None:
            self._send_error(number, f"RPC for {name!s:.100} is not supported")
            return
        try:
            answer = method(*args)
        except _EXPECTED as failure:
            self._send_error(number, str(failure))
        except Exception as failure:
            self.server.logger.error(f"{name} failed: {where(failure)}")
            if name.startswith(_OF_EVENTS):  # an error would pass the request on, un-plugged
                self._send(number, {"Data": FAILED, "EventId": 0})
            else:
                self._send_error(number, f"{name} failed: {type(failure).__name__}")
        else:
            if answer.__class__ is Event:
                self.owed[number] = answer
                answer.deliver = partial(self._send_late, number)
            else:
                self._send(number, answer)

    def _send_late(self, number: int, answer: dict[str, Any]) -> None:
        self.owed.pop(number, None)
        self._send(number, answer)

    def _send(self, number: int, answer: Any) -> None:
        try:
            packed = pack((1, number, None, answer))
        except (TypeError, ValueError, OverflowError) as failure:
            if "EventId" not in answer:
                self._send_error(number, f"the answer cannot be packed: {type(failure).__name__}")
                return
            packed = pack((1, number, None, self._refused(answer, failure)))
        self.transport.write(packed)

    def _refused(self, answer: Any, failure: Exception) -> dict[str, Any]:
        """End the event whose handler called the PDK with what MessagePack has no form for."""
        number = answer["EventId"]
        method = answer["Data"]["Method"]
        self.server.logger.error(
            f"an argument of {method} cannot be sent to Kong, the request is refused:"
            f" {type(failure).__name__}"
        )
        event = self.server.events.get(number)
        if event is not None:
            self.server.end(event, FAILED)
        return {"Data": FAILED, "EventId": number}

    def _send_error(self, number: int, error: str) -> None:
        self.transport.write(pack((1, number, error, None)))
