"""A model server and a gateway in processes of their own, for the measurements of serving."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import yaml

ROOT = Path(__file__).resolve().parents[1]
TERMS = ("Heat", "Toy Story", "Alien", "Brazil")


@dataclass
class World:
    """Where everything listens; `logs` holds what each process wrote."""

    gateway_url: str
    metrics_url: str
    grpc: str
    rest: str
    key: str
    folder: Path
    logs: Path
    pids: dict[str, int] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        """Of a request that is let in."""
        return {"X-API-Key": self.key, "Content-Type": "application/json"}

    def resident(self, process: str) -> float:
        """MiB of memory that a process holds."""
        for line in Path(f"/proc/{self.pids[process]}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        raise AssertionError(f"{process} is gone")


@dataclass
class Answer:
    """What came back."""

    status: int
    head: str
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class Caller:
    """POST over connections that are kept; as little work as can be, for it shares the cores."""

    def __init__(self, here: World) -> None:
        """Call the gateway of `here`."""
        self._port = int(here.gateway_url.rpartition(":")[2])
        self._key = here.key
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    def request(self, path: str, body: Any) -> bytes:
        """The bytes of a request."""
        content = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {self._key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content

    async def ask(self, request: bytes) -> Answer:
        """Send a request; an idle connection that was closed meanwhile is replaced."""
        while self._idle:
            try:
                return await self._on(*self._idle.pop(), request)
            except (OSError, asyncio.IncompleteReadError):
                continue
        return await self._on(*await asyncio.open_connection("127.0.0.1", self._port), request)

    async def _on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> Answer:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
        body = await reader.readexactly(length)
        if "connection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer))
        return Answer(int(head.split(" ", 2)[1]), head, body)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    import socket

    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


@contextmanager
def world(folder: Path, **sections: Any) -> Iterator[World]:
    """Serve `folder`, put a gateway in front, wait until both answer; end both."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        scratch = Path(name)
        grpc, rest, http, metrics = free_ports(4)
        key = secrets.token_urlsafe(32)
        (scratch / "keys").write_text(f"load {hashlib.sha256(key.encode()).hexdigest()}\n")
        settings: dict[str, Any] = {
            "port": http,
            "model": {"address": f"127.0.0.1:{grpc}", "folder": str(folder.resolve())},
            "access": {"keys": "keys", "rate": 1e6, "burst": 10**6},
            "seen": {"metrics_port": metrics},
        }
        for section, changes in sections.items():
            settings[section] = {**settings.get(section, {}), **changes}
        (scratch / "settings.yaml").write_text(yaml.safe_dump(settings))
        made = World(
            f"http://127.0.0.1:{http}",
            f"http://127.0.0.1:{metrics}/metrics",
            f"127.0.0.1:{grpc}",
            f"http://127.0.0.1:{rest}",
            key,
            folder,
            scratch,
        )
        for process, arguments in (
            ("server", ["up", str(folder), "--port", str(grpc), "--rest-port", str(rest)]),
            ("gateway", ["gateway", str(scratch / "settings.yaml")]),
        ):
            made.pids[process] = stack.enter_context(
                _running(arguments, scratch / f"{process}.log")
            )
        _wait(made)
        yield made


@contextmanager
def _running(arguments: list[str], log: Path) -> Iterator[int]:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving", *arguments],
            cwd=ROOT,
            stdout=file,
            stderr=file,
            env=environment,
        )
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(made: World, limit: float = 180.0) -> None:
    until = time.monotonic() + limit
    while time.monotonic() < until:
        try:
            ready = httpx2.get(f"{made.gateway_url}/ready").status_code == 200
            body = {"item": {"text": "warm"}, "k": 1}
            url = f"{made.gateway_url}/v1/similar"
            if ready and httpx2.post(url, json=body, headers=made.headers).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.3)
    for process in ("server", "gateway"):
        print((made.logs / f"{process}.log").read_text()[-2000:], file=sys.stderr)
    raise TimeoutError(f"nobody was ready within {limit} s")


