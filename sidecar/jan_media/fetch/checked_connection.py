"""TCP connections that only go to addresses which have been checked, and do not read ahead.

The check is where the connection is made: a name is looked up once, every address that it has is
checked against the policy, and the connection goes to one of exactly these addresses. There is no
second lookup that could answer differently. TLS is anyio's, and verifies the name in the URL.

Event loops usually read ahead: uvloop reads up to 32 times 256 KB at once. Here each read is one
``recv`` of a limited size. Unread data stays in the system's buffers, and when these are full, the
sender has to wait.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from jan_media.errors import Refused
from jan_media.fetch.addresses import Address, parse_address
from jan_media.fetch.policy import FetchPolicy
from jan_media.fetch.url import RemoteUrl

_SECONDS = 5.0  # for lookup and connection together, and for the TLS handshake
_MOST_ADDRESSES = 64
_MOST_ATTEMPTS = 4
_MOST_AROUND = 48 * 1024  # bytes: a head and a TLS handshake of any usual size
_CONTENT_FOR_ONE_AROUND = 4  # chunks of a few dozen bytes and more are fine
_FIRST_READ = 4 * 1024

# A lookup cannot be cancelled. Lookups have their own threads, so that those which hang at a dead
# name server do not use up the threads of storage and catalog.
_lookups = ThreadPoolExecutor(max_workers=16, thread_name_prefix="resolver")


@contextlib.asynccontextmanager
async def connected(
    url: RemoteUrl, policy: FetchPolicy, tls: ssl.SSLContext
) -> AsyncIterator[tuple[ByteStream, "CountedSocket"]]:
    """A connection for ``url`` to an address that the policy admits, with TLS for https; and the
    socket below it.

    Raises `Refused`.
    """
    async with failing(url.host, _SECONDS):
        addresses = await _admitted_addresses(url.host, url.port, policy)
        plain = await _connect(addresses[:_MOST_ATTEMPTS], url.port)
    async with plain:
        if url.scheme == "http":
            yield plain, plain
            return
        async with failing(url.host, _SECONDS):
            # Many servers close without TLS's close_notify; standard_compatible=False accepts it.
            stream = await TLSStream.wrap(
                plain, hostname=url.host, ssl_context=tls, standard_compatible=False
            )
        yield stream, plain


async def _admitted_addresses(host: str, port: int, policy: FetchPolicy) -> list[Address]:
    policy.check_host(host)
    try:
        found = await addresses_of(host)
        addresses = [parse_address(text) for text in dict.fromkeys(found)]
    except (OSError, UnicodeError):
        raise Refused("remote_fetch_failed", f"The host {host} could not be found.") from None
    except ValueError:
        why = f"The host {host} does not lead to a public address."
        raise Refused("url_not_allowed", why) from None
    if not addresses or len(addresses) > _MOST_ADDRESSES:
        raise Refused("remote_fetch_failed", f"The host {host} could not be found.")
    for address in addresses:
        policy.check_address(host, port, address)
    return addresses


async def addresses_of(host: str) -> Sequence[str]:
    """Ask the operating system for the addresses of a name or address. Raises `OSError`."""
    found = await asyncio.get_running_loop().run_in_executor(
        _lookups, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    )
    return [str(address[0]) for *_, address in found]


async def _connect(addresses: list[Address], port: int) -> "CountedSocket":
    """Connect to the first address that answers. Raises the last one's `OSError` if none does."""
    failure = OSError("there is no address")
    for address in addresses:
        try:
            with contextlib.ExitStack() as unless_connected:
                sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6)
                unless_connected.enter_context(sock)
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
                unless_connected.pop_all()
                return CountedSocket(sock)
        except OSError as error:
            failure = error
    raise failure


class CountedSocket(ByteStream):
    """A connected, non-blocking socket as an anyio stream. It counts the bytes that come, and those
    that are content.

    Heads, interim responses, chunk sizes and TLS records are parsed in Python, which costs a
    thousand times as much as content of the same length. Without a limit, a server that sends
    chunks of one byte, or one ``100 Continue`` after another, would keep a worker busy.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._received = 0
        self.content = 0  # counted by the code that parses it

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """The next bytes. Reads are small until content has come, since each read is parsed
        without a pause.

        Raises `anyio.EndOfStream`, `OSError`, and `Refused` if too little of what came is content.
        """
        around = self._received - self.content
        if around > _MOST_AROUND + self.content // _CONTENT_FOR_ONE_AROUND:
            raise Refused("remote_fetch_failed", "The server sent too much that is not content.")
        size = min(max_bytes, _FIRST_READ + self.content)
        data = await self._loop.sock_recv(self._sock, size)
        if not data:
            raise anyio.EndOfStream
        self._received += len(data)
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


@contextlib.asynccontextmanager
async def failing(host: str, seconds: float) -> AsyncIterator[None]:
    """Raise `Refused` for failures of the system and of TLS (`ssl.SSLError` is an `OSError`)."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        why = f"The server at {host} did not answer in time."
        raise Refused("remote_fetch_timeout", why) from None
    except (OSError, anyio.BrokenResourceError, anyio.EndOfStream):
        raise broke_off(host) from None


def broke_off(host: str) -> Refused:
    """The failure of a connection, or of its protocol."""
    why = f"The server at {host} could not be reached or broke off."
    return Refused("remote_fetch_failed", why)
