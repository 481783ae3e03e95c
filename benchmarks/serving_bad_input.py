"""Bad input at every door: `python -m benchmarks.serving_bad_input` prints a line of JSON.

Fixed cases and generated ones go to the gateway, to REST, to gRPC, to the client and to the
command line. Counted is what must not happen: an answer of 5xx, a traceback, a process that died,
an answer later than a second, a refusal that does not name a field.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx2
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from benchmarks.serving_cases import GOOD, ODD, broken, paths, put
from benchmarks.serving_setup import World, save_toy, world
from serving.client import Client, GrpcTransport, RestTransport
from serving.errors import ServingError


class Tally:
    """What happened, and what must not."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.cases: Counter[str] = Counter()
        self.bad: list[str] = []
        self.slowest = 0.0

    def timed(self, door: str, shown: str, work: Callable[[], str]) -> None:
        """Run a case; `work` says what is wrong with its outcome, or ""."""
        began = time.perf_counter()
        try:
            wrong = work()
        except Exception as error:
            wrong = f"{type(error).__name__}: {error}"
        seconds = time.perf_counter() - began
        self.cases[door] += 1
        self.slowest = max(self.slowest, seconds)
        if seconds > 1.0:
            wrong = f"{wrong} took {seconds:.2f} s"
        if wrong:
            self.bad.append(f"{door} {shown[:80]}: {wrong[:200]}")


def _gateway(here: World, http: httpx2.Client, tally: Tally, route: str, content: bytes) -> None:
    def work() -> str:
        url = f"{here.gateway_url}/v1/{route}"
        answer = http.post(url, content=content, headers=here.headers)
        if answer.status_code == 200:
            return ""
        body = answer.json()
        if answer.status_code >= 500:
            return f"{answer.status_code} {body}"
        return "" if body["field"] or body["code"] == "refused" else f"no field: {body}"

    tally.timed("gateway", f"{route} {content[:60]!r}", work)


def _rest(here: World, http: httpx2.Client, tally: Tally, path: str, content: bytes) -> None:
    def work() -> str:
        answer = http.post(f"{here.rest}{path}", content=content)
        if answer.status_code >= 500:
            return f"{answer.status_code} {answer.text}"
        return "" if answer.status_code == 200 or answer.json()["error"] else "no error"

    tally.timed("rest", f"{path} {content[:60]!r}", work)