def save_toy(folder: Path, version: int) -> Path:
    """A SavedModel whose every score tells its version: rating = version + rank of the text.

    It appears whole: saved under another name, then renamed.
    """
    import tensorflow as tf

    strings = tf.TensorSpec([None], tf.string)
    rows = tf.TensorSpec([None, None], tf.string)
    longs = tf.TensorSpec([None, None], tf.int64)

    class Toy(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            values = [float(place) / 100 for place in range(len(TERMS))]
            pairs = tf.lookup.KeyValueTensorInitializer(list(TERMS), values)
            self.table = tf.lookup.StaticHashTable(pairs, 0.5)
            self.version = tf.Variable(0.0)
            self.version.assign(float(version))

        def rate(self, items: tf.Tensor) -> tf.Tensor:
            return self.table.lookup(items) + self.version

        @tf.function(input_signature=[strings, strings])
        def score(self, behaviour: tf.Tensor, item: tf.Tensor) -> dict[str, tf.Tensor]:
            rating = self.rate(item) + 0.0 * tf.cast(tf.strings.length(behaviour), tf.float32)
            return {"rating": rating, "click_probability": tf.sigmoid(rating)}

        @tf.function(
            input_signature=[
                *(strings, rows, tf.TensorSpec([None, None]), longs),
                *(tf.TensorSpec([None], tf.int64), rows),
            ]
        )
        def rank(
            self,
            user: tf.Tensor,
            history: tf.Tensor,
            history_ratings: tf.Tensor,
            history_times: tf.Tensor,
            now: tf.Tensor,
            candidates: tf.Tensor,
        ) -> dict[str, tf.Tensor]:
            nothing = tf.reduce_sum(history_ratings * 0.0, axis=1)
            nothing += tf.cast(now * 0 + tf.reduce_sum(history_times * 0, axis=1), tf.float32)
            lengths = tf.strings.length(user) * 0 + tf.shape(history)[1] * 0
            nothing += tf.cast(lengths, tf.float32)
            rating = self.rate(candidates) + nothing[:, None]
            ranking = tf.argsort(rating, direction="DESCENDING", stable=True)
            return {"rating": rating, "click_probability": rating / 1e3, "ranking": ranking}

        @tf.function(input_signature=[strings])
        def embed(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
            length = tf.cast(tf.strings.length(text), tf.float32)
            return {"vector": tf.stack([length, self.rate(text)], axis=1)}

        @tf.function(input_signature=[strings, tf.TensorSpec([None], tf.int32)])
        def recommend(self, behaviour: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
            items = tf.constant([f"i{place}" for place in range(len(TERMS))])[: tf.reduce_max(k)]
            items = tf.tile(items[None], [tf.size(behaviour), 1])  # [batch, largest k]
            scores = tf.ones_like(items, tf.float32) * self.version
            return {"items": items, "scores": scores}

    toy = Toy()
    staged = folder / f".staged-{version}"
    signatures = {
        "serving_default": toy.score,
        "rank": toy.rank,
        "embed": toy.embed,
        "recommend": toy.recommend,
    }
    tf.saved_model.save(toy, str(staged), signatures=signatures)
    assets = staged / "assets.extra"
    assets.mkdir()
    lines = [json.dumps({"id": f"i{i}", "text": term}) for i, term in enumerate(TERMS)]
    (assets / "catalogue.jsonl").write_text("\n".join(lines) + "\n")
    from ssrec_tf.warmup import WARMUP, write_warmup

    write_warmup(assets / WARMUP, signatures, TERMS)
    staged.rename(folder / str(version))
    return folder / str(version)


def quantiles(seconds: list[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    import numpy as np

    p50, p99 = np.percentile(np.asarray(seconds) * 1000, [50, 99])
    return {"p50_ms": round(float(p50), 3), "p99_ms": round(float(p99), 3)}
