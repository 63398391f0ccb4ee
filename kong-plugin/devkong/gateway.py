"""A request's way: route, plugins, upstream, answer. The order of things is Kong's runloop's."""

import asyncio
import inspect
import logging
import time
from collections.abc import Iterable
from functools import partial
from http import HTTPStatus

from devkong import proxy
from devkong.config.entities import Declared, Route
from devkong.error_page import ErrorPages, json_message, message_of
from devkong.exchange import Exchange
from devkong.forwarded import SERVER, prepare
from devkong.http.headers import Headers, comma_list
from devkong.http.server import ClientConnection, InboundRequest
from devkong.http.wire import Aborted, BadMessage
from devkong.pdk import response
from devkong.pdk.errors import PluginLeft, ResponseExit
from devkong.plugins.bound import Bound
from devkong.plugins.chain import PluginChain
from devkong.proxy import Answer, ProxyFailed
from devkong.router.match import Router
from devkong.router.uri import is_refused_by_nginx, normalize
from devkong.settings import Settings

_log = logging.getLogger("devkong")

# an upstream's framing and hop-by-hop headers are nginx's own business
_NOT_PASSED_ON = frozenset(
    b"connection keep-alive transfer-encoding x-pad x-accel-expires "
    b"x-accel-redirect x-accel-limit-rate x-accel-buffering x-accel-charset".split()
)
_ONE_ONLY = frozenset(b"content-type date server last-modified location etag".split())
_WITHOUT_BODY = frozenset((204, 304))


