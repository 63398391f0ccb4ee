"""Connections that do not read ahead.

An event loop reads from a socket before anybody asks: uvloop takes up to 32 times 256 KB at once.
Here each read is one ``recv`` of a limited size. What nobody has read yet stays in the system's
buffers, and when these are full, the sender has to wait. TLS is anyio's, over such a socket.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio
import httpcore
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from jan_media.fetch.addresses import Address
from jan_media.fetch.errors import FetchFailed, FetchTimeout, broke_off
from jan_media.fetch.lenient_head import LenientHeads

_MOST_AROUND = 48 * 1024  # a head and a TLS handshake of any usual size
_CONTENT_FOR_ONE_AROUND = 4  # chunks of a few dozen bytes and more are fine
_FIRST_READ = 4 * 1024


@dataclass(slots=True)
class Intake:
    """Counts the bytes that come over one request's connection, and those that are content.

    Heads, interim answers, chunk sizes and TLS records are parsed in Python, which costs a thousand
    times as much as content of the same length. Without a limit, a server that sends chunks of one
    byte, or one ``100 Continue`` after another, would keep a worker busy.
    """

    received: int = 0
    content: int = 0

    def most_to_read(self) -> int:
        """How many bytes the next read may take.

        They are few until content has come, because whatever one read brings is parsed without a
        pause. Raises `FetchFailed` if too little of what came is content.
        """
        around = self.received - self.content
        if around > _MOST_AROUND + self.content // _CONTENT_FOR_ONE_AROUND:
            raise FetchFailed("The server sent too much that is not content.")
        return _FIRST_READ + self.content


async def connect(address: Address, port: int, intake: Intake) -> "CountedSocket":
    """A TCP connection, whose reads ``intake`` counts. Raises `OSError`."""
    sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
    except BaseException:
        sock.close()
        raise
    return CountedSocket(sock, intake)


class CountedSocket(ByteStream):
    """A connected socket, which does not block, as anyio uses one."""

    def __init__(self, sock: socket.socket, intake: Intake) -> None:
        self._sock = sock
        self._intake = intake
        self._loop = asyncio.get_running_loop()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """The next bytes. Raises `anyio.EndOfStream`, `OSError` and `FetchFailed`."""
        size = min(max_bytes, self._intake.most_to_read())
        data = await self._loop.sock_recv(self._sock, size)
        if not data:
            raise anyio.EndOfStream
        self._intake.received += len(data)
        return data

    async def send(self, item: bytes) -> None:
        """Send all of ``item``. Raises `OSError`."""
        await self._loop.sock_sendall(self._sock, item)

    async def send_eof(self) -> None:
        """Say that nothing more will be sent."""
        self._sock.shutdown(socket.SHUT_WR)

    async def aclose(self) -> None:
        """Close the connection."""
        self._sock.close()


class Connection(httpcore.AsyncNetworkStream):
    """A stream as httpcore uses one. The heads of responses are corrected on their way."""

    def __init__(self, below: ByteStream, host: str) -> None:
        """``host`` is the name for errors: `FetchTimeout` and `FetchFailed` in all methods."""
        self._below = below
        self._host = host
        self._heads = LenientHeads()
        self._ready = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """The next bytes; none at the end."""
        while not self._ready:
            data = b""
            async with failing(self._host, timeout):
                with contextlib.suppress(anyio.EndOfStream):
                    data = await self._below.receive(max_bytes)
            self._ready = self._heads.corrected(data)
            if not data:
                break
        taken, self._ready = self._ready[:max_bytes], self._ready[max_bytes:]
        return taken

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send all of ``buffer``."""
        async with failing(self._host, timeout):
            await self._below.send(buffer)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._below.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        """The same connection under TLS."""
        try:
            async with failing(self._host, timeout):
                # Many servers end without a word: not compatible to the standard means that.
                tls = await TLSStream.wrap(
                    self._below,
                    hostname=server_hostname,
                    ssl_context=ssl_context,
                    standard_compatible=False,
                )
        except BaseException:
            await self.aclose()
            raise
        return Connection(tls, self._host)


@contextlib.asynccontextmanager
async def failing(host: str, seconds: float | None) -> AsyncIterator[None]:
    """Failures of the system and of TLS (an `ssl.SSLError` is an `OSError`) as those of a fetch."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise FetchTimeout(f"The server at {host} did not answer in time.") from None
    except (OSError, anyio.BrokenResourceError, anyio.EndOfStream):
        raise broke_off(host) from None
