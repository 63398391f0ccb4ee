"""What the plugin counts and times, for Prometheus: see docs/operations.md.

Labels have few values: routes are those of Kong's configuration, outcomes are error codes.
"""

import logging
import socket
import threading
import time
from functools import lru_cache
from http.server import ThreadingHTTPServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    MetricsHandler,
    ProcessCollector,
    disable_created_metrics,
)

log = logging.getLogger(__name__)

disable_created_metrics()
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

NO_ROUTE = "unknown"
"""The label of routes without a name, and of requests that end before the route is known."""
_MOST_ROUTES = 500
_routes: set[str] = set()

REQUESTS = Counter(
    "jan_media_plugin_requests",
    "Requests that the plugin decided on. The outcome is admitted, or the code of the error; "
    "unfinished: the server ended it, which its log explains.",
    labelnames=("route", "outcome"),
    registry=REGISTRY,
)
SECONDS = Histogram(
    "jan_media_plugin_seconds",
    "Time that the plugin adds to a request, without that of the client's body.",
    labelnames=("route",),
    buckets=_SECONDS,
    registry=REGISTRY,
)
IDS = Counter(
    "jan_media_plugin_ids",
    "Names of media in bodies: cached and resolved have a URL; unknown; foreign are others' URLs.",
    labelnames=("result",),
    registry=REGISTRY,
)
RENDITIONS = Counter(
    "jan_media_plugin_renditions",
    "Media that went on converted to what the model takes.",
    registry=REGISTRY,
)
BODY_BYTES = Counter(
    "jan_media_plugin_body_bytes",
    "Bytes of the bodies that the plugin looked into.",
    registry=REGISTRY,
)
INLINE_BYTES = Counter(
    "jan_media_plugin_inline_bytes",
    "Bytes of inline media that were taken in and stored.",
    registry=REGISTRY,
)
SIDECAR_SECONDS = Histogram(
    "jan_media_plugin_sidecar_seconds",
    "Questions to the sidecar. The outcome is the answer's status; away: there was no answer.",
    labelnames=("question", "outcome"),
    buckets=_SECONDS,
    registry=REGISTRY,
)


def count_request(route: str | None, outcome: str, seconds: float) -> None:
    """Count one finished request. ``route`` is Kong's name of its route."""
    requests, times = _of_request(route, outcome)
    requests.inc()
    times.observe(seconds)


@lru_cache(maxsize=2048)  # looking up labels takes longer than counting
def _of_request(route: str | None, outcome: str) -> tuple[Counter, Histogram]:
    # A program may create routes, each with a new name.
    if route not in _routes and len(_routes) < _MOST_ROUTES and route:
        _routes.add(route)
    label = route if route and route in _routes else NO_ROUTE
    return REQUESTS.labels(label, outcome), SECONDS.labels(label)


def show(host: str, port: int) -> None:
    """Answer Prometheus at this address, in a thread, while the process lives.

    If the address is taken, for example by a predecessor that is about to end, this tries again
    until it is free, and logs that once.
    """
    threading.Thread(target=_show, args=(host, port), name="metrics", daemon=True).start()


def _show(host: str, port: int) -> None:
    told = False
    while True:
        try:
            server = _Server((host, port), _Handler)
        except OSError as problem:
            if not told:
                log.error("metrics cannot be shown at %s:%d yet: %s", host, port, problem.strerror)
                told = True
            time.sleep(1.0)
        else:
            server.serve_forever()


class _Handler(MetricsHandler):
    registry = REGISTRY
    timeout = 2.0  # seconds that a scraper may be silent


class _Server(ThreadingHTTPServer):
    def __init__(self, address: tuple[str, int], handler: type[MetricsHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: a scraper that disconnects is no error."""