class Gateway:
    """Serves requests by one kong.yml."""

    def __init__(self, settings: Settings, declared: Declared, chain: PluginChain) -> None:
        self._settings = settings
        self._chain = chain
        self._pages = ErrorPages(settings.error_templates)
        self._router = Router(
            route for route in declared.routes if not route.service or route.service.enabled
        )
        self._log_tasks: set[asyncio.Task[None]] = set()

    async def serve(self, connection: ClientConnection, request: InboundRequest) -> None:
        """Answer one request."""
        exchange = Exchange(request, connection, self._settings, self._pages)
        plugins = self._chain.everywhere
        try:
            self._refuse_as_nginx(exchange)
            await _run(plugins, "rewrite", exchange)
            route = self._find_route(exchange)
            plugins = self._chain.of(route)
            await _run(plugins, "access", exchange)
            if route.service is None:
                response.error(exchange, 503, b"no Service found with those values")
            await self._proxy_on(exchange, connection, plugins, route)
        except ResponseExit as leave:
            await self._send_own(exchange, connection, plugins, leave)
        except (Aborted, BadMessage) as error:
            if isinstance(error, BadMessage) and not connection.answered:
                refusal = self._error_handler(exchange, error.status)
                await self._send_own(exchange, connection, plugins, refusal)
            else:
                _log.info("cut off: %s", error)
                connection.cut_off()
        finally:
            exchange.body.close()
            self._start_log_phase(exchange, plugins)

    async def refuse(self, connection: ClientConnection, status: int) -> None:
        """Answer bytes that are no request."""
        request = InboundRequest(b"GET", b"/", 1, Headers(), False, None, "", 0, "", 0, time.time())
        exchange = Exchange(request, connection, self._settings, self._pages)
        refusal = self._error_handler(exchange, status)
        await self._send_own(exchange, connection, self._chain.everywhere, refusal)

    async def close(self) -> None:
        """Finish log phases."""
        if self._log_tasks:
            await asyncio.wait(self._log_tasks, timeout=1)

    def _refuse_as_nginx(self, exchange: Exchange) -> None:
        if is_refused_by_nginx(exchange.raw_path) or not exchange.target.startswith(b"/"):
            raise self._error_handler(exchange, 400)
        limit, announced = self._settings.client_max_body_size, exchange.request.length
        if limit and announced is not None and announced > limit:
            raise self._error_handler(exchange, 413)

    def _find_route(self, exchange: Exchange) -> Route:
        path = normalize(exchange.raw_path)
        host = exchange.headers.get(b"host") or b""
        match = self._router.find(
            exchange.method, host, exchange.request.server_port, path, exchange.headers
        )
        if match is None:
            response.error(exchange, 404, b"no Route matched with those values")
        prepare(exchange, match, path)
        if "http" not in match.route.protocols:
            self._insist_on_https(exchange, match.route)
        return match.route

    def _insist_on_https(self, exchange: Exchange, route: Route) -> None:
        if exchange.forwarded.get(b"X-Forwarded-Proto") == b"https":
            return
        status = route.https_redirect_status_code
        if status == 426:
            headers = {b"Connection": b"Upgrade", b"Upgrade": b"TLS/1.2, HTTP/1.1"}
            response.error(exchange, 426, b"Please use HTTPS protocol", headers)
        host = exchange.forwarded.get(b"X-Forwarded-Host", b"")
        response.exit(exchange, status, None, {b"Location": b"https://" + host + exchange.target})

    async def _proxy_on(
        self,
        exchange: Exchange,
        connection: ClientConnection,
        plugins: tuple[Bound, ...],
        route: Route,
    ) -> None:
        assert route.service is not None
        if exchange.upstream_scheme not in (b"http", b"https"):  # what nginx's proxy_pass knows
            prefix = exchange.upstream_scheme.decode("utf-8", "replace")
            _log.error("invalid URL prefix in %r: upstream of %s", f"{prefix}://", route.name)
            raise self._error_handler(exchange, 500)
        exchange.source = b"service"
        task = asyncio.current_task()
        if connection.lost:
            raise Aborted("before the request was proxied")
        if task:
            connection.on_lost = partial(_cancel, task)
        sent = time.time()
        exchange.proxied_at = sent
        try:
            answer = await proxy.send(exchange, route, route.service)
        except ProxyFailed as error:
            _log.error("upstream of %s: %s", route.name or route.id, error)
            raise self._error_handler(exchange, error.status) from error
        try:
            await self._pass_back(exchange, connection, plugins, answer)
        finally:
            await answer.close()

    async def _pass_back(
        self,
        exchange: Exchange,
        connection: ClientConnection,
        plugins: tuple[Bound, ...],
        answer: Answer,
    ) -> None:
        exchange.status, exchange.reason = answer.status, answer.reason
        _take_upstream_headers(exchange, answer.headers)
        await _run(plugins, "header_filter", exchange)
        _add_proxied_headers(exchange, answer.headers)
        has_body = exchange.method != b"HEAD" and exchange.status not in _WITHOUT_BODY
        filters = _body_filters(plugins)
        # a plugin whose body filter changes the length has removed this header
        announced = exchange.answer.get(b"content-length")
        exchange.answer.remove(b"content-length")
        length = int(announced) if announced and announced.isdigit() else None
        if exchange.status in _WITHOUT_BODY:
            length = None
        await connection.send_head(exchange.status, exchange.reason, exchange.answer, length)
        while chunk := await answer.body():
            if filters:
                chunk = _filter_body(filters, exchange, chunk, False)
            if chunk and has_body:
                await connection.send_chunk(chunk)
        if has_body and filters and (last := _filter_body(filters, exchange, b"", True)):
            await connection.send_chunk(last)
        connection.end_body()

    async def _send_own(
        self,
        exchange: Exchange,
        connection: ClientConnection,
        plugins: tuple[Bound, ...],
        leave: ResponseExit,
    ) -> None:
        for _, name, _ in leave.headers:
            exchange.answer.remove(name)
        for _, name, value in leave.headers:
            exchange.answer.add(name, value)
        exchange.status = leave.status
        try:
            await _run(plugins, "header_filter", exchange)
        except ResponseExit as another:
            leave = another
            exchange.status = another.status
        _add_own_headers(exchange, leave)
        body = leave.body
        filters = _body_filters(plugins)
        if filters:
            body = _filter_body(filters, exchange, body, True)
        has_body = exchange.method != b"HEAD" and exchange.status not in _WITHOUT_BODY
        await connection.send_head(
            exchange.status, _reason(exchange.status), exchange.answer, len(body)
        )
        if body and has_body:
            await connection.send_chunk(body)
        connection.end_body()

    def _error_handler(self, exchange: Exchange, status: int) -> ResponseExit:
        """Return nginx's own error, as Kong's error handler words it."""
        exchange.source = b"error"
        headers = exchange.headers
        accept = headers.get(b"accept") or headers.get(b"content-type")
        if accept is None:
            accept = self._settings.error_default_type.encode()
        shown = 400 if status == 494 else status
        content_type, body = self._pages.page(accept, message_of(status), exchange.id)
        answer = Headers()
        answer.add(b"Content-Type", content_type)
        return ResponseExit(shown, body, answer)

    def _start_log_phase(self, exchange: Exchange, plugins: tuple[Bound, ...]) -> None:
        if any(bound.plugin.log for bound in plugins):
            task = asyncio.get_running_loop().create_task(_log_phase(plugins, exchange))
            self._log_tasks.add(task)
            task.add_done_callback(self._log_tasks.discard)


