"""A thousand planted secrets: none in a log, an error, a metric, a trace or an example."""

import io
import json
import logging
import random

import pytest
from prometheus_client import generate_latest

from serving import gateway_logs, gateway_traces
from serving.errors import NotFound
from serving.gateway_logs import Pseudonyms, configure, log, log_fault
from tests.serving.gateway_world import (
    ByHand,
    make_settings,
    open_client,
    span_recorder,
    wait_ready,
)


@pytest.fixture
def stream():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    made = io.StringIO()
    configure(made)
    yield made
    root.handlers[:] = handlers
    root.setLevel(level)


def plant(rng):
    digits = "".join(rng.choice("0123456789") for _ in range(10))
    return rng.choice(
        [
            f"mail.{digits}@example.com",
            f"+1 415 {digits[:3]} {digits[3:7]}",
            f"4111 1111 {digits[:4]} {digits[4:8]}",
            f"watched private film {digits}",
        ]
    )


def bodies(rng, secret):
    """Requests that carry a secret in one place each, good ones and bad ones."""
    one = [{"text": "x"}]
    return rng.choice(
        [
            ("score", {"user": {"id": secret}, "candidates": one}),
            ("score", {"user": {"text": secret}, "candidates": one}),
            ("rank", {"history": [{"text": secret, "rating": 4.0, "time": 9}], "candidates": one}),
            ("rank", {"candidates": [{"text": secret}], "explain": True}),
            ("rank", {"candidates": [{"id": secret}]}),
            ("rank", {"candidates": [{"text": "x", secret: 1}]}),
            ("rank", {secret: 1, "candidates": one}),
            ("rank", {"candidates": secret}),
            ("rank", {"candidates": one, "k": secret}),
            ("rank", {"candidates": one, "now": secret}),
            ("recommend", {"user": {"id": secret}, "history": [{"text": secret}]}),
            ("similar", {"item": {"text": secret}}),
            ("explain", {"candidate": {"text": secret}, "history": [{"text": secret}]}),
            (f"rank?q={secret}", {"candidates": one}),
            (f"{secret}", {"candidates": one}),
        ]
    )


def test_no_planted_secret_comes_out(tmp_path, described, stream, monkeypatch):
    provider, exporter = span_recorder()
    monkeypatch.setattr(gateway_traces, "_TRACER", provider.get_tracer("test"))
    rng = random.Random(5)
    secrets = [plant(rng) for _ in range(1000)]
    served = tmp_path / "served"
    settings = make_settings(tmp_path, described, seen={"served": served, "sample": 1.0})
    model, shown = ByHand(), []
    with open_client(settings, model) as client:
        wait_ready(client)
        for secret in secrets:
            model.failing = RuntimeError(secret) if rng.random() < 0.05 else None
            route, body = bodies(rng, secret)
            if rng.random() < 0.1:
                answer = client.post(f"/v1/{route}", json=body, headers={"X-API-Key": secret})
            else:
                answer = client.post(f"/v1/{route}", json=body, headers={"X-Request-Id": secret})
            shown.append(answer.text)
        metrics = generate_latest(client.gateway.metrics.registry).decode()
    examples = "".join(path.read_text() for path in served.iterdir())
    logs = stream.getvalue()
    assert logs.count('"event": "request"') == 1000
    spans = exporter.get_finished_spans()
    assert len(spans) > 800  # all but those of unknown keys
    traces = "".join(span.to_json() for span in spans)
    for place in (logs, "".join(shown), metrics, examples, traces):
        assert [secret for secret in secrets if secret in place] == []
    assert "fault" in logs  # the planted faults were there to be told of
    assert all(json.loads(line) for line in logs.splitlines())


def test_lines_are_json_and_faults_say_where(stream):
    log("started", port=1)
    try:
        raise KeyError("bob@example.com")
    except KeyError as error:
        log_fault("broken", error, request_id="r")
    logging.getLogger("uvicorn.error").error("something of %s", "bob@example.com")
    first, second, third = map(json.loads, stream.getvalue().splitlines())
    assert (first["event"], first["port"], first["level"]) == ("started", 1, "info")
    assert (second["event"], second["error"], second["request_id"]) == ("broken", "KeyError", "r")
    assert second["at"][-1].startswith("test_gateway_logs.py:")
    assert third["event"] == "uvicorn.error"
    assert "bob" not in stream.getvalue()


def test_pseudonyms_are_hmacs(tmp_path):
    import hashlib
    import hmac

    (tmp_path / "secret").write_bytes(b"0123456789abcdef\n")
    names = Pseudonyms.load(tmp_path / "secret")
    expected = hmac.new(b"0123456789abcdef", b"bob", hashlib.sha256).hexdigest()[:32]
    assert names.of("bob") == expected
    assert Pseudonyms().of("bob") != Pseudonyms().of("bob")
    assert Pseudonyms.load(None).of("bob") != expected
    (tmp_path / "short").write_bytes(b"x")
    for name in ("short", "none"):
        with pytest.raises(NotFound):
            Pseudonyms.load(tmp_path / name)


def test_the_logger_is_its_own():
    assert gateway_logs._LOGGER.name == "serving.gateway"
