"""Sends the request to the upstream, with nginx's rules for retries.

Each request has its own connection to the upstream. An answer is passed on as soon as it arrives,
even before the whole request has been sent; httpx cannot do that.
"""

import asyncio
import contextlib
import ssl
from typing import Any, NamedTuple

import h11

from devkong.config.entities import Route, Service
from devkong.exchange import Exchange
from devkong.forwarded import request_head
from devkong.http.headers import Headers
from devkong.http.wire import Aborted, BadMessage, Wire

_NOT_IDEMPOTENT = frozenset((b"POST", b"LOCK", b"PATCH"))
_LARGEST_RESPONSE_HEAD = 128 * 1024


class ProxyFailed(Exception):
    """No answer. status: 502, or 504 if the upstream was too slow."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Answer(NamedTuple):
    """An answer whose head has arrived, and the connection on which its body follows."""

    status: int
    reason: bytes
    headers: Headers
    wire: Wire
    upload: "asyncio.Task[None]"
    read_timeout: float

    async def body(self) -> bytes:
        """Return the next part of the body, b"" at its end. Raises Aborted."""
        try:
            return await self.wire.body(self.read_timeout)
        except (BadMessage, TimeoutError) as error:
            raise Aborted(f"the upstream's answer: {error}") from error

    async def close(self) -> None:
        """Close the connection, even if the upstream has not read the whole request."""
        self.wire.close()
        await _end(self.upload)


async def send(exchange: Exchange, route: Route, service: Service) -> Answer:
    """Send the request and wait for the answer's head. Raises ProxyFailed, Aborted, BadMessage."""
    streams = not route.request_buffering and not exchange.body.is_read
    if not streams:
        await exchange.body.read_whole()
    chunked = streams and exchange.body.announced is None
    head = request_head(exchange, None if chunked else exchange.body.length, chunked)
    tries_left = service.retries
    while True:
        sent = False
        try:
            wire = await _connect(exchange, service)
            sent = True
            return await _ask(exchange, service, wire, head)
        except ProxyFailed:
            if tries_left == 0 or (sent and (streams or exchange.method in _NOT_IDEMPOTENT)):
                raise
            tries_left -= 1


async def _connect(exchange: Exchange, service: Service) -> Wire:
    tls = server_name = None
    if service.protocol == "https":
        tls = ssl.create_default_context()
        if not service.tls_verify:  # Kong verifies upstreams only if configured
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        server_name = exchange.upstream_host.partition(b":")[0].decode("latin-1")
    try:
        async with asyncio.timeout(service.connect_timeout / 1000):
            streams = await asyncio.open_connection(
                service.host, service.port, ssl=tls, server_hostname=server_name
            )
    except TimeoutError as error:
        raise ProxyFailed(504, "does not accept the connection") from error
    except OSError as error:
        raise ProxyFailed(502, str(error)) from error
    return Wire(h11.CLIENT, *streams, _LARGEST_RESPONSE_HEAD)


async def _ask(exchange: Exchange, service: Service, wire: Wire, head: h11.Request) -> Answer:
    read_timeout = service.read_timeout / 1000
    upload = asyncio.create_task(_upload(exchange, service, wire, head))
    receive = asyncio.create_task(_response(wire))
    try:
        first: set[asyncio.Task[Any]] = {upload, receive}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if not receive.done():
            upload.result()  # its failure ends the attempt
        async with asyncio.timeout(read_timeout):
            response = await receive
    except BaseException as error:
        wire.close()
        await _end(upload)
        await _end(receive)
        if isinstance(error, TimeoutError):
            raise ProxyFailed(504, "does not answer") from error
        raise
    lines = response.headers.raw_items()
    headers = Headers(lines)
    return Answer(response.status_code, bytes(response.reason), headers, wire, upload, read_timeout)


async def _upload(exchange: Exchange, service: Service, wire: Wire, head: h11.Request) -> None:
    try:
        wire.send(head)
        async for piece in exchange.body.pieces():
            wire.send(h11.Data(data=piece))
            async with asyncio.timeout(service.write_timeout / 1000):
                await wire.writer.drain()
        wire.send(h11.EndOfMessage())
    except TimeoutError as error:
        raise ProxyFailed(504, "does not read the request") from error
    except (h11.LocalProtocolError, ConnectionError) as error:
        raise ProxyFailed(502, f"while the request was being sent: {error}") from error


async def _response(wire: Wire) -> h11.Response:
    try:
        while not isinstance(event := await wire.receive(), h11.Response):
            if isinstance(event, h11.ConnectionClosed):
                raise ProxyFailed(502, "closed before it answered")
    except (BadMessage, Aborted) as error:
        raise ProxyFailed(502, str(error)) from error
    return event


async def _end(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, ProxyFailed, Aborted, BadMessage):
        await task
