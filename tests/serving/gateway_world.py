"""A gateway before a model server that is computed by hand; no port, no TensorFlow."""

import hashlib
import json

import numpy as np
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.testclient import TestClient

from serving.errors import NotFound
from serving.gateway import Gateway
from serving.gateway_settings import Settings
from serving.tensors import Outputs
from serving.wire import VersionState

KEY = "k" * 43
WORTH = {"Heat": 4.0, "Toy Story": 5.0}


class ByHand:
    """`rank`: worth of the candidate (3 if unknown) + 0.1 a past item + its rating / 100."""

    def __init__(self, version=3):
        self.version, self.asked, self.failing = version, [], None
        self.labels = {}

    async def predict(self, signature, inputs, *, which=None, timeout=None):
        self.asked.append((signature, inputs, which))
        if self.failing is not None:
            raise self.failing
        version = self._version(which)
        outputs = Outputs(getattr(self, "_" + signature)(inputs))
        outputs.version = version
        return outputs

    def _version(self, which):
        if which is None or (which.version is None and not which.label):
            return self.version
        if which.version is not None and which.version != self.version:
            raise NotFound(f"Servable not found for request: Specific(toy, {which.version})")
        return self.labels.get(which.label, self.version)

    def _rank(self, inputs):
        worth = np.vectorize(lambda x: WORTH.get(x.decode(), 3.0))(inputs["candidates"])
        there = (inputs["history"] != b"").sum(axis=1)
        user = np.array([len(text) for text in inputs["user"]])
        more = 0.1 * there + inputs["history_ratings"].sum(axis=1) / 100 + user / 1000
        rating = (worth + more[:, None]).astype(np.float32)
        ranking = np.argsort(-rating, axis=1, kind="stable").astype(np.int32)
        return {"rating": rating, "click_probability": rating / 10, "ranking": ranking}

    def _recommend(self, inputs):
        k = int(inputs["k"][0])
        ids = [b"t", b"h", b"f"][:k]
        return {"items": np.array([ids], object), "scores": np.array([[3.0, 2.0, 1.0][:k]])}

    def _embed(self, inputs):
        rows = [[len(x), x.count(b"a"), x.count(b"o")] for x in inputs["text"]]
        return {"vector": np.array(rows, np.float32)}

    async def states(self):
        if self.failing is not None:
            raise self.failing
        return [VersionState(self.version, "AVAILABLE")]

    async def close(self):
        pass


def make_settings(tmp_path, described, **sections):
    keys = tmp_path / "keys"
    keys.write_text(f"tester {hashlib.sha256(KEY.encode()).hexdigest()}\n")
    users = tmp_path / "users.jsonl"
    row = {"id": "u1", "text": "24, M", "pieces": [["age", "24"], ["gender", ", M"]]}
    users.write_text(json.dumps(row) + "\n")
    body = {
        "model": {"folder": described, "users": users},
        "access": {"keys": keys, "rate": 1e6, "burst": 10**6},
    }
    for name, section in sections.items():
        body[name] = {**body.get(name, {}), **section} if isinstance(section, dict) else section
    return Settings.model_validate(body)


def open_client(settings, model, *, key=KEY, raise_errors=False):
    gateway = Gateway(settings, model)
    headers = {"X-API-Key": key} if key else {}
    client = TestClient(gateway, headers=headers, raise_server_exceptions=raise_errors)
    client.gateway = gateway
    return client


def span_recorder():
    """OpenTelemetry's own SDK: a provider of tracers, and where their spans end up."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def wait_ready(client):
    import time

    until = time.monotonic() + 10
    while client.gateway.model.neighbours is None and time.monotonic() < until:
        time.sleep(0.01)
    return client
