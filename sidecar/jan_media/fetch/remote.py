"""Fetches remote URLs for untrusted callers.

It is built on h11, the lowest layer of httpx, which has no cookies, proxies, redirects or
decoding. So no environment variable has an effect, and a request carries few headers.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import certifi
import h11

from jan_media.errors import ContentTooLarge, Refused
from jan_media.fetch.checked_connection import CountedSocket, broke_off, connected
from jan_media.fetch.decoding import Decoder
from jan_media.fetch.exchange import Exchange
from jan_media.fetch.policy import FetchPolicy
from jan_media.fetch.url import RemoteUrl, parse_url

Sink = Callable[[bytes], Awaitable[None]]

MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
# Success codes, except those without the content, or with only a part: RFC 9110, section 15.3.
_WITH_CONTENT = {*range(200, 300)} - {202, 204, 205, 206}
_PIECE = 64 * 1024
# Compressed content may be larger than what it decodes to, but by no more than this.
_COMPRESSION_OVERHEAD = 64 * 1024


class RemoteFetcher:
    """Fetches URLs within a policy, a time limit and a size limit. Tasks may share it."""

    def __init__(self, policy: FetchPolicy, *, timeout: float, max_bytes: int) -> None:
        """``timeout`` is for a whole fetch, redirects included, in seconds; ``max_bytes`` limits
        the decoded content."""
        self._policy = policy
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._tls = ssl.create_default_context(cafile=certifi.where())
        self._tls.set_alpn_protocols(["http/1.1"])

    async def fetch(self, url: str, sink: Sink) -> None:
        """Give the decoded content to ``sink`` as it comes, in pieces of 64 to 128 KiB.

        Raises `Refused` (``invalid_url``, ``url_not_allowed``, ``remote_fetch_failed``,
        ``remote_fetch_timeout``), `ContentTooLarge`, and whatever ``sink`` raises. After an error,
        discard what ``sink`` was given.
        """
        target = parse_url(url)
        timeout = asyncio.timeout(self._timeout)
        try:
            async with timeout:
                await self._follow(target, sink)
        except TimeoutError:
            if not timeout.expired():
                raise
            why = f"Fetching from {target.host} took longer than {self._timeout:g} seconds."
            raise Refused("remote_fetch_timeout", why) from None

    async def _follow(self, url: RemoteUrl, sink: Sink) -> None:
        for _ in range(MAX_REDIRECTS + 1):
            location = await self._get(url, sink)
            if location is None:
                return
            if not location:
                why = f"The server at {url.host} redirects without saying where."
                raise Refused("remote_fetch_failed", why)
            try:
                url = url.join(location)
            except Refused as error:
                # The caller's URL is valid. The server's redirect is not.
                why = f"A redirect was refused. {error.message}"
                raise Refused("url_not_allowed", why) from None
        raise Refused("remote_fetch_failed", f"The URL redirects more than {MAX_REDIRECTS} times.")

    async def _get(self, url: RemoteUrl, sink: Sink) -> str | None:
        """Send one request: pass its content to ``sink``, or return where it redirects to."""
        # Connections are not reused: each goes to an address that was just checked.
        async with connected(url, self._policy, self._tls) as (connection, counted):
            exchange = Exchange(connection, url)
            try:
                response = await exchange.ask()
                if response.status_code in _REDIRECTS:
                    return _header(response, b"location")
                if response.status_code not in _WITH_CONTENT:
                    why = f"The server at {url.host} answered {response.status_code}."
                    raise Refused("remote_fetch_failed", why)
                await self._hand_on(exchange, response, sink, counted)
                return None
            except h11.ProtocolError:
                raise broke_off(url.host) from None

    async def _hand_on(
        self, exchange: Exchange, response: h11.Response, sink: Sink, counted: CountedSocket
    ) -> None:
        decoder = Decoder(_header(response, b"content-encoding"))
        length = _header(response, b"content-length")
        if decoder.as_it_is and length.isdecimal() and int(length) > self._max_bytes:
            raise ContentTooLarge(self._max_bytes)
        taken = 0
        held = bytearray()  # joins small reads, since each call of ``sink`` may need a thread
        async for data in exchange.content():
            counted.content += len(data)
            if counted.content > self._max_bytes + _COMPRESSION_OVERHEAD:
                raise ContentTooLarge(self._max_bytes)
            for piece in decoder.feed(data):
                taken += len(piece)
                if taken > self._max_bytes:
                    raise ContentTooLarge(self._max_bytes)
                held += piece
                if len(held) >= _PIECE:
                    await sink(bytes(held))
                    held.clear()
        decoder.close()
        if held:
            await sink(bytes(held))


def _header(response: h11.Response, name: bytes) -> str:
    """The first value of a header, "" if there is none; invalid UTF-8 becomes surrogates."""
    values = [value for key, value in response.headers if key == name]
    return values[0].strip().decode("utf-8", "surrogateescape") if values else ""