def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()


async def _run(plugins: Iterable[Bound], phase: str, exchange: Exchange) -> None:
    """Run one phase. Raises ResponseExit: what a plugin answered, or 500 if one failed."""
    for bound in plugins:
        handler = getattr(bound.plugin, phase)
        if handler is None:
            continue
        exchange.plugin_id = bound.entry.id
        if bound.entry.consumer_id and bound.entry.consumer_id != _consumer_id(exchange):
            continue
        try:
            waiting = handler(exchange, bound.entry)
            if inspect.isawaitable(waiting):
                await waiting
        except PluginLeft:
            continue
        except (ResponseExit, Aborted, BadMessage):
            raise
        except Exception as error:
            _log.error("%s, %s phase: %s", bound.plugin.name, phase, error)
            if phase == "header_filter":
                continue
            exchange.source = b"error"
            headers = Headers()
            headers.add(b"Content-Type", b"application/json; charset=utf-8")
            body = json_message("An unexpected error occurred")
            raise ResponseExit(500, body, headers) from error


def _consumer_id(exchange: Exchange) -> str | None:
    consumer = exchange.consumer
    found = consumer.get(b"id") if isinstance(consumer, dict) else None
    return found.decode() if isinstance(found, bytes) else None


async def _log_phase(plugins: Iterable[Bound], exchange: Exchange) -> None:
    for bound in plugins:
        try:
            await _run([bound], "log", exchange)
        except (ResponseExit, Aborted) as error:
            _log.error("%s, log phase: %r", bound.plugin.name, error)


def _body_filters(plugins: Iterable[Bound]) -> list[Bound]:
    return [bound for bound in plugins if bound.plugin.body_filter]


def _filter_body(filters: list[Bound], exchange: Exchange, chunk: bytes, last: bool) -> bytes:
    for bound in filters:
        if bound.plugin.body_filter:
            exchange.plugin_id = bound.entry.id
            chunk = bound.plugin.body_filter(exchange, bound.entry, chunk, last)
    return chunk


def _take_upstream_headers(exchange: Exchange, headers: Headers) -> None:
    dropped = _NOT_PASSED_ON
    connection = headers.get(b"connection")
    if connection and connection.lower() not in (b"keep-alive", b"close", b"upgrade"):
        dropped = dropped | set(comma_list(connection))
    for lower, name, value in headers:
        if lower in dropped or lower == b"trailer":
            continue
        if lower in _ONE_ONLY:
            exchange.answer.remove(name)
        exchange.answer.add(name, value)


def _add_proxied_headers(exchange: Exchange, upstream: Headers) -> None:
    now = time.time()
    answer = exchange.answer
    waited = int((now - exchange.proxied_at) * 1000)
    before = int((exchange.proxied_at - exchange.request.started) * 1000)
    answer.set(b"X-Kong-Upstream-Latency", [b"%d" % waited])
    answer.set(b"X-Kong-Proxy-Latency", [b"%d" % before])
    via = upstream.get(b"via")
    own = b"1.1 " + SERVER
    answer.set(b"Via", [b"%s, %s" % (via, own) if via else own])
    if answer.get(b"server") is None:
        answer.add(b"Server", SERVER)
    answer.set(b"X-Kong-Request-Id", [exchange.id.encode()])


def _add_own_headers(exchange: Exchange, leave: ResponseExit) -> None:
    for line in leave.headers if len(exchange.answer) == 0 else ():
        exchange.answer.add(line[1], line[2])
    for framing in (b"content-length", b"connection", b"transfer-encoding"):
        exchange.answer.remove(framing)
    if exchange.proxied_at:
        _add_proxied_headers(exchange, Headers())
        return
    taken = int((time.time() - exchange.request.started) * 1000)
    exchange.answer.set(b"X-Kong-Response-Latency", [b"%d" % taken])
    exchange.answer.set(b"Server", [SERVER])
    exchange.answer.set(b"X-Kong-Request-Id", [exchange.id.encode()])


def _reason(status: int) -> bytes:
    return _REASONS.get(status, b"")


_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
