"""Spans of OpenTelemetry: a request of a known caller, and each call of the model within it.

Only OpenTelemetry's interface is used. Without its SDK there are no spans, and they cost nothing;
who wants them starts the gateway under `opentelemetry-instrument`, which also says where they go.
No text of a request can stand in one: what a span says is listed here, and an error is its kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from serving.gateway_limits import Refusal

if TYPE_CHECKING:
    from serving.gateway_front import Passing

_TRACER = trace.get_tracer("ssrec.gateway")
_PROPAGATOR = TraceContextTextMapPropagator()
_SAID = ("caller", "items", "version", "code", "model_error")  # of a request's fields


def request_span(here: Passing, headers: Mapping[bytes, bytes]) -> AbstractContextManager[None]:
    """Around a request that was let in; it belongs to the trace that its caller names.

    Names and attributes are those of OpenTelemetry's conventions for HTTP servers. The caller's
    `tracestate` is not read: it may hold any text.
    """
    return _request_span(here, headers) if _is_traced() else nullcontext()


def model_span(signature: str, label: str) -> AbstractContextManager[None]:
    """Around one call of the model server; an error is told by its type."""
    return _model_span(signature, label) if _is_traced() else nullcontext()


def _is_traced() -> bool:
    """Whether a tracer is there that is more than the interface's stand-in for one."""
    provided = not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    return provided or not isinstance(_TRACER, trace.ProxyTracer)


@contextmanager
def _request_span(here: Passing, headers: Mapping[bytes, bytes]) -> Iterator[None]:
    parent = headers.get(b"traceparent", b"").decode("latin-1")
    context = _PROPAGATOR.extract({"traceparent": parent})
    with _span(here.route, SpanKind.SERVER, context) as span:
        span.set_attribute("http.route", here.route)
        span.set_attribute("ssrec.request_id", here.request_id)
        try:
            yield
        except Refusal as refusal:
            span.set_attribute("ssrec.code", refusal.code)
            _end(span, here, refusal.status)
            raise
        except BaseException:
            _end(span, here, 500)
            raise
        _end(span, here, here.status)


@contextmanager
def _model_span(signature: str, label: str) -> Iterator[None]:
    with _span(f"predict {signature}", SpanKind.CLIENT, None) as span:
        span.set_attribute("rpc.system", "grpc")
        span.set_attribute("ssrec.signature", signature)
        span.set_attribute("ssrec.version_label", label)
        try:
            yield
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
            raise


def _span(name: str, kind: SpanKind, context: Context | None) -> AbstractContextManager[Span]:
    # An exception's message may repeat what a user wrote: it is never recorded.
    return _TRACER.start_as_current_span(
        name, context, kind, record_exception=False, set_status_on_exception=False
    )


def _end(span: Span, here: Passing, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    for name in _SAID:
        if here.fields.get(name) is not None:
            span.set_attribute(f"ssrec.{name}", here.fields[name])
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))
