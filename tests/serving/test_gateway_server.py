"""The gateway as a process: slow heads, signals, and requests that are under way at its end."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent import futures
from contextlib import ExitStack
from pathlib import Path

import grpc
import httpx2
import pytest
import tensorflow as tf
import yaml
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.__main__ import main
from serving.up import free_port
from tests.serving.gateway_world import KEY

ROOT = Path(__file__).resolve().parents[2]
BODY = {"candidates": [{"id": "h"}]}


class SlowModel(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    """Needs a second for an answer; counts questions."""

    def __init__(self):
        self.asked = threading.Event()

    def Predict(self, request, context):  # noqa: N802
        response = predict_pb2.PredictResponse()
        response.model_spec.version.value = 1
        if request.model_spec.signature_name == "rank":
            self.asked.set()
            time.sleep(1.0)
            for name in ("rating", "click_probability"):
                response.outputs[name].CopyFrom(tf.make_tensor_proto([[0.5]]))
            response.outputs["ranking"].CopyFrom(tf.make_tensor_proto([[0]]))
        else:
            response.outputs["vector"].CopyFrom(tf.make_tensor_proto([[1.0, 2.0]] * 3))
        return response

    def GetModelStatus(self, request, context):  # noqa: N802
        state = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        response = get_model_status_pb2.GetModelStatusResponse()
        response.model_version_status.add(version=1, state=state)
        return response


@pytest.fixture
def process(tmp_path, described):
    model = SlowModel()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(model, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(model, server)
    grpc_port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    port, metrics = free_port(), free_port()
    (tmp_path / "keys").write_text(f"t {hashlib.sha256(KEY.encode()).hexdigest()}\n")
    catalogue = str(described / "3" / "assets.extra" / "catalogue.jsonl")
    settings = {
        "port": port,
        "model": {"address": f"127.0.0.1:{grpc_port}", "catalogue": catalogue},
        "access": {"keys": "keys"},
        "limits": {"drain": 1.5, "head_timeout": 0.5, "connections": 8},
        "seen": {"metrics_port": metrics},
    }
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    log = open(tmp_path / "log", "w+")  # noqa: SIM115 - the process writes to it
    started = subprocess.Popen(
        [sys.executable, "-m", "serving", "gateway", str(tmp_path / "settings.yaml")],
        cwd=ROOT,
        stderr=log,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    base = f"http://127.0.0.1:{port}"
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            if httpx2.get(f"{base}/ready").status_code == 200:
                break
        except httpx2.HTTPError:
            pass
        time.sleep(0.1)
    yield started, base, port, metrics, model, log
    started.kill()
    started.wait()
    server.stop(None)
    log.close()


@pytest.mark.slow
def test_slow_heads_metrics_and_an_end_that_loses_nobody(process):
    started, base, port, metrics, model, log = process
    # A head that does not end is cut off; others are served meanwhile.
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"GET /health HTTP/1.1\r\nX-Slow: ")
        slow.settimeout(5)
        assert httpx2.get(f"{base}/health").status_code == 200
        assert slow.recv(100) == b""
    headers = {"X-API-Key": KEY}
    # Beyond so many connections one is told when to come back; probes are answered all the same.
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        crowded = httpx2.post(f"{base}/v1/rank", json=BODY, headers=headers)
        assert (crowded.status_code, crowded.json()["code"]) == (503, "overloaded")
        assert (crowded.headers["retry-after"], crowded.headers["connection"]) == ("1", "close")
        assert httpx2.get(f"{base}/ready").status_code == 200
    answers = []

    def ask():
        answers.append(httpx2.post(f"{base}/v1/rank", json=BODY, headers=headers, timeout=20))

    thread = threading.Thread(target=ask)
    thread.start()
    assert model.asked.wait(20)
    figures = httpx2.get(f"http://127.0.0.1:{metrics}/metrics").text
    assert "gateway_ready 1.0" in figures
    started.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert httpx2.get(f"{base}/ready").status_code == 503
    assert httpx2.get(f"{base}/health").status_code == 200  # still takes what was sent to it
    late = httpx2.post(f"{base}/v1/rank", json=BODY, headers=headers, timeout=20)
    thread.join()
    assert [answers[0].status_code, late.status_code] == [200, 200]
    assert started.wait(30) == 0
    log.seek(0)
    lines = [json.loads(line) for line in log if line.startswith("{")]
    events = [line["event"] for line in lines]
    assert "draining" in events
    assert "Traceback" not in "".join(map(str, lines))
    requests = [line for line in lines if line["event"] == "request" and line["status"] == 200]
    assert all(line["model_ms"] >= 1000 for line in requests if line["route"] == "/v1/rank")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot: 1", "prot: Extra inputs"),
        ("limits: {queue: -1}", "limits.queue"),
        ("access: {keys: nowhere}", "nowhere cannot be read"),
        ("canary: {least: 90, window: 50}", "least=90 is more than window=50"),
        ("model: {users: nowhere}", "nowhere cannot be read"),
        ("{", "is no YAML"),
        ("- a", "the file"),
    ],
)
def test_settings_that_are_none_end_with_a_line(tmp_path, capsys, text, message):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    assert main(["gateway", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_settings_that_are_not_there(tmp_path, capsys):
    assert main(["gateway", str(tmp_path / "none.yaml")]) == 2
    assert "cannot be read" in capsys.readouterr().err
