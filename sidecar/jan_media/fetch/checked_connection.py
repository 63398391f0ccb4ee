"""TCP connections that only ever go to an address which has been checked.

This is httpcore's seam for the network, so the check sits where the connection is made: a name is
looked up once, every address it stands for is held against the policy, and the connection goes to
one of those very addresses. There is no second lookup that could answer differently. TLS is set
up above, against the name in the URL.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpcore

from jan_media.fetch.addresses import Address, parse_address
from jan_media.fetch.errors import FetchFailed, UrlNotAllowed
from jan_media.fetch.policy import FetchPolicy
from jan_media.fetch.streams import Connection, CountedSocket, Intake, connect, failing

Resolver = Callable[[str], Awaitable[Sequence[str]]]
"""Looks up a host name or address; returns addresses as text. Raises `OSError`."""

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


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects as httpcore does, to what the policy admits. ``intake`` counts what comes."""

    def __init__(self, policy: FetchPolicy, resolver: Resolver, intake: Intake) -> None:
        self._policy = policy
        self._resolver = resolver
        self._intake = intake

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore's interface)
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises `UrlNotAllowed`, `FetchFailed` and `FetchTimeout`."""
        async with failing(host, timeout):
            addresses = await self._admitted_addresses(host, port)
            return Connection(await self._connect(addresses[:_MOST_ATTEMPTS], port), host)

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

    async def _connect(self, addresses: list[Address], port: int) -> CountedSocket:
        for address in addresses[:-1]:
            with contextlib.suppress(OSError):
                return await connect(address, port, self._intake)
        return await connect(addresses[-1], port, self._intake)
