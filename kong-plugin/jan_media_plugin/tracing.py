"""The plugin's spans: one per request, with a child span for each question to the sidecar.

`jan_media.tracing` sends them. If that is off, nothing of OpenTelemetry is loaded, and a client's
``traceparent`` is passed to the model unchanged.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jan_media.tracing import tracer

if TYPE_CHECKING:
    from opentelemetry.trace import Span


def begin(headers: Mapping[str, list[str]], request_id: str, route: str | None) -> "Span | None":
    """Begin the span of the running event, in its client's trace if there is one; see `end`.

    None if tracing is off.
    """
    spans = tracer()
    if spans is None:
        return None
    from opentelemetry import context
    from opentelemetry.trace import SpanKind, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    span = spans.start_span(
        f"jan-media {route or ''}".strip(),
        context=TraceContextTextMapPropagator().extract(headers),
        kind=SpanKind.SERVER,
        attributes={"http.route": route or "", "jan.request_id": request_id},
    )
    context.attach(set_span_in_context(span))  # until the event's own context ends
    return span


def passed_on() -> dict[str, str]:
    """Return the headers that make the next request's spans children of the current span."""
    headers: dict[str, str] = {}
    if tracer() is not None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        TraceContextTextMapPropagator().inject(headers)
    return headers


def end(span: "Span | None", outcome: str) -> None:
    """End the span of an event."""
    if span is not None:
        span.set_attribute("jan.outcome", outcome)
        span.end()
