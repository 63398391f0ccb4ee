"""Client connections: one request at a time on each, with streamed answers."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from typing import Any, NamedTuple

import h11

from devkong.http.headers import Headers
from devkong.http.wire import Aborted, BadMessage, Wire
from devkong.settings import HeadLimits

_log = logging.getLogger("devkong")

_IDLE_SECONDS = 75.0
_LINGER_SECONDS = 30.0


class InboundRequest(NamedTuple):
    """A request whose head has arrived. length: None if there is no body or its end is unknown."""

    method: bytes
    target: bytes
    minor_version: int
    headers: Headers
    has_body: bool
    length: int | None
    client_ip: str
    server_port: int
    started: float


Serve = Callable[["ClientConnection", InboundRequest], Coroutine[Any, Any, None]]
Refuse = Callable[["ClientConnection", int], Coroutine[Any, Any, None]]


class ClientProtocol(asyncio.StreamReaderProtocol):
    """Streams that report a lost client at once, even if nothing reads them."""

    def __init__(self, connected: Callable[["ClientConnection"], Any]) -> None:
        self.connection: ClientConnection | None = None

        async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connection = ClientConnection(reader, writer)
            await connected(self.connection)

        super().__init__(asyncio.StreamReader(), run)

    def eof_received(self) -> bool:
        """Treat a client that has closed its side as gone, as nginx does."""
        super().eof_received()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the connection."""
        super().connection_lost(exc)
        if self.connection:
            self.connection.was_lost()


class ClientConnection:
    """One client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._client = str(writer.get_extra_info("peername")[0])
        self._port = int(writer.get_extra_info("sockname")[1])
        self.task = asyncio.current_task()
        self._stopping = False
        self._idle = True
        self.lost = False
        self.answered = False
        self.on_lost: Callable[[], None] | None = None

    async def run(self, serve: Serve, refuse: Refuse, limits: HeadLimits) -> None:
        """Answer requests until either side closes."""
        self._wire = Wire(h11.SERVER, self._reader, self._writer, limits.whole)
        try:
            while await self._answer_one(serve, refuse, limits):
                pass
        except (Aborted, TimeoutError, asyncio.CancelledError, OSError):
            pass
        except Exception:
            _log.exception("a request could not be answered")
            self.cut_off()
        finally:
            self._writer.close()

    async def _answer_one(self, serve: Serve, refuse: Refuse, limits: HeadLimits) -> bool:
        """Return whether another request may follow."""
        self.answered, self._idle = False, True
        try:
            event = await self._wire.receive(_IDLE_SECONDS)
            if not isinstance(event, h11.Request):
                return False
            request = self._request(event, limits)
        except BadMessage as error:
            # h11 says 431 for a head that does not end
            unended_line = b"\r\n" not in self._wire.h11.trailing_data[0]
            too_long = 414 if unended_line else 494
            await refuse(self, too_long if error.status == 431 else error.status)
            return False
        self._idle = False
        await serve(self, request)
        self.on_lost = None
        return self.answered and await self._is_ready_for_another()

    def _request(self, event: h11.Request, limits: HeadLimits) -> InboundRequest:
        """Return the request. Raises BadMessage for one that h11 accepts and nginx refuses."""
        lines = event.headers.raw_items()
        headers = Headers(lines)
        if len(event.target) > limits.size:
            raise BadMessage(414, "the request line is too long")
        sizes = [len(name) + len(value) + 4 for name, value in lines]
        if max(sizes, default=0) > limits.size or sum(sizes) > limits.whole:
            raise BadMessage(494, "the head is too long")
        length, coding = headers.get(b"content-length"), headers.get(b"transfer-encoding")
        if length is not None and coding is not None:
            raise BadMessage(400, "both Content-Length and Transfer-Encoding")
        return InboundRequest(
            method=event.method,
            target=event.target,
            minor_version=0 if event.http_version == b"1.0" else 1,
            headers=headers,
            has_body=coding is not None or bool(length and int(length)),
            length=int(length) if length else None,
            client_ip=self._client,
            server_port=self._port,
            started=time.time(),
        )

    async def _is_ready_for_another(self) -> bool:
        await self._writer.drain()
        state = self._wire.h11
        if state.they_are_waiting_for_100_continue or self.lost:
            return False  # the client may or may not send the body that it announced
        if state.their_state is h11.SEND_BODY:
            # closing now would reset the connection before the client has read the answer
            if state.our_state is h11.MUST_CLOSE and self._writer.can_write_eof():
                self._writer.write_eof()
            with contextlib.suppress(BadMessage):
                async with asyncio.timeout(_LINGER_SECONDS):
                    while await self._wire.body():
                        pass
        if self._stopping or state.our_state is not h11.DONE or state.their_state is not h11.DONE:
            return False
        state.start_next_cycle()
        return True

    async def read_body(self) -> bytes:
        """Return the next part of the request's body, b"" at its end. Raises Aborted, BadMessage.

        It first sends 100 Continue if the client waits for that.
        """
        if self._wire.h11.they_are_waiting_for_100_continue:
            self._wire.send(
                h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
            )
        return await self._wire.body()

    async def send_head(
        self, status: int, reason: bytes, headers: Headers, length: int | None
    ) -> None:
        """Send the head of the answer. length: None if it is unknown, or there is no body."""
        lines = [(name, value) for _, name, value in headers]
        if headers.get(b"date") is None:
            lines.insert(0, (b"Date", formatdate(usegmt=True).encode()))
        if length is not None:
            lines.append((b"Content-Length", b"%d" % length))
        is_last = self._stopping or self._wire.h11.their_state is h11.MUST_CLOSE
        lines.append((b"Connection", b"close" if is_last else b"keep-alive"))
        self._wire.send(h11.Response(status_code=status, headers=lines, reason=reason))
        self.answered = True
        await self._writer.drain()

    async def send_chunk(self, chunk: bytes) -> None:
        """Send a part of the body, and wait while the client reads slowly."""
        self._wire.send(h11.Data(data=chunk))
        await self._writer.drain()

    def end_body(self) -> None:
        """Mark the body as complete."""
        self._wire.send(h11.EndOfMessage())

    def cut_off(self) -> None:
        """Close without ending the body, so that the client sees that it is incomplete."""
        self.answered = False
        self._wire.close()

    def was_lost(self) -> None:
        """Note that the connection is gone."""
        self.lost = True
        if self.on_lost:
            self.on_lost()

    def stop(self) -> None:
        """Close after the current answer."""
        self._stopping = True
        if self._idle:
            self.cancel()

    def cancel(self) -> None:
        """Abort the current answer."""
        if self.task:
            self.task.cancel()
        self._writer.transport.abort()
