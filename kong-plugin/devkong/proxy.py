"""Proxying: the request to the upstream, with nginx's rules for trying again."""

import asyncio
import contextlib
import ssl
from typing import Any, NamedTuple

from devkong.config.entities import Route, Service
from devkong.exchange import Exchange
from devkong.forwarded import request_head
from devkong.http.head import ResponseHead
from devkong.http.stream import Aborted
from devkong.http.upstream import (
    Target,
    UpstreamConnection,
    UpstreamFailed,
    UpstreamPool,
    UpstreamTimeout,
)

_NOT_IDEMPOTENT = frozenset((b"POST", b"LOCK", b"PATCH"))
_SENT_WITH_HEAD = 64 * 1024


class ProxyFailed(Exception):
    """No answer. status: 502, or 504 when the upstream was too slow."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Answer(NamedTuple):
    """An answer whose head is here, and the connection on which its body arrives."""

    head: ResponseHead
    connection: UpstreamConnection
    target: Target
    upload: "asyncio.Task[None] | None"
    read_timeout: float


class Proxy:
    """Sends requests on, and keeps connections to upstreams."""

    def __init__(self) -> None:
        self._pool = UpstreamPool()
        self._tls: dict[bool, ssl.SSLContext] = {}

    async def send(self, exchange: Exchange, route: Route, service: Service) -> Answer:
        """Send the request and wait for the answer's head. Raises ProxyFailed, Aborted."""
        streams = not route.request_buffering and not exchange.body.is_read
        if not streams:
            await exchange.body.read_whole()
        chunked = streams and exchange.body.announced is None
        head = request_head(exchange, None if chunked else exchange.body.length, chunked)
        target = self._target(exchange, service)
        tries_left = service.retries
        while True:
            attempt = _Attempt(exchange, service, target, head, chunked, self._pool)
            try:
                return await attempt.run()
            except UpstreamFailed as error:
                failed = ProxyFailed(504 if isinstance(error, UpstreamTimeout) else 502, str(error))
                if attempt.reused and failed.status == 502:
                    tries_left += 1
                if (
                    tries_left == 0
                    or (attempt.sent and exchange.method in _NOT_IDEMPOTENT)
                    or (attempt.sent and streams)
                ):
                    raise failed from error
                tries_left -= 1

    async def finish(self, answer: Answer) -> None:
        """Give the connection back, or close it if it cannot be used again."""
        if answer.upload and not answer.upload.done():
            # the upstream has answered without reading all of the request
            answer.upload.cancel()
            answer.connection.close()
            with contextlib.suppress(asyncio.CancelledError, UpstreamFailed, Aborted):
                await answer.upload
            return
        if answer.upload:
            # its outcome no longer matters, but it must be looked at
            answer.upload.exception()
        self._pool.release(answer.target, answer.connection)

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()

    def _target(self, exchange: Exchange, service: Service) -> Target:
        host, port = exchange.upstream_address
        if exchange.upstream_scheme != b"https":
            return Target(host, port)
        name = exchange.upstream_host.partition(b":")[0].decode("latin-1") or host
        return Target(host, port, self._context(service.tls_verify), name)

    def _context(self, verify: bool) -> ssl.SSLContext:
        if verify not in self._tls:
            context = ssl.create_default_context()
            if not verify:
                # Kong does not verify upstreams unless tls_verify says so
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._tls[verify] = context
        return self._tls[verify]


class _Attempt:
    def __init__(
        self,
        exchange: Exchange,
        service: Service,
        target: Target,
        head: bytes,
        chunked: bool,
        pool: UpstreamPool,
    ) -> None:
        self._exchange = exchange
        self._service = service
        self._target = target
        self._head = head
        self._chunked = chunked
        self._pool = pool
        self.sent = False
        self.reused = False

    async def run(self) -> Answer:
        service = self._service
        connection = await self._pool.acquire(self._target, service.connect_timeout / 1000)
        self.reused = connection.used_before
        upload: asyncio.Task[None] | None = None
        try:
            self.sent = True
            upload, waiting = self._begin(connection)
            if upload:
                first: set[asyncio.Future[Any]] = {upload, waiting}
                await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
                if upload.done() and not waiting.done():
                    # a failure of the upload ends the attempt
                    upload.result()
            read_timeout = service.read_timeout / 1000
            head = await _within(waiting, read_timeout)
        except BaseException:
            if upload:
                upload.cancel()
                with contextlib.suppress(asyncio.CancelledError, UpstreamFailed, Aborted):
                    await upload
            connection.close()
            raise
        return Answer(head, connection, self._target, upload, read_timeout)

    def _begin(
        self, connection: UpstreamConnection
    ) -> tuple["asyncio.Task[None] | None", "asyncio.Future[ResponseHead]"]:
        body, method = self._exchange.body, self._exchange.method
        if body.in_memory and (body.length or 0) <= _SENT_WITH_HEAD:
            return None, connection.send_head(method, self._head + body.whole())
        waiting = connection.send_head(method, self._head)
        return asyncio.get_running_loop().create_task(self._upload(connection)), waiting

    async def _upload(self, connection: UpstreamConnection) -> None:
        write_timeout = self._service.write_timeout / 1000
        async for piece in self._exchange.body.pieces():
            if self._chunked:
                piece = b"%x\r\n%s\r\n" % (len(piece), piece)
            await connection.send(piece, write_timeout)
        if self._chunked:
            await connection.send(b"0\r\n\r\n", write_timeout)


async def _within(waiting: "asyncio.Future[ResponseHead]", seconds: float) -> ResponseHead:
    if waiting.done():
        return waiting.result()
    timer = asyncio.get_running_loop().call_later(seconds, _time_out, waiting)
    try:
        return await waiting
    finally:
        timer.cancel()


def _time_out(waiting: "asyncio.Future[ResponseHead]") -> None:
    if not waiting.done():
        waiting.set_exception(UpstreamTimeout("does not answer"))
