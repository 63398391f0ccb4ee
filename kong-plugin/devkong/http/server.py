"""The front: client connections, one request at a time on each, answers streamed."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from typing import Any, NamedTuple, cast

from devkong.http.framing import Chunked, FixedLength, Framing
from devkong.http.head import (
    BadMessage,
    HeadLimits,
    RequestHead,
    content_length,
    is_chunked,
    parse_request_head,
)
from devkong.http.headers import Headers, comma_list
from devkong.http.stream import BodyStream, WriteGate

_log = logging.getLogger("devkong")

_IDLE_SECONDS = 75.0
_LINGER_SECONDS = 30.0
_HELD_BACK = 64 * 1024


class InboundRequest(NamedTuple):
    """A request whose head has arrived. body is None when there is none."""

    head: RequestHead
    body: BodyStream | None
    length: int | None
    client_ip: str
    client_port: int
    server_ip: str
    server_port: int
    started: float


Serve = Callable[["ClientConnection", InboundRequest], Coroutine[Any, Any, None]]
Refuse = Callable[["ClientConnection", int], None]


class ClientConnection(asyncio.Protocol):
    """One client's connection."""

    def __init__(
        self,
        serve: Serve,
        refuse: Refuse,
        open_connections: set["ClientConnection"],
        head_limits: HeadLimits,
    ) -> None:
        self._serve = serve
        self._head_limits = head_limits
        self._refuse = refuse
        self._open = open_connections
        self._buffer = b""
        self._framing: Framing | None = None
        self._body: BodyStream | None = None
        self._task: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._gate = WriteGate()
        self._discarding = False
        self._expects_continue = False
        self._chunked_answer = False
        self._keep_alive = True
        self._answered = False
        self._held_head = b""
        self._stopping = False
        self.lost = False
        self.closed = asyncio.Event()
        self.on_lost: Callable[[], None] | None = None
        self.minor_version = 1

    # --- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember who called."""
        self.transport = cast(asyncio.Transport, transport)
        peer, here = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        # nginx calls a client on a Unix socket "unix:"
        self._client = peer[:2] if isinstance(peer, tuple) else ("unix:", 0)
        self._here = here[:2] if isinstance(here, tuple) else ("unix:", 0)
        self._open.add(self)
        self._wait_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever is answering that nobody listens any more."""
        self.lost = True
        self.closed.set()
        self._open.discard(self)
        self._gate.connection_lost()
        self._stop_idle()
        if self._body:
            self._body.abort(exc or ConnectionResetError("the client closed the connection"))
        if self.on_lost:
            self.on_lost()

    def pause_writing(self) -> None:
        """The client reads slower than we write."""
        self._gate.close_gate()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._gate.open_gate()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        self._buffer = self._buffer + data if self._buffer else data
        try:
            self._advance()
        except BadMessage as error:
            self._refuse_and_close(error.status)

    # --- reading

    def _advance(self) -> None:
        while self._buffer:
            if self._framing and self._body:
                self._take_body(self._framing, self._body)
                if not self._body.ended:
                    return
                self._framing = None
                if self._discarding:
                    self._next_request()
            elif self._task:
                # a pipelined request: it waits for the answer to the one before it
                if len(self._buffer) > _HELD_BACK:
                    self.transport.pause_reading()
                return
            elif not self._take_head():
                return

    def _take_body(self, framing: Framing, body: BodyStream) -> None:
        chunk, self._buffer = framing.feed(self._buffer)
        if chunk and not self._discarding:
            body.feed(chunk)
        if framing.done:
            body.end()

    def _take_head(self) -> bool:
        # an empty line before a request is allowed (RFC 9112, 2.2)
        while self._buffer.startswith(b"\r\n"):
            self._buffer = self._buffer[2:]
        limits = self._head_limits
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > limits.whole:
                raise BadMessage(494, "head too long")
            if len(self._buffer) > limits.size and b"\r\n" not in self._buffer:
                raise BadMessage(414, "request line too long")
            return False
        if end > limits.whole:
            raise BadMessage(494, "head too long")
        self._stop_idle()
        head = parse_request_head(self._buffer[:end], limits)
        self._buffer = self._buffer[end + 4 :]
        self._begin(head)
        return True

    def _begin(self, head: RequestHead) -> None:
        self.minor_version = head.minor_version
        connection = comma_list(head.headers.get(b"connection") or b"")
        self._keep_alive = not self._stopping and (
            b"close" not in connection if head.minor_version else b"keep-alive" in connection
        )
        chunked, length = is_chunked(head.headers), content_length(head.headers)
        self._body, self._framing = None, None
        self._discarding = self._answered = False
        if chunked or length:
            self._body = BodyStream(self.transport)
            self._framing = Chunked() if chunked else FixedLength(length or 0)
        expect = head.headers.get(b"expect")
        self._expects_continue = (
            self._body is not None
            and head.minor_version == 1
            and expect is not None
            and expect.lower() == b"100-continue"
        )
        request = InboundRequest(
            head=head,
            body=self._body,
            length=length,
            client_ip=self._client[0],
            client_port=self._client[1],
            server_ip=self._here[0],
            server_port=self._here[1],
            started=time.time(),
        )
        self._task = asyncio.get_running_loop().create_task(self._answer(request))

    async def _answer(self, request: InboundRequest) -> None:
        try:
            await self._serve(self, request)
        except Exception:
            _log.exception("a request could not be answered")
            self.cut_off()
        finally:
            self.on_lost = None
            if not self._answered:
                self._keep_alive = False
            self._finish()

    def _finish(self) -> None:
        if self.lost:
            return
        if not self._keep_alive:
            self._linger_or_close()
        elif self._framing and self._body and not self._body.ended:
            if self._expects_continue:
                # the client may or may not send the body that it announced
                self.transport.close()
                return
            self._discard_rest()
            self._wait_idle(_LINGER_SECONDS)
        else:
            self._next_request()

    def _linger_or_close(self) -> None:
        if self._body and not self._body.ended and not self._expects_continue:
            # closing now would reset the connection before the client has read the answer
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self._discard_rest()
            self._wait_idle(_LINGER_SECONDS)
        else:
            self.transport.close()

    def _discard_rest(self) -> None:
        self._discarding = True
        self.transport.resume_reading()

    def _next_request(self) -> None:
        self._task, self._body = None, None
        if not self._keep_alive or self._stopping:
            self.transport.close()
            return
        self._wait_idle()
        self.transport.resume_reading()
        if self._buffer:
            asyncio.get_running_loop().call_soon(self.data_received, b"")

    # --- answering

    def send_continue(self) -> None:
        """Ask for the body, if the client waits to be asked."""
        if self._expects_continue:
            self._expects_continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def send_head(
        self, status: int, reason: bytes, headers: Headers, length: int | None, has_body: bool
    ) -> None:
        """Send the head of the answer.

        length: None when it is not known; the body is then sent in chunks, or until the
        connection closes to HTTP/1.0 clients. has_body: False for HEAD, 204 and 304.
        """
        self._answered = True
        self._chunked_answer = has_body and length is None and self.minor_version == 1
        if has_body and length is None and not self._chunked_answer:
            self._keep_alive = False
        lines = [b"HTTP/1.1 %d %s\r\n" % (status, reason)]
        if headers.get(b"date") is None:
            lines.append(b"Date: %s\r\n" % http_date())
        lines.extend(b"%s: %s\r\n" % (name, value) for _, name, value in headers)
        if self._chunked_answer:
            lines.append(b"Transfer-Encoding: chunked\r\n")
        elif length is not None:
            lines.append(b"Content-Length: %d\r\n" % length)
        lines.append(
            b"Connection: keep-alive\r\n\r\n" if self._keep_alive else b"Connection: close\r\n\r\n"
        )
        self._held_head = b"".join(lines)

    def flush_head(self) -> None:
        """Send the head now: its body is not here yet."""
        if self._held_head:
            self.transport.write(self._held_head)
            self._held_head = b""

    async def send_chunk(self, chunk: bytes) -> None:
        """Send a part of the body, waiting while the client reads slowly."""
        if self._chunked_answer:
            chunk = b"%x\r\n%s\r\n" % (len(chunk), chunk)
        if self._held_head:
            chunk, self._held_head = self._held_head + chunk, b""
        self.transport.write(chunk)
        await self._gate.wait()

    def end_body(self) -> None:
        """The body is complete."""
        last = self._held_head + (b"0\r\n\r\n" if self._chunked_answer else b"")
        self._held_head = b""
        if last:
            self.transport.write(last)

    def cut_off(self) -> None:
        """Close without ending the body: what was sent is not all there was."""
        self._keep_alive = False
        self.transport.abort()

    def stop(self) -> None:
        """Close when the answer under way is out."""
        self._stopping = True
        self._keep_alive = False
        if self._task is None:
            self.transport.close()

    def cancel(self) -> None:
        """Give up the answer under way."""
        if self._task:
            self._task.cancel()
        self.transport.abort()

    def _refuse_and_close(self, status: int) -> None:
        self._buffer = b""
        self._keep_alive = False
        if self._task and self._answered:
            self.transport.abort()
            return
        if self._task:
            self._task.cancel()
        self._refuse(self, status)
        self.transport.close()

    def _wait_idle(self, seconds: float = _IDLE_SECONDS) -> None:
        self._stop_idle()
        self._idle = asyncio.get_running_loop().call_later(seconds, self.transport.close)

    def _stop_idle(self) -> None:
        if self._idle:
            self._idle.cancel()
            self._idle = None


_date: tuple[int, bytes] = (0, b"")


def http_date() -> bytes:
    """Return the present time as HTTP writes it."""
    global _date
    now = int(time.time())
    if _date[0] != now:
        _date = now, formatdate(now, usegmt=True).encode()
    return _date[1]
