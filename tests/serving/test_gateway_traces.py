"""Spans as OpenTelemetry's own SDK receives them: whose they are, and what they say."""

import pytest
from opentelemetry import trace

from serving import gateway_traces
from serving.errors import Unavailable
from tests.serving.gateway_world import (
    ByHand,
    make_settings,
    open_client,
    span_recorder,
    wait_ready,
)

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def spans(monkeypatch):
    provider, exporter = span_recorder()
    monkeypatch.setattr(gateway_traces, "_TRACER", provider.get_tracer("test"))
    return exporter


def ask(client, body=None, route="/v1/rank", **headers):
    return client.post(route, json=body or {"candidates": [{"text": "Heat"}]}, headers=headers)


def test_a_request_and_its_call_stand_in_the_caller_s_trace(tmp_path, described, spans):
    with open_client(make_settings(tmp_path, described), ByHand()) as client:
        wait_ready(client)
        spans.clear()
        answer = ask(client, traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="film=heat")
    assert "heat" not in "".join(span.to_json() for span in spans.get_finished_spans())
    call, request = spans.get_finished_spans()
    assert (request.name, call.name) == ("/v1/rank", "predict rank")
    assert f"{request.context.trace_id:032x}" == f"{call.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == PARENT
    assert call.parent.span_id == request.context.span_id
    assert (request.kind, call.kind) == (trace.SpanKind.SERVER, trace.SpanKind.CLIENT)
    assert dict(request.attributes) == {
        "http.route": "/v1/rank",
        "http.response.status_code": 200,
        "ssrec.request_id": answer.json()["request_id"],
        "ssrec.caller": "tester",
        "ssrec.items": 1,
        "ssrec.version": 3,
    }


def test_the_framework_tells_nothing_of_its_own(tmp_path, described, spans, monkeypatch):
    provider, exporter = span_recorder()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)  # where FastAPI would look
    with open_client(make_settings(tmp_path, described), ByHand()) as client:
        assert ask(client, {"private film": 1}).status_code == 422
    assert [span.name for span in exporter.get_finished_spans()] == []
    assert "/v1/rank" in [span.name for span in spans.get_finished_spans()]


def test_a_parent_that_is_none_begins_a_trace(tmp_path, described, spans):
    with open_client(make_settings(tmp_path, described), ByHand()) as client:
        for parent in ("x", "00-" + "0" * 32 + "-" + PARENT + "-01", "\xff" * 200):
            assert ask(client, traceparent=parent.encode("latin-1")).status_code == 200
    requests = [span for span in spans.get_finished_spans() if span.name == "/v1/rank"]
    assert [span.parent for span in requests] == [None] * 3


def test_who_is_not_known_leaves_no_span(tmp_path, described, spans):
    with open_client(make_settings(tmp_path, described), ByHand(), key="") as client:
        assert ask(client, traceparent=f"00-{TRACE}-{PARENT}-01").status_code == 401
        assert client.get("/health").status_code == 200
    assert [span.name for span in spans.get_finished_spans() if span.name[0] == "/"] == []


@pytest.mark.parametrize(
    ("failing", "body", "status", "code", "error"),
    [
        (Unavailable("gone: private film"), None, 503, "not_ready", "Unavailable"),
        (RuntimeError("private film"), None, 500, "fault", "RuntimeError"),
        (None, {"private film": 1}, 422, "invalid", None),
        (None, {"candidates": [[[[[[[[[["private film"]]]]]]]]]]}, 400, "depth", None),
    ],
)
def test_an_error_is_its_kind_and_no_text(
    tmp_path, described, spans, failing, body, status, code, error
):
    model = ByHand()
    with open_client(make_settings(tmp_path, described), model) as client:
        wait_ready(client)
        spans.clear()
        model.failing = failing
        assert ask(client, body).status_code == status
        found = spans.get_finished_spans()
    request = next(span for span in found if span.name == "/v1/rank")
    assert request.attributes["http.response.status_code"] == status
    assert request.status.is_ok == (status < 500)
    if code != "fault":
        assert request.attributes["ssrec.code"] == code
    calls = [span for span in found if span.name == "predict rank"]
    assert [call.attributes["error.type"] for call in calls] == ([error] if error else [])
    assert "private" not in "".join(span.to_json() for span in found)


def test_without_an_sdk_nothing_is_recorded():
    with gateway_traces.model_span("rank", "default"):
        assert not trace.get_current_span().is_recording()
