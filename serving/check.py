"""Ask a served model everything once, over gRPC and REST, and through the C API."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from serving.client import GrpcTransport, RestTransport
from serving.errors import ServingError, Unavailable
from serving.up import HOST, Endpoint, free_port, real_server, stand_in, start_real
from serving.version_folders import list_versions

TOLERANCE = 1e-5
START_SECONDS = 120.0
_BEHAVIOUR = (
    "user: 24, M\nnow: 881252000\nrated 5 at 881250949: an old favourite\n"
    "seen: something nobody knows"
)
REQUESTS: dict[str, dict[str, Any]] = {
    "serving_default": {
        "behaviour": [_BEHAVIOUR, "", "rated 1: \U0001f3ac 电影"],
        "item": ["a new item, added this morning", "", "x" * 5000],
    },
    "rank": {
        "user": ["24, M"],
        "history": [["an old favourite", ""]],
        "history_ratings": [[5.0, 0.0]],
        "history_times": [[881250949, 0]],
        "now": [881252000],
        "candidates": [["first", "second", ""]],
    },
    "embed": {"text": ["a text", ""]},
    "recommend": {"behaviour": [_BEHAVIOUR, ""], "k": [3, 3]},
}
"""A valid request for each signature of the contract."""
_NUMBERS = {
    "k": np.int32,
    "history_ratings": np.float32,
    "history_times": np.int64,
    "now": np.int64,
}


def check(folder: Path) -> dict[str, Any]:
    """Serve the newest version of `folder` and compare all ways of asking.

    Raises:
        ServingError: a signature is missing or fails, or two answers differ.
    """
    binary = real_server()
    kind = Path(binary).name if binary else "stand-in"
    endpoint = Endpoint(free_port(), free_port(), "check", kind)
    worst: dict[str, float] = {}
    server = real_up(binary, folder, endpoint) if binary else stand_in(folder, endpoint)
    with server:
        grpc = GrpcTransport(f"{HOST}:{endpoint.grpc_port}", "check", timeout=60)
        rest = RestTransport(f"http://{HOST}:{endpoint.rest_port}", "check", timeout=60)
        for name, request in _present(folder).items():
            inputs = {key: _array(key, value) for key, value in request.items()}
            answer = grpc.predict(name, inputs)
            worst[name] = _difference(name, answer, rest.predict(name, inputs))
            if name == "serving_default":
                worst["c_api"] = _difference(name, answer, _through_c_api(folder, request))
        grpc.close()
    return {
        "server": kind,
        "signatures": sorted(set(worst) - {"c_api"}),
        "differences": worst,
    }


@contextmanager
def real_up(binary: str, folder: Path, endpoint: Endpoint) -> Iterator[None]:
    """Hold TensorFlow Serving up for a block, from the moment it answers."""
    process = start_real(binary, folder, endpoint)
    try:
        until = time.monotonic() + START_SECONDS
        while not _answers(endpoint):
            if process.poll() is not None:
                raise ServingError(f"{binary} ended with exit code {process.returncode}")
            if time.monotonic() > until:
                raise Unavailable(f"{binary} served no version within {START_SECONDS} s")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait()


def _answers(endpoint: Endpoint) -> bool:
    url = f"http://{HOST}:{endpoint.rest_port}/v1/models/{endpoint.model}"
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            ready = b"AVAILABLE" in response.read()
        with socket.create_connection((HOST, endpoint.grpc_port), timeout=5):
            return ready
    except OSError:
        return False


def _present(folder: Path) -> dict[str, dict[str, Any]]:
    """Requests for the signatures that the model card names; without a card, for all."""
    newest = folder / str(max(list_versions(folder)))
    path = newest / "assets.extra" / "model_card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return REQUESTS
    except ValueError as error:
        raise ServingError(f"{path} is no JSON: {error}") from None
    named = card.get("signatures", REQUESTS) if isinstance(card, dict) else ()
    present = {name: REQUESTS[name] for name in REQUESTS if name in named}
    if not present:  # else nothing is asked, and nothing is what passes
        raise ServingError(f"{path} names none of {sorted(REQUESTS)}; export the model again")
    return present


def _array(key: str, value: Any) -> np.ndarray:
    if key in _NUMBERS:
        return np.array(value, _NUMBERS[key])
    encoded = np.vectorize(lambda text: text.encode(), otypes=[object])
    return np.asarray(encoded(np.array(value, dtype=object)))


def _difference(name: str, left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> float:
    """Largest difference of two answers; texts must be equal."""
    if len(right) == 1 and "" in right:  # REST leaves the name of a single output out
        right = {next(iter(left)): right[""]}
    worst = 0.0
    for key, value in left.items():
        other = right[key]
        if value.dtype == object:
            if [text.decode() for text in value.ravel()] != [str(x) for x in other.ravel()]:
                raise ServingError(f"{name}: {key} differs between two ways of asking")
            continue
        if other.shape != value.shape:  # else one of them is broadcast
            raise ServingError(
                f"{name}: {key} has shape {value.shape} one way, {other.shape} another"
            )
        if not np.all(np.isfinite(value)):
            raise ServingError(f"{name}: {key} is not finite")
        gap = np.abs(value.astype(np.float64) - other.astype(np.float64))
        worst = max(worst, float(np.max(gap, initial=0.0)))
        if not np.all(gap <= TOLERANCE * np.maximum(1.0, np.abs(value))):
            raise ServingError(f"{name}: {key} differs by {worst:.1e} between two ways of asking")
    return worst


def _through_c_api(folder: Path, request: dict[str, Any]) -> dict[str, np.ndarray]:
    """Run `serving_default` through the C API, in a process without TensorFlow's Python."""
    newest = folder / str(max(list_versions(folder)))
    body = {
        key: {"dtype": "string", "shape": [len(value)], "data": value}
        for key, value in request.items()
    }
    done = subprocess.run(
        [sys.executable, "-m", "serving.c_api", str(newest), "serving_default"],
        input=json.dumps(body),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise ServingError(f"the C API refused the model: {last}")
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    return {key: np.array(v["data"]).reshape(v["shape"]) for key, v in answer.items()}
