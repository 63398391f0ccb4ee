"""Tracing: sends spans to an OTLP collector, with the extra ``otel``.

OTEL_EXPORTER_OTLP_ENDPOINT turns it on; OpenTelemetry's other variables apply too. Without it
nothing of OpenTelemetry is loaded.
"""

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from jan_media import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

log = logging.getLogger("jan_media.tracing")

_SWITCHES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_FLUSH_SECONDS = 2.0  # that a process waits for the collector at its end

_provider: "TracerProvider | None" = None
_tracer: "Tracer | None" = None


def start(service: str) -> None:
    """Send spans of ``service`` from now on, if the environment says where to. The environment may
    give the service another name. This starts a thread, so call it after a fork."""
    global _provider, _tracer
    if not any(map(os.environ.get, _SWITCHES)):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning(
            "no spans are sent: install the extra otel, or unset %s", " and ".join(_SWITCHES)
        )
        return
    os.environ.setdefault("OTEL_SERVICE_NAME", service)
    _provider = TracerProvider(shutdown_on_exit=False)
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = _provider.get_tracer("jan_media", __version__)


def stop() -> None:
    """Send the remaining spans, but do not wait long for an unavailable collector."""
    if _provider is not None:
        last = threading.Thread(target=_provider.shutdown, daemon=True)
        last.start()
        last.join(_FLUSH_SECONDS)


def tracer() -> "Tracer | None":
    """The tracer, which starts spans; None if tracing is off."""
    return _tracer


@contextmanager
def span(
    name: str,
    came_with: Mapping[str, str] | None = None,
    kind: Literal["INTERNAL", "SERVER", "CLIENT"] = "INTERNAL",
) -> "Iterator[Span | None]":
    """A span of the block. Its parent is the current span or, given the headers that a request
    ``came_with``, its sender's. None if tracing is off.
    """
    if _tracer is None:
        yield None
        return
    from opentelemetry.trace import SpanKind, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    with _tracer.start_as_current_span(
        name,
        context=None if came_with is None else TraceContextTextMapPropagator().extract(came_with),
        kind=SpanKind[kind],
        record_exception=False,  # its text may name a file or a secret
        set_status_on_exception=False,
    ) as current:
        try:
            yield current
        except Exception as error:
            current.set_status(StatusCode.ERROR, type(error).__name__)
            raise
