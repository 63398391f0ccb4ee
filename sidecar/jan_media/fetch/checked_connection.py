"""TCP connections that only ever go to an address which has been checked.

The check sits where the connection is made: a name is looked up once, every address it stands for
is held against the policy, and the connection goes to one of those very addresses. There is no
second lookup that could answer differently. TLS is anyio's, against the name in the URL.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from jan_media.fetch.addresses import Address, parse_address
from jan_media.fetch.errors import FetchFailed, UrlNotAllowed, failing
from jan_media.fetch.policy import FetchPolicy
from jan_media.fetch.streams import CountedSocket, Intake, connect
from jan_media.fetch.url import RemoteUrl

Resolver = Callable[[str], Awaitable[Sequence[str]]]
"""Looks up a host name or address; returns addresses as text. Raises `OSError`."""

_SECONDS = 5.0  # for lookup and connection, and for the handshake of TLS
_MOST_ADDRESSES = 64
_MOST_ATTEMPTS = 4

# A lookup cannot be cancelled. Threads of its own keep a dead name server from taking those that
# storage and catalog work on.
_lookups = ThreadPoolExecutor(max_workers=16, thread_name_prefix="resolver")


async def system_resolver(host: str) -> Sequence[str]:
    """Ask the operating system."""
    found = await asyncio.get_running_loop().run_in_executor(
        _lookups, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    )
    return [str(address[0]) for *_, address in found]


class CheckedNetwork:
    """Connects to what the policy admits."""

    def __init__(self, policy: FetchPolicy, resolver: Resolver, tls: ssl.SSLContext) -> None:
        self._policy = policy
        self._resolver = resolver
        self._tls = tls
        self._tls.set_alpn_protocols(["http/1.1"])

    async def connect(self, url: RemoteUrl, intake: Intake) -> ByteStream:
        """A connection for ``url``, under TLS if it says https. ``intake`` counts what comes.

        Raises `UrlNotAllowed`, `FetchFailed` and `FetchTimeout`.
        """
        async with failing(url.host, _SECONDS):
            addresses = await self._admitted_addresses(url.host, url.port)
            plain = await _connect(addresses[:_MOST_ATTEMPTS], url.port, intake)
        if url.scheme == "http":
            return plain
        try:
            async with failing(url.host, _SECONDS):
                # Many servers end without a word: not compatible to the standard means that.
                return await TLSStream.wrap(
                    plain, hostname=url.host, ssl_context=self._tls, standard_compatible=False
                )
        except BaseException:
            await plain.aclose()
            raise

    async def _admitted_addresses(self, host: str, port: int) -> list[Address]:
        self._policy.check_host(host)
        try:
            found = await self._resolver(host)
            addresses = [parse_address(text) for text in dict.fromkeys(found)]
        except (OSError, UnicodeError):
            raise FetchFailed(f"The host {host} could not be found.") from None
        except ValueError:
            raise UrlNotAllowed(f"The host {host} does not lead to a public address.") from None
        if not addresses or len(addresses) > _MOST_ADDRESSES:
            raise FetchFailed(f"The host {host} could not be found.")
        for address in addresses:
            self._policy.check_address(host, port, address)
        return addresses


async def _connect(addresses: list[Address], port: int, intake: Intake) -> CountedSocket:
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            return await connect(address, port, intake)
    return await connect(addresses[-1], port, intake)