def _grpc(stub: Any, tally: Tally, request: Any) -> None:
    refusals = {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED"}

    def work() -> str:
        try:
            stub.Predict(request, timeout=5)
        except grpc.RpcError as error:
            name = error.code().name
            return "" if name in refusals else f"{name} {error.details()}"
        return ""

    tally.timed("grpc", str(request)[:60].replace("\n", " "), work)


def _client(tally: Tally, shown: str, call: Callable[[], object]) -> None:
    def work() -> str:
        with contextlib.suppress(ServingError):  # a typed error is what is wanted
            call()
        return ""

    tally.timed("client", shown, work)


def fixed(here: World, tally: Tally) -> None:
    """Cases that are the same at every run."""
    with httpx2.Client(trust_env=False, timeout=30.0) as http:
        for route, good in GOOD.items():
            for body in broken(good):
                _gateway(here, http, tally, route, json.dumps(body).encode())
        for text in _NOT_JSON:
            _gateway(here, http, tally, "rank", text)
            _rest(here, http, tally, "/v1/models/ssrec:predict", text)
        for odd in ODD:
            for body in (
                {"inputs": odd},
                {"instances": odd},
                {"signature_name": odd, "inputs": {"text": ["a"]}},
                {"signature_name": "embed", "inputs": {"text": odd}},
                {"signature_name": "recommend", "inputs": {"behaviour": ["a"], "k": odd}},
            ):
                content = json.dumps(body).encode()
                _rest(here, http, tally, "/v1/models/ssrec:predict", content)
        for path in _PATHS:
            _rest(here, http, tally, path, b"{}")
    _fixed_client(here, tally)
    _fixed_grpc(here, tally)


_NOT_JSON = (
    *(b"", b"{", b"}", b"nul", b"\xff\xfe\x00", b'{"a":1}{"a":1}', b"[" * 60_000),
    *(b'{"a":' * 9_000, b'"' * 9, b'{"k": 1e999}', b'{"k": -}', b"\x00" * 100, b'{"\\ud800": 1}'),
)
_PATHS = (
    *("/", "/v1", "/v1/models/", "/v1/models/x:predict", "/v1/models/ssrec:explode"),
    *(
        "/v1/models/ssrec/versions/99999999999999999999:predict",
        "/v1/models/ssrec/labels/x:predict",
    ),
    *("/v1/models/%00:predict", "/v1/models/ssrec:classify", "/v1/models/../../etc/passwd"),
)


def _fixed_client(here: World, tally: Tally) -> None:
    for transport in (GrpcTransport(here.grpc), RestTransport(here.rest)):
        client = Client(transport)
        texts = [odd for odd in ODD if isinstance(odd, str)]
        for text in texts:
            _client(tally, repr(text), lambda t=text, c=client: c.score([t], [t]))  # type: ignore[misc]
            _client(tally, repr(text), lambda t=text, c=client: c.rank(t, [t], [t]))  # type: ignore[misc]
        for k in (0, -1, 10**6, 2**31 - 1):
            _client(tally, f"k={k}", lambda k=k, c=client: c.recommend(["a"], k))  # type: ignore[misc]
        _client(tally, "lengths", lambda c=client: c.score(["a"], ["b", "c"]))  # type: ignore[misc]
        _client(tally, "empty", lambda c=client: c.score([], []))  # type: ignore[misc]
        _client(tally, "ratings", lambda c=client: c.rank("", ["a"], ["b"], [1.0, 2.0]))  # type: ignore[misc]
        client.close()


def _fixed_grpc(here: World, tally: Tally) -> None:
    rng = random.Random(3)  # noqa: S311 - cases, not secrets
    with grpc.insecure_channel(here.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for signature, name, dtype in itertools.product(
            ("", "rank", "embed", "none"), ("text", "behaviour", "k", ""), range(0, 24, 3)
        ):
            request = predict_pb2.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = "ssrec", signature
            proto = tensor_pb2.TensorProto(dtype=dtype, tensor_content=rng.randbytes(8))
            for _ in range(rng.randrange(3)):
                proto.tensor_shape.dim.add(size=rng.choice([-1, 0, 1, 2**40]))
            request.inputs[name].CopyFrom(proto)
            _grpc(stub, tally, request)
        _grpc(stub, tally, predict_pb2.PredictRequest())


def generated(here: World, tally: Tally, count: int, seed: int) -> None:
    """Cases by hypothesis: any JSON, and requests with any JSON in one place."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st

    # Half a surrogate pair can be written in JSON, not in UTF-8: json.dumps escapes it.
    leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
    anything = st.recursive(
        leaf,
        lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=9), part),
        max_leaves=12,
    )
    places = [(route, path) for route, good in GOOD.items() for path in paths(good)]
    rest = ("serving_default", "rank", "embed", "recommend")

    with httpx2.Client(trust_env=False, timeout=30.0) as http:

        @seeded(seed)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.sampled_from(places), anything, st.sampled_from(rest), st.integers(0, 3))
        def ask(place: Any, value: Any, signature: str, door: int) -> None:
            route, path = place
            if door:
                content = json.dumps(put(GOOD[route], path, value)).encode()
                _gateway(here, http, tally, route, content)
            else:
                body = {"signature_name": signature, "inputs": value}
                content = json.dumps(body).encode()
                _rest(here, http, tally, "/v1/models/ssrec:predict", content)

        ask()


_COMMANDS: tuple[list[str], ...] = (
    *(["up"], ["up", "nowhere"], ["up", ".", "--port", "x"], ["check", "nowhere"], ["explode"]),
    *(["gateway", "nowhere.yaml"], ["gateway", "pyproject.toml"], ["key", "two words"], []),
    *(["verify", ".", "--key", "none"], ["sign", "nowhere", "--key", "none"]),
    *(["configs", "/proc/none"], ["configs", "x", "--batch-sizes", "a"]),
    *(["rollback", "nowhere", "--config", "none"], ["release", ".", "--config", "none"]),
    *(["release", "nowhere", "--config", "none", "--stable", "1"],),
    *(["admit", "nowhere", "x", "--key", "none"], ["keys", "/proc/a", "/proc/b"]),
)


def command_line(tally: Tally) -> None:
    """Commands that cannot be; in this process, for a start of Python is not what is measured."""
    import serving.gateway_settings  # noqa: F401 - a first import is not what is measured
    from serving.__main__ import main

    for arguments in _COMMANDS:

        def work(arguments: list[str] = arguments) -> str:
            said = io.StringIO()
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
                try:
                    code: Any = main(arguments)
                except SystemExit as error:  # of argparse
                    code = error.code
            text = said.getvalue()
            if "Traceback" in text or code not in (1, 2):
                return f"exit {code}: {text[-200:]}"
            return "" if "error:" in text else f"nothing said: {text[-200:]}"

        tally.timed("command", " ".join(arguments), work)


def measure(cases: int, seed: int, folder: Path | None = None) -> dict[str, Any]:
    """Knock at every door."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as name:
        if folder is None:
            folder = Path(name) / "served"
            folder.mkdir()
            save_toy(folder, 1)
        with world(folder) as here:
            fixed(here, tally)
            command_line(tally)
            before = sum(tally.cases.values())
            generated(here, tally, cases, seed)
            alive = all(Path(f"/proc/{pid}").exists() for pid in here.pids.values())
            logs = "".join((here.logs / f"{x}.log").read_text() for x in ("server", "gateway"))
    return {
        "fixed": before,
        "generated": sum(tally.cases.values()) - before,
        "doors": dict(tally.cases),
        "bad": len(tally.bad),
        "examples_of_bad": tally.bad[:10],
        "slowest_s": round(tally.slowest, 3),
        "alive": alive,
        "tracebacks": logs.count("Traceback"),
    }


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="generated ones")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--served", type=Path, help="folder of versions, say served/ssrec")
    parsed = parser.parse_args()
    print(json.dumps(measure(parsed.cases, parsed.seed, parsed.served)))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
