"""One of Kong's connections: gets requests ``[0, id, "plugin.Method", [args]]``, sends answers.

The protocol is that of Kong's kong/runloop/plugin_servers/rpc/mp_rpc.lua. Kong asks on a connection
once the last question is answered, so questions are answered one after the other.

Lua strings are bytes: Kong packs each as a MessagePack string, so headers and query values are not
always UTF-8. Other bytes come in as lone surrogates (PEP 383) and go out as the same bytes.
"""

import asyncio
import logging
from typing import Any, cast

import msgpack
from kong_pdk.exception import PluginServerException

from jan_media_plugin.server.event import FAILED
from jan_media_plugin.server.log import where
from jan_media_plugin.server.plugin_server import LoopPluginServer
from jan_media_plugin.server.watches import Freeze

log = logging.getLogger(__name__)

_LARGE = 1 << 20
_TEXT_ERRORS = "surrogateescape"
_MOST_ITEMS = 1 << 20  # a message may announce 2**32 items and send none


def new_unpacker(max_message: int) -> msgpack.Unpacker:
    """Return an unpacker for one connection that buffers at most ``max_message`` bytes."""
    return msgpack.Unpacker(
        read_size=min(1 << 16, max_message),
        strict_map_key=False,
        unicode_errors=_TEXT_ERRORS,
        max_buffer_size=max_message,
        max_array_len=_MOST_ITEMS,
        max_map_len=_MOST_ITEMS,
    )


def pack(message: Any) -> bytes:
    """Pack ``message``. Raises TypeError, ValueError or OverflowError if that is not possible."""
    return cast(bytes, msgpack.packb(message, unicode_errors=_TEXT_ERRORS))


# Kong has a method for each kind of result of a PDK call.
_STEPS = ("", "Service", "Consumer", "Route", "Plugin", "Credential", "MemoryStats", "MultiMap")
_OF_EVENTS = {
    "plugin.HandleEvent": LoopPluginServer.handle_event,
    "plugin.StepError": LoopPluginServer.step_error,
    **{f"plugin.Step{kind}": LoopPluginServer.step for kind in _STEPS},
}
_OF_INSTANCES = {
    "plugin.StartInstance": LoopPluginServer.start_instance,
    "plugin.CloseInstance": LoopPluginServer.close_instance,
    "plugin.InstanceStatus": LoopPluginServer.instance_status,
    "plugin.GetStatus": LoopPluginServer.get_status,
    "plugin.GetPluginInfo": LoopPluginServer.get_plugin_info,
}


class Connection(asyncio.Protocol):
    """Passes what arrives to ``server``, unless it is too late for that (``freeze``)."""

    transport: asyncio.Transport

    def __init__(self, server: LoopPluginServer, freeze: Freeze) -> None:
        self._server = server
        self._freeze = freeze
        self._unpacker = new_unpacker(server.limits.max_message)
        self._received = 0
        self._asked: int | None = None
        """The number of the question that has no answer yet."""
        self._is_full = False
        """Whether Kong is slow to read: then nothing more is taken in."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._freeze.transports.add(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._freeze.transports.discard(self.transport)
        if self._asked is not None:
            self._server.forget(self)

    def pause_writing(self) -> None:
        self._is_full = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_full = False
        self.transport.resume_reading()
        self._go_on()

    def data_received(self, data: bytes) -> None:
        if self._freeze.noticed():
            self.transport.abort()
            return
        try:
            self._unpacker.feed(data)
        except msgpack.BufferFull:
            self._give_up("a message is too long")
            return
        self._received += len(data)
        self._go_on()

    def _go_on(self) -> None:
        """Handle the messages that have come, unless a question is still unanswered."""
        try:
            while self._has_more() and not self._is_full and not self.transport.is_closing():
                self._handle(self._unpacker.unpack())
        except msgpack.OutOfData:
            return  # the rest of the message is still to come
        except Exception as failure:  # not MessagePack, or not a request: cannot continue
            self._give_up(type(failure).__name__)
            return
        if self._received == self._unpacker.tell() > _LARGE:
            # An unpacker never releases the largest buffer that it needed.
            self._unpacker, self._received = new_unpacker(self._server.limits.max_message), 0

    def _has_more(self) -> bool:
        return self._asked is None and self._unpacker.tell() < self._received

    def _give_up(self, why: str) -> None:
        log.error("a connection is closed, it did not speak the protocol: %s", why)
        self.transport.abort()

    def _handle(self, message: Any) -> None:
        kind, number, name, args = message
        if kind != 0 or not isinstance(number, int) or not isinstance(args, list):
            raise ValueError("not a request")
        of_events, of_instances = _OF_EVENTS.get(name), _OF_INSTANCES.get(name)
        self._asked = number
        try:
            if of_events is not None:
                of_events(self._server, self, *args)
            elif of_instances is not None:
                self.answer(of_instances(self._server, *args))
            else:
                raise PluginServerException(f"RPC for {name!s:.100} is not supported")
        except PluginServerException as failure:
            self._send(str(failure), None)
        except Exception as failure:
            log.error("%s failed: %s", name, where(failure))
            if of_events is not None:  # after an error, Kong proxies without us
                self.answer({"Data": FAILED, "EventId": 0})
            else:
                self._send(f"{name} failed: {type(failure).__name__}", None)

    def answer(self, answer: Any) -> None:
        """Send ``answer``. Raises TypeError, ValueError or OverflowError if it cannot be packed."""
        self._send(None, answer)

    def _send(self, error: str | None, answer: Any) -> None:
        packed = pack((1, self._asked, error, answer))
        self._asked = None
        if not self.transport.is_closing():
            self.transport.write(packed)
        if self._has_more():
            asyncio.get_running_loop().call_soon(self._go_on)
