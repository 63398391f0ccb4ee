"""Connections that do not read ahead.

An event loop reads from a socket before anybody asks: uvloop takes up to 32 times 256 KB at once.
Here each read is one ``recv`` of a limited size. What nobody has read yet stays in the system's
buffers, and when these are full, the sender has to wait.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

import httpcore

from jan_media.fetch.addresses import Address
from jan_media.fetch.errors import FetchFailed

T = TypeVar("T")

_PIECE = 64 * 1024
_MOST_AROUND = 48 * 1024  # a head and a TLS handshake of any usual size
_CONTENT_FOR_ONE_AROUND = 4  # chunks of a few dozen bytes and more are fine
_FIRST_READ = 4 * 1024


class Intake:
    """Counts the bytes that come over one request's connection, and those that are content.

    Heads, interim answers, chunk sizes and TLS records are parsed in Python, which costs a thousand
    times as much as content of the same length. Without a limit, a server that sends chunks of one
    byte, or one ``100 Continue`` after another, would keep a worker busy.
    """

    def __init__(self) -> None:
        self._received = 0
        self._content = 0

    def most_to_read(self) -> int:
        """How many bytes the next read may take.

        They are few until content has come, because whatever one read brings is parsed without a
        pause. Raises `FetchFailed` if too little of what came is content.
        """
        around = self._received - self._content
        if around > _MOST_AROUND + self._content // _CONTENT_FOR_ONE_AROUND:
            raise FetchFailed("The server sent too much that is not content.")
        return _FIRST_READ + self._content

    def received(self, size: int) -> None:
        """Count what has been read."""
        self._received += size

    def content(self, size: int) -> None:
        """Count content."""
        self._content += size


async def connect(
    address: Address, port: int, options: Iterable[httpcore.SOCKET_OPTION], intake: Intake
) -> "SocketStream":
    """A TCP connection, whose reads ``intake`` counts. Raises `httpcore.ConnectError`."""
    sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6)
    try:
        sock.setblocking(False)
        for option in options:
            sock.setsockopt(*option)
        await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
    except OSError as problem:
        sock.close()
        raise httpcore.ConnectError(str(problem)) from problem
    except BaseException:
        sock.close()
        raise
    return SocketStream(sock, intake)


class SocketStream(httpcore.AsyncNetworkStream):
    """A connected socket, which does not block, as httpcore uses one."""

    def __init__(self, sock: socket.socket, intake: Intake) -> None:
        self._sock = sock
        self._intake = intake
        self._loop = asyncio.get_running_loop()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """The next bytes; none at the end. Raises httpcore's errors, and `FetchFailed`."""
        size = min(max_bytes, self._intake.most_to_read())
        async with _failing_as(httpcore.ReadTimeout, httpcore.ReadError, timeout):
            data = await self._loop.sock_recv(self._sock, size)
        self._intake.received(len(data))
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send all of ``buffer``. Raises httpcore's errors for writes."""
        async with _failing_as(httpcore.WriteTimeout, httpcore.WriteError, timeout):
            await self._loop.sock_sendall(self._sock, buffer)

    async def aclose(self) -> None:
        """Close the connection."""
        self._sock.close()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        """The same connection under TLS. Raises httpcore's errors for connecting."""
        tls = TlsStream(self, ssl_context, server_hostname)
        try:
            async with _failing_as(httpcore.ConnectTimeout, httpcore.ConnectError, timeout):
                await tls.handshake()
        except BaseException:
            await self.aclose()
            raise
        return tls


class TlsStream(httpcore.AsyncNetworkStream):
    """TLS, as a client, over another stream."""

    def __init__(
        self, below: SocketStream, context: ssl.SSLContext, server_hostname: str | None
    ) -> None:
        self._below = below
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_hostname=server_hostname)

    async def handshake(self) -> None:
        """Agree on keys and check the certificate. Raises `ssl.SSLError`."""
        await self._do(self._tls.do_handshake)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """As `SocketStream.read`. Many servers end without a word: that is an end, too."""
        async with _failing_as(httpcore.ReadTimeout, httpcore.ReadError, timeout):
            try:
                return await self._do(lambda: self._tls.read(max_bytes))
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """As `SocketStream.write`."""
        async with _failing_as(httpcore.WriteTimeout, httpcore.WriteError, timeout):
            left = memoryview(buffer)
            while left:
                left = left[await self._do(lambda: self._tls.write(left)) :]  # noqa: B023

    async def aclose(self) -> None:
        """Close the connection."""
        await self._below.aclose()

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks: which protocol was agreed on."""
        return self._tls if info == "ssl_object" else None

    async def _do(self, step: Callable[[], T]) -> T:
        """Run ``step`` to its end, carrying what it has to send and what it waits for."""
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                await self._send()
                data = await self._below.read(_PIECE)
                if data:
                    self._received.write(data)
                else:
                    self._received.write_eof()
            else:
                await self._send()
                return done

    async def _send(self) -> None:
        if self._to_send.pending:
            await self._below.write(self._to_send.read())


@contextlib.asynccontextmanager
async def _failing_as(
    late: type[httpcore.TimeoutException],
    broken: type[httpcore.NetworkError],
    timeout: float | None,  # noqa: ASYNC109
) -> AsyncIterator[None]:
    """Failures of the system and of TLS (an `ssl.SSLError` is an `OSError`) as httpcore's."""
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError:
        raise late from None
    except OSError as problem:
        raise broken(str(problem)) from problem
