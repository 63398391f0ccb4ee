"""Serves a request: route, plugins, upstream, answer, in the order of Kong's runloop."""

import asyncio
import logging
import time
from collections.abc import Iterable
from functools import partial
from http import HTTPStatus

from devkong import proxy
from devkong.config.entities import Declared, Route, Service
from devkong.error_page import ErrorPages
from devkong.exchange import Exchange, ResponseExit
from devkong.forwarded import prepare
from devkong.http.headers import Headers, comma_list
from devkong.http.server import ClientConnection, InboundRequest
from devkong.http.wire import Aborted, BadMessage
from devkong.lua.runtime import PluginLeft
from devkong.plugins.chain import Bound, PluginChain
from devkong.proxy import Answer, ProxyFailed
from devkong.router import Router
from devkong.settings import Settings
from devkong.uri import is_refused_by_nginx

_log = logging.getLogger("devkong")

# nginx sets its own framing and hop-by-hop headers
_NOT_PASSED_ON = frozenset(
    b"connection keep-alive transfer-encoding trailer x-pad x-accel-expires "
    b"x-accel-redirect x-accel-limit-rate x-accel-buffering x-accel-charset".split()
)
_ONE_ONLY = frozenset(b"content-type date server last-modified location etag".split())
_WITHOUT_BODY = frozenset((204, 304))
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


class Gateway:
    """Serves requests by one kong.yml."""

    def __init__(self, settings: Settings, declared: Declared, chain: PluginChain) -> None:
        self._settings = settings
        self._chain = chain
        self._pages = ErrorPages(settings.error_template_json)
        self._router = Router(declared.routes)

    async def serve(self, connection: ClientConnection, request: InboundRequest) -> None:
        """Answer one request."""
        exchange = Exchange(request, connection, self._settings, self._pages)
        plugins = self._chain.everywhere
        try:
            self._refuse_as_nginx(exchange)
            route = self._find_route(exchange)
            plugins = self._chain.of(route)
            await _access(plugins, exchange)
            if route.service is None:
                raise self._error(exchange, 503, b"no Service found with those values")
            await self._proxy_on(exchange, connection, plugins, route, route.service)
        except ResponseExit:
            await _send_own(exchange, connection, plugins)
        except (Aborted, BadMessage) as error:
            if isinstance(error, BadMessage) and not connection.answered:
                self._error(exchange, error.status)
                await _send_own(exchange, connection, plugins)
            else:
                _log.info("cut off: %s", error)
                connection.cut_off()
        finally:
            exchange.body.close()

    async def refuse(self, connection: ClientConnection, status: int) -> None:
        """Answer bytes that are not a request."""
        request = InboundRequest(b"GET", b"/", 1, Headers(), False, None, "", 0, time.time())
        exchange = Exchange(request, connection, self._settings, self._pages)
        self._error(exchange, status)
        await _send_own(exchange, connection, self._chain.everywhere)

    def _refuse_as_nginx(self, exchange: Exchange) -> None:
        if is_refused_by_nginx(exchange.raw_path) or not exchange.target.startswith(b"/"):
            raise self._error(exchange, 400)
        limit, announced = self._settings.client_max_body_size, exchange.request.length
        if limit and announced is not None and announced > limit:
            raise self._error(exchange, 413)

    def _find_route(self, exchange: Exchange) -> Route:
        match = self._router.find(exchange.method, exchange.host, exchange.path)
        if match is None:
            raise self._error(exchange, 404, b"no Route matched with those values")
        prepare(exchange, match)
        return match.route

    async def _proxy_on(
        self,
        exchange: Exchange,
        connection: ClientConnection,
        plugins: tuple[Bound, ...],
        route: Route,
        service: Service,
    ) -> None:
        if exchange.upstream_scheme not in (b"http", b"https"):  # as in nginx's proxy_pass
            scheme = exchange.upstream_scheme.decode("utf-8", "replace")
            _log.error("invalid URL prefix in %r: upstream of %s", f"{scheme}://", route.name)
            raise self._error(exchange, 500)
        exchange.source = b"service"
        if connection.lost:
            raise Aborted("before the request was proxied")
        task = asyncio.current_task()
        if task:
            connection.on_lost = partial(_cancel, task)
        exchange.proxied_at = time.time()
        try:
            answer = await proxy.send(exchange, route, service)
        except ProxyFailed as error:
            _log.error("upstream of %s: %s", route.name or route.id, error)
            raise self._error(exchange, error.status) from error
        try:
            await _pass_back(exchange, connection, plugins, answer)
        finally:
            await answer.close()

    def _error(self, exchange: Exchange, status: int, message: bytes | None = None) -> ResponseExit:
        """Make the answer an error of nginx's or, with a message, of Kong's runloop."""
        headers = exchange.headers
        accept = headers.get(b"accept")
        if message is None:  # nginx's
            default = self._settings.error_default_type.encode()
            accept = accept or headers.get(b"content-type") or default
        content_type, body = self._pages.page(accept, status, message, exchange.id)
        return exchange.end(400 if status == 494 else status, content_type, body)


