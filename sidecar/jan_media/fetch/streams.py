"""Connections that do not read ahead.

An event loop reads from a socket before anybody asks: uvloop takes up to 32 times 256 KB at once.
Here each read is one ``recv`` of a limited size. What nobody has read yet stays in the system's
buffers, and when these are full, the sender has to wait.
"""

import asyncio
import socket
from dataclasses import dataclass

import anyio
from anyio.abc import ByteStream

from jan_media.fetch.addresses import Address
from jan_media.fetch.errors import FetchFailed

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
