"""The client towards upstreams: kept-alive connections, bytes streamed both ways.

httpcore and httpx are not used: they cost four times the rest of a proxied request, and they
do not hand an answer on before its request has been sent whole.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import NamedTuple, cast

from devkong.http.framing import Chunked, FixedLength, Framing, UntilClose
from devkong.http.head import (
    BadMessage,
    ResponseHead,
    content_length,
    is_chunked,
    parse_response_head,
)
from devkong.http.headers import comma_list
from devkong.http.stream import BodyStream, WriteGate

_LARGEST_RESPONSE_HEAD = 128 * 1024
_IDLE_SECONDS = 60.0
_MOST_IDLE = 512


class UpstreamFailed(Exception):
    """The connection broke, or what came is not HTTP: the client gets 502."""


class UpstreamTimeout(UpstreamFailed):
    """The upstream was too slow to accept, read or answer: the client gets 504."""


class Target(NamedTuple):
    """Where an upstream listens. tls: None, or the context to use."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str | None = None


class UpstreamConnection(asyncio.Protocol):
    """One connection; one request and its response at a time."""

    def __init__(self, on_idle_loss: Callable[["UpstreamConnection"], None]) -> None:
        self._on_idle_loss = on_idle_loss
        self._buffer = b""
        self._gate = WriteGate()
        self._framing: Framing | None = None
        self._waiting: asyncio.Future[ResponseHead] | None = None
        self._method = b""
        self._reusable = False
        self._idle: asyncio.TimerHandle | None = None
        self.body: BodyStream | None = None
        self.lost = False
        self.used_before = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End a body that ends with the connection; anything else is cut off."""
        self.lost = True
        self._gate.connection_lost()
        self._stop_idle()
        if self._waiting and not self._waiting.done():
            self._waiting.set_exception(UpstreamFailed("closed before it answered"))
        if self.body and not self.body.ended:
            if isinstance(self._framing, UntilClose) and exc is None:
                self.body.end()
            else:
                self.body.abort(exc or ConnectionResetError("the upstream cut its answer off"))
        self._on_idle_loss(self)

    def pause_writing(self) -> None:
        """The upstream reads slower than we write."""
        self._gate.close_gate()

    def resume_writing(self) -> None:
        """The upstream has caught up."""
        self._gate.open_gate()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the upstream."""
        self._buffer = self._buffer + data if self._buffer else data
        try:
            self._advance()
        except BadMessage as error:
            self._break(error)

    def _advance(self) -> None:
        while self._buffer:
            if self._framing and self.body:
                chunk, self._buffer = self._framing.feed(self._buffer)
                if chunk:
                    self.body.feed(chunk)
                if not self._framing.done:
                    return
                self._framing = None
                self.body.end()
            elif not self._waiting:
                # bytes that nobody asked for
                raise BadMessage(502, "unexpected bytes")
            else:
                end = self._buffer.find(b"\r\n\r\n")
                if end < 0:
                    if len(self._buffer) > _LARGEST_RESPONSE_HEAD:
                        raise BadMessage(502, "response head too long")
                    return
                head = parse_response_head(self._buffer[:end])
                self._buffer = self._buffer[end + 4 :]
                if head.status >= 200:
                    self._begin(head)

    def _begin(self, head: ResponseHead) -> None:
        waiting, self._waiting = self._waiting, None
        self.body = BodyStream(self.transport)
        connection = comma_list(head.headers.get(b"connection") or b"")
        self._reusable = (
            b"close" not in connection if head.minor_version else b"keep-alive" in connection
        )
        self._framing = self._framing_of(head)
        if self._framing is None or self._framing.done:
            self._framing = None
            self.body.end()
        elif isinstance(self._framing, UntilClose):
            self._reusable = False
        if waiting and not waiting.done():
            waiting.set_result(head)

    def _framing_of(self, head: ResponseHead) -> Framing | None:
        if self._method == b"HEAD" or head.status in (204, 304):
            return None
        if is_chunked(head.headers):
            return Chunked()
        length = content_length(head.headers)
        return UntilClose() if length is None else FixedLength(length)

    def _break(self, error: Exception) -> None:
        self._buffer = b""
        if self._waiting and not self._waiting.done():
            self._waiting.set_exception(UpstreamFailed(str(error)))
        if self.body:
            self.body.abort(error)
        self.transport.abort()

    def send_head(self, method: bytes, head: bytes) -> "asyncio.Future[ResponseHead]":
        """Send a request's head; the result is its response's. Fails with UpstreamFailed."""
        self._stop_idle()
        self._method = method
        self.body = None
        self._reusable = False
        self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(head)
        return self._waiting

    async def send(self, data: bytes, seconds: float) -> None:
        """Send a part of the request's body.

        seconds: the longest time between two successful writes.
        Raises UpstreamTimeout, UpstreamFailed.
        """
        if self.lost:
            raise UpstreamFailed("closed while the request was being sent")
        self.transport.write(data)
        try:
            await asyncio.wait_for(self._gate.wait(), seconds)
        except TimeoutError as error:
            raise UpstreamTimeout("does not read the request") from error

    @property
    def reusable(self) -> bool:
        """Say whether another request may follow."""
        ended = self.body is not None and self.body.ended
        return self._reusable and ended and not self.lost and not self.transport.is_closing()

    def rest(self) -> None:
        """Wait for the next request, for a minute at most."""
        self.used_before = True
        self.body = None
        self._idle = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self.transport.close)

    def close(self) -> None:
        """Close at once."""
        self._stop_idle()
        self.transport.abort()

    def _stop_idle(self) -> None:
        if self._idle:
            self._idle.cancel()
            self._idle = None


class UpstreamPool:
    """Idle connections by target, the youngest taken first."""

    def __init__(self) -> None:
        self._idle: dict[Target, list[UpstreamConnection]] = {}

    async def acquire(self, target: Target, seconds: float) -> UpstreamConnection:
        """Return a connection, kept alive or new.

        seconds: how long connecting may take. Raises UpstreamTimeout, UpstreamFailed.
        """
        idle = self._idle.get(target)
        if idle:
            return idle.pop()
        loop = asyncio.get_running_loop()
        try:
            _, connection = await asyncio.wait_for(
                loop.create_connection(
                    lambda: UpstreamConnection(lambda lost: self._forget(target, lost)),
                    target.host,
                    target.port,
                    ssl=target.tls,
                    server_hostname=target.server_name if target.tls else None,
                ),
                seconds,
            )
        except TimeoutError as error:
            raise UpstreamTimeout("does not accept the connection") from error
        except OSError as error:
            raise UpstreamFailed(str(error)) from error
        return connection

    def release(self, target: Target, connection: UpstreamConnection) -> None:
        """Take a connection back; one that cannot be used again is closed."""
        idle = self._idle.setdefault(target, [])
        if connection.reusable and len(idle) < _MOST_IDLE:
            connection.rest()
            idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close every idle connection."""
        for idle in self._idle.values():
            for connection in list(idle):
                connection.close()

    def _forget(self, target: Target, lost: UpstreamConnection) -> None:
        idle = self._idle.get(target, [])
        if lost in idle:
            idle.remove(lost)