def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()


def _running(plugins: Iterable[Bound], phase: str, exchange: Exchange) -> Iterable[Bound]:
    """Yield the plugins that run in a phase, and set each as the current one."""
    for bound in plugins:
        for_consumer = bound.entry.consumer_id
        of_another = for_consumer and for_consumer.encode() != exchange.consumer_id
        if phase in bound.plugin.phases and not of_another:
            exchange.plugin_id = bound.entry.id
            yield bound


async def _access(plugins: tuple[Bound, ...], exchange: Exchange) -> None:
    """Run the access phase. Raises ResponseExit if a plugin answers, or fails (500)."""
    for plugin, entry in _running(plugins, "access", exchange):
        try:
            await plugin.access(exchange, entry)
        except PluginLeft:
            continue
        except (ResponseExit, Aborted, BadMessage):
            raise
        except Exception as error:
            _log.error("%s, access phase: %s", plugin.name, error)
            body = b'{"message":"An unexpected error occurred"}'
            raise exchange.end(500, b"application/json; charset=utf-8", body) from error


def _header_filter(plugins: tuple[Bound, ...], exchange: Exchange) -> None:
    for plugin, entry in _running(plugins, "header_filter", exchange):
        try:
            plugin.header_filter(exchange, entry)
        except Exception as error:
            _log.error("%s, header_filter phase: %s", plugin.name, error)


def _body_filter(plugins: tuple[Bound, ...], exchange: Exchange, piece: bytes, last: bool) -> bytes:
    for plugin, entry in _running(plugins, "body_filter", exchange):
        piece = plugin.body_filter(exchange, entry, piece, last)
    return piece


async def _pass_back(
    exchange: Exchange,
    connection: ClientConnection,
    plugins: tuple[Bound, ...],
    answer: Answer,
) -> None:
    """Send the upstream's answer as it arrives."""
    exchange.status, exchange.reason = answer.status, answer.reason
    _take_headers(exchange, answer.headers)
    _header_filter(plugins, exchange)
    _add_kongs_headers(exchange)
    has_body = exchange.method != b"HEAD" and exchange.status not in _WITHOUT_BODY
    # a plugin whose body filter changes the length has removed this header
    announced = exchange.answer.get(b"content-length")
    exchange.answer.remove(b"content-length")
    length = int(announced) if announced and announced.isdigit() else None
    if exchange.status in _WITHOUT_BODY:
        length = None
    await connection.send_head(exchange.status, exchange.reason, exchange.answer, length)
    ended = False
    while not ended:
        piece = await answer.body()
        ended = not piece
        piece = _body_filter(plugins, exchange, piece, ended)
        if piece and has_body:
            await connection.send_chunk(piece)
    connection.end_body()


async def _send_own(
    exchange: Exchange, connection: ClientConnection, plugins: tuple[Bound, ...]
) -> None:
    """Send an answer that the gateway has made."""
    _header_filter(plugins, exchange)
    _add_kongs_headers(exchange)
    for framing in (b"content-length", b"connection", b"transfer-encoding"):
        exchange.answer.remove(framing)
    body = _body_filter(plugins, exchange, exchange.own_body, True)
    has_body = exchange.method != b"HEAD" and exchange.status not in _WITHOUT_BODY
    reason = _REASONS.get(exchange.status, b"")
    await connection.send_head(exchange.status, reason, exchange.answer, len(body))
    if body and has_body:
        await connection.send_chunk(body)
    connection.end_body()


def _take_headers(exchange: Exchange, headers: Headers) -> None:
    """Copy the upstream's headers, except those that concern only it and nginx."""
    dropped = _NOT_PASSED_ON
    connection = headers.get(b"connection")
    if connection and connection.lower() not in (b"keep-alive", b"close", b"upgrade"):
        dropped = dropped | set(comma_list(connection))
    for lower, name, value in headers:
        if lower in _ONE_ONLY:
            exchange.answer.remove(name)
        if lower not in dropped:
            exchange.answer.add(name, value)


def _add_kongs_headers(exchange: Exchange) -> None:
    """Add the headers that Kong adds with KONG_HEADERS=latency_tokens,X-Kong-Request-Id."""
    now, began, proxied = time.time(), exchange.request.started, exchange.proxied_at
    spans = {b"Response": now - began}
    if proxied:
        spans = {b"Upstream": now - proxied, b"Proxy": proxied - began}
    for name, seconds in spans.items():
        exchange.answer.set(b"X-Kong-%s-Latency" % name, [b"%d" % (seconds * 1000)])
    exchange.answer.set(b"X-Kong-Request-Id", [exchange.id.encode()])
