"""Logs one line per request, and counts the request in the metrics.

The line has the path without its query, since a query may hold a signature, and has no headers.
"""

import logging
import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jan_media import tracing
from jan_media.log import begin
from jan_media.server.metrics import Metrics

log = logging.getLogger("jan_media.access")


class AccessLog:
    """Wraps the whole app of a listener."""

    def __init__(self, app: ASGIApp, metrics: Metrics, listener: str) -> None:
        self._app = app
        self._metrics = metrics
        self._listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        known = begin(headers.get("x-kong-request-id", ""))
        started = time.perf_counter()
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            with tracing.span(scope["method"], headers, "SERVER") as span:
                await self._app(scope, receive, noting)
                if span is not None:
                    route = scope.get("template", "other")
                    span.update_name(f"{scope['method']} {route}")
                    span.set_attribute("http.response.status_code", status)
                    span.set_attribute("jan.request_id", known.request_id)
        finally:
            seconds = time.perf_counter() - started
            template = scope.get("template", "other")
            self._metrics.count_request(template, scope["method"], status, seconds)
            if log.isEnabledFor(logging.INFO):
                # repr keeps control characters of a hostile path out of the log.
                path = repr(scope["path"])[1:-1]
                method, ms = scope["method"], round(seconds * 1000, 1)
                log.info(
                    *("%s %s %s %d %.1fms", self._listener, method, path, status, ms),
                    extra={"fields": {"method": method, "path": path, "status": status, "ms": ms}},
                )
