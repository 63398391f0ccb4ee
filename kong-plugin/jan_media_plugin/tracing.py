"""Spans for a collector that speaks OTLP, with the extra ``otel``.

OTEL_EXPORTER_OTLP_ENDPOINT switches them on; OpenTelemetry's other variables hold too. Without it
nothing of OpenTelemetry is loaded, and a client's ``traceparent`` goes on to the model as it came.
"""

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

log = logging.getLogger(__name__)

_SWITCHES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_FLUSH_SECONDS = 2.0  # that the end of the process waits for the collector

_provider: "TracerProvider | None" = None
_tracer: "Tracer | None" = None


def start() -> None:
    """Send spans from now on, if the environment says where to."""
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
    os.environ.setdefault("OTEL_SERVICE_NAME", "jan-media-plugin")
    _provider = TracerProvider(shutdown_on_exit=False)
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = _provider.get_tracer("jan_media_plugin")


def stop() -> None:
    """Send what is left, but do not wait long for a collector that is away."""
    if _provider is not None:
        last = threading.Thread(target=_provider.shutdown, daemon=True)
        last.start()
        last.join(_FLUSH_SECONDS)


def begin(headers: Mapping[str, list[str]], request_id: str, route: str | None) -> "Span | None":
    """Begin the span of the running event, part of its client's trace if it has one; see `end`.

    None where there is no tracing.
    """
    if _tracer is None:
        return None
    from opentelemetry import context
    from opentelemetry.trace import SpanKind, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    span = _tracer.start_span(
        f"jan-media {route or ''}".strip(),
        context=TraceContextTextMapPropagator().extract(headers),
        kind=SpanKind.SERVER,
        attributes={"http.route": route or "", "jan.request_id": request_id},
    )
    context.attach(set_span_in_context(span))  # until the event's own context goes
    return span


def passed_on() -> dict[str, str]:
    """Return the headers that make what comes next part of the current span."""
    headers: dict[str, str] = {}
    if _tracer is not None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        TraceContextTextMapPropagator().inject(headers)
    return headers


def end(span: "Span | None", outcome: str) -> None:
    """End the span of an event."""
    if span is not None:
        span.set_attribute("jan.outcome", outcome)
        span.end()


@contextmanager
def question(path: str) -> Iterator[None]:
    """A question to the sidecar, as a span."""
    if _tracer is None:
        yield
        return
    from opentelemetry.trace import SpanKind

    with _tracer.start_as_current_span(
        f"POST {path}", kind=SpanKind.CLIENT, record_exception=False
    ):
        yield
