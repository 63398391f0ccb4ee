"""What a sidecar counts and times, for Prometheus.

Several workers count in files of one folder (prometheus_client's multiprocess mode), so that a
scrape returns the sum of all, whichever worker answers it.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from jan_media import tracing
from jan_media.catalog.api_keys import ApiKeys
from jan_media.catalog.catalog import Catalog
from jan_media.catalog.interface import CatalogUnavailable
from jan_media.storage.interface import Storage, StorageUnavailable

__all__ = ["CONTENT_TYPE", "Metrics", "share_among_workers"]

log = logging.getLogger("jan_media.work")

P = ParamSpec("P")
T = TypeVar("T")

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
_REQUEST = _FAST[2:]
_SLOW = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0)
_HISTOGRAMS = {
    "request": ("Time from a request's head to the end of its answer.", "route", _REQUEST),
    "storage": ("Calls of the storage; read: until bytes can come.", "operation", _FAST),
    "catalog": ("Calls of the catalog.", "operation", _FAST),
    "fetch": ("Fetches from remote URLs, ok or what went wrong.", "outcome", _SLOW),
    "rendition": ("Pictures made to fit a model, ok or what went wrong.", "outcome", _SLOW),
    "sweep": ("Sweeps, ok or failed.", "outcome", _SLOW),
}
_AWAY = {"storage": StorageUnavailable, "catalog": CatalogUnavailable}
_STORAGE_CALLS = ("put", "size", "copy", "delete")
_CATALOG_CALLS = ["check", *(name for name in vars(Catalog) | vars(ApiKeys) if name[0] != "_")]
_SIZES = {
    "media": "Ready ids, those that wait for the sweep included.",
    "pending": "Direct uploads that nobody has used yet.",
    "contents": "Stored objects.",
    "content_bytes": "Bytes of the stored objects.",
    "garbage": "Storage keys to be deleted, due or not.",
}


class Metrics:
    """The metrics of one worker. Labels have few values: a route is a path template."""

    def __init__(self) -> None:
        disable_created_metrics()
        self._registry = own = CollectorRegistry()
        self._requests = Counter(
            *("jan_media_requests", "Answered requests.", ("route", "method", "status")),
            registry=own,
        )
        self._unavailable = Counter(
            *("jan_media_unavailable", "Calls that found the storage or the catalog away."),
            labelnames=("part",),
            registry=own,
        )
        for part in _AWAY:
            self._unavailable.labels(part)  # exported as 0, so that an alert finds the series
        self._seconds = {
            name: Histogram(
                f"jan_media_{name}_seconds", says, (label,), buckets=buckets, registry=own
            )
            for name, (says, label, buckets) in _HISTOGRAMS.items()
        }

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request. ``route`` is a path template."""
        self._requests.labels(route, method, status).inc()
        self._seconds["request"].labels(route).observe(seconds)

    def time_storage(self, storage: Storage) -> None:
        """Time the calls of ``storage`` from now on."""
        for name in _STORAGE_CALLS:
            setattr(storage, name, self._timed("storage", name, getattr(storage, name)))
        open_ = storage.read

        @contextmanager
        def read(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with ExitStack() as stack:
                yield self._timed("storage", "read", stack.enter_context)(open_(*args, **kwargs))

        storage.read = read  # type: ignore[method-assign]

    def time_catalog(self, catalog: Catalog) -> None:
        """Time the calls of ``catalog`` from now on."""
        for name in _CATALOG_CALLS:
            setattr(catalog, name, self._timed("catalog", name, getattr(catalog, name)))

    def _timed(self, part: str, operation: str, call: Callable[P, T]) -> Callable[P, T]:
        seconds = self._seconds[part].labels(operation)

        @wraps(call)
        def timed(*args: P.args, **kwargs: P.kwargs) -> T:
            with seconds.time(), tracing.span(f"{part} {operation}"):
                try:
                    return call(*args, **kwargs)
                except _AWAY[part] as problem:
                    self._unavailable.labels(part).inc()
                    why = type(problem.__cause__ or problem).__name__  # its text may name a file
                    log.warning("the %s is not available for %s: %s", part, operation, why)
                    raise

        return timed

    @contextmanager
    def timing(self, what: Literal["fetch", "rendition", "sweep"], of: str = "") -> Iterator[None]:
        """Time the block, and log it if ``of`` says what is fetched or rendered.

        An error's ``code``, if it has one, is the outcome.
        """
        began, outcome = time.perf_counter(), "failed"
        try:
            with tracing.span(what):
                yield
            outcome = "ok"
        except Exception as error:
            outcome = getattr(error, "code", outcome)
            raise
        finally:
            seconds = time.perf_counter() - began
            self._seconds[what].labels(outcome).observe(seconds)
            if of:
                log.info("%s %s: %s %.1fms", what, of, outcome, seconds * 1000)

    def text(self, sizes: Mapping[str, int]) -> bytes:
        """The counts of all workers, and the catalog's ``sizes``, in Prometheus' text format.

        Blocking: reads the other workers' files.
        """
        gauges = [
            GaugeMetricFamily(f"jan_media_catalog_{name}", _SIZES[name], size)
            for name, size in sizes.items()
        ]
        folder = os.environ.get(_FOLDER)
        counts = MultiProcessCollector(None, folder) if folder else self._registry
        return generate_latest(_Scrape([*counts.collect(), *gauges]))


@dataclass(frozen=True, slots=True)
class _Scrape(Collector):
    """The metrics of one scrape, from whatever source."""

    metrics: list[Metric]

    def collect(self) -> list[Metric]:
        return self.metrics


_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def share_among_workers(folder: Path, number: int) -> None:
    """Let metrics that are made from now on count in files of ``folder``, named by ``number``.

    A worker with the number of a dead one continues its files, so that no count is lost.
    """
    os.environ[_FOLDER] = str(folder)
    values.ValueClass = values.MultiProcessValue(lambda: number)
