"""Bytes on their way from one connection to another, with back pressure."""

import asyncio
from collections import deque

_PAUSE_ABOVE = 256 * 1024


class Aborted(Exception):
    """The body will never be complete: its sender went away or broke the protocol."""


class BodyStream:
    """Chunks of one body. The connection feeds it; one reader takes them."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self.ended = False

    def feed(self, chunk: bytes) -> None:
        """Take a chunk from the wire."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > _PAUSE_ABOVE and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def end(self) -> None:
        """The body is complete."""
        self.ended = True
        self._resume()
        self._wake()

    def abort(self, error: Exception) -> None:
        """The body is cut off."""
        if not self.ended:
            self._error = error
            self._wake()

    @property
    def ready(self) -> bool:
        """Say whether read would return at once."""
        return bool(self._chunks) or self.ended or self._error is not None

    async def read(self, seconds: float | None = None) -> bytes:
        """Return what has come so far, waiting for some; b"" at the end.

        seconds: how long to wait for the next bytes. Raises Aborted.
        """
        while not self._chunks:
            if self.ended:
                return b""
            if self._error:
                raise Aborted(str(self._error))
            await self._wait(seconds)
        taken = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        self._resume()
        return taken

    async def _wait(self, seconds: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        if seconds is None:
            await self._waiter
            return
        timer = loop.call_later(seconds, self.abort, TimeoutError("no bytes in time"))
        try:
            await self._waiter
        finally:
            timer.cancel()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


class WriteGate:
    """Holds writers back while a transport's buffer is full."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []
        self._full = False
        self._closed = False

    def close_gate(self) -> None:
        """The buffer is full."""
        self._full = True

    def open_gate(self) -> None:
        """The buffer has drained."""
        self._full = False
        self._wake()

    def connection_lost(self) -> None:
        """Let waiting writers go: what they write goes nowhere."""
        self._closed = True
        self._wake()

    async def wait(self) -> None:
        """Return when there is room."""
        while self._full and not self._closed:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
