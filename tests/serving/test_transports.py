"""Both transports, awaited and not: what they share beyond the calls of the client."""

import asyncio
import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.client import (
    AsyncClient,
    AsyncGrpcTransport,
    AsyncRestTransport,
    Client,
    GrpcTransport,
    RestTransport,
)
from serving.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    NotReady,
    Overloaded,
    ServingError,
    Unavailable,
)
from serving.retrying import NO_RETRIES, Retries
from serving.up import free_port
from serving.wire import VersionState, Which, load_credentials, states_of_json

HEAT = {"text": np.array([b"Heat"], dtype=object)}
KINDS = ["grpc", "rest", "async grpc", "async rest"]


class Awaited:
    """An asynchronous client with the calls of the other one."""

    def __init__(self, make):
        self._loop = asyncio.new_event_loop()
        self.inner = self._run(self._make(make))

    def __getattr__(self, name):
        return lambda *args, **more: self._run(getattr(self.inner, name)(*args, **more))

    def _run(self, work):
        return self._loop.run_until_complete(work)

    async def _make(self, make):
        return make()

    def close(self):
        self._run(self.inner.close())
        self._loop.close()


def connect(kind, grpc_port, rest_port, model="toy", **options):
    address, url = f"127.0.0.1:{grpc_port}", f"http://127.0.0.1:{rest_port}"
    if kind == "grpc":
        return GrpcTransport(address, model, **options)
    if kind == "rest":
        return RestTransport(url, model, **options)
    if kind == "async grpc":
        return Awaited(lambda: AsyncGrpcTransport(address, model, **options))
    return Awaited(lambda: AsyncRestTransport(url, model, **options))


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def transport(kind, endpoint):
    made = connect(kind, endpoint.grpc_port, endpoint.rest_port)
    yield made
    made.close()


def test_predict_and_states(transport, kind):
    outputs = transport.predict("embed", HEAT, timeout=20.0)
    assert next(iter(outputs.values())).tolist() == [[4.0, 4.25]]
    assert outputs.version == (3 if "grpc" in kind else None)
    assert transport.states() == [VersionState(3, "AVAILABLE", "")]


def test_a_version_may_be_asked_by_number(transport):
    assert next(iter(transport.predict("embed", HEAT, which=Which(3)).values())).shape == (1, 2)
    with pytest.raises(NotFound, match="2"):
        transport.predict("embed", HEAT, which=Which(2))
    with pytest.raises(InvalidArgument, match="label"):
        transport.predict("embed", HEAT, which=Which(label="canary"))


def test_the_asynchronous_client_gives_what_the_other_one_gives(endpoint):
    address = f"127.0.0.1:{endpoint.grpc_port}"

    async def ask():
        async with AsyncClient(AsyncGrpcTransport(address, "toy")) as client:
            assert await client.wait_until_ready(5.0) == [3]
            return (
                await client.score(["ab"], ["Heat"]),
                await client.rank("u", ["Heat"], ["?", "Heat"], [2.0], [0], 0),
                await client.embed(["Heat"]),
                await client.recommend(["a"], 2),
            )

    with Client(GrpcTransport(address, "toy")) as client:
        expected = (
            client.score(["ab"], ["Heat"]),
            client.rank("u", ["Heat"], ["?", "Heat"], [2.0], [0], 0),
            client.embed(["Heat"]),
            client.recommend(["a"], 2),
        )
    for mine, other in zip(asyncio.run(ask()), expected, strict=True):
        np.testing.assert_equal(mine, other)


def test_many_requests_at_once_over_one_channel(endpoint):
    async def ask():
        async with AsyncClient(
            AsyncGrpcTransport(f"127.0.0.1:{endpoint.grpc_port}", "toy")
        ) as client:
            return await asyncio.gather(*(client.score(["a" * n], ["Heat"]) for n in range(50)))

    ratings = [float(answer["rating"][0]) for answer in asyncio.run(ask())]
    assert ratings == [4.25 + n for n in range(50)]


class Flaky(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers with the statuses it was given, then with nothing in it."""

    def __init__(self, *codes):
        self.codes, self.seen = list(codes), []

    def Predict(self, request, context):  # noqa: N802
        self.seen.append(context.time_remaining())
        if self.codes:
            context.abort(self.codes.pop(0), "as told")
        return predict_pb2.PredictResponse()


@pytest.fixture
def flaky():
    made = []

    def start(*codes):
        servicer, server = Flaky(*codes), grpc.server(_pool())
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        made.append(server)
        return servicer, port

    yield start
    for server in made:
        server.stop(None)


def _pool():
    from concurrent import futures

    return futures.ThreadPoolExecutor(2)


@pytest.mark.parametrize("kind", ["grpc", "async grpc"])
def test_unavailable_is_tried_again_within_one_deadline(kind, flaky):
    down = grpc.StatusCode.UNAVAILABLE
    servicer, port = flaky(down, down)
    connect(kind, port, 0, retries=Retries(3, 0.02, 0.02)).predict("embed", HEAT, timeout=5.0)
    assert len(servicer.seen) == 3
    assert max(servicer.seen) <= 5.1  # seconds left, told to the server


@pytest.mark.parametrize("kind", ["grpc", "async grpc"])
@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Overloaded),
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidArgument),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
        (grpc.StatusCode.INTERNAL, ServingError),
    ],
)
def test_what_the_server_decided_is_not_asked_again(kind, flaky, code, error):
    servicer, port = flaky(code)
    with pytest.raises(error, match="as told"):
        connect(kind, port, 0).predict("embed", HEAT)
    assert len(servicer.seen) == 1


def test_nobody_there_ends_before_the_deadline(kind):
    transport = connect(kind, free_port(), free_port(), retries=Retries(3, 0.05, 0.05))
    began = time.monotonic()
    with pytest.raises(Unavailable):
        transport.predict("embed", HEAT, timeout=10.0)
    assert time.monotonic() - began < 2.0


class Slow(BaseHTTPRequestHandler):
    """Sends its answer a byte at a time; counts the connections."""

    protocol_version = "HTTP/1.1"
    connections: set[int] = set()  # noqa: RUF012
    pause = 0.0
    body = b'{"outputs": [[1.0]]}'
    status = 200

    def do_POST(self):
        self.connections.add(self.client_address[1])
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the client has gone at its deadline
            for place in range(len(self.body)):
                time.sleep(self.pause)
                self.wfile.write(self.body[place : place + 1])
                self.wfile.flush()

    def log_message(self, format, *args):
        pass


@pytest.fixture
def slow():
    handler = type("Handler", (Slow,), {"connections": set()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield handler, server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", ["rest", "async rest"])
def test_connections_are_reused(kind, slow):
    handler, port = slow
    transport = connect(kind, 0, port)
    for _ in range(5):
        transport.predict("embed", HEAT)
    transport.close()
    assert len(handler.connections) == 1


@pytest.mark.parametrize("kind", ["rest", "async rest"])
def test_an_answer_that_trickles_ends_at_the_deadline(kind, slow):
    handler, port = slow
    handler.pause = 0.1  # 2 s in all, each byte in time
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        connect(kind, 0, port, retries=NO_RETRIES).predict("embed", HEAT, timeout=0.4)
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("kind", ["rest", "async rest"])
@pytest.mark.parametrize(("status", "error"), [(429, Overloaded), (503, Unavailable)])
def test_statuses_have_their_types(kind, slow, status, error):
    handler, port = slow
    handler.status, handler.body = status, b'{"error": "as told"}'
    with pytest.raises(error, match="as told"):
        connect(kind, 0, port, retries=NO_RETRIES).predict("embed", HEAT)


def test_ready_tells_loading_from_nobody(endpoint):
    class Loading:
        def __init__(self, *states):
            self.answers = list(states)

        def states(self):
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

    loading, there = [VersionState(4, "LOADING")], [VersionState(4, "AVAILABLE")]
    with pytest.raises(NotReady, match="4 LOADING"):
        Client(Loading(loading)).ready()
    with pytest.raises(NotReady, match="no such model yet"):
        Client(Loading(NotFound("ssrec"))).ready()
    assert Client(Loading(Unavailable("x"), loading, there)).wait_until_ready(5.0) == [4]
    with pytest.raises(NotReady):
        Client(Loading(loading)).wait_until_ready(0.2)


def test_statuses_of_somebody_else():
    for body in ({}, [], {"model_version_status": [{"version": "x"}]}):
        with pytest.raises(ServingError, match="check the address"):
            states_of_json(body)


def test_which_is_one_of_two():
    with pytest.raises(InvalidArgument, match="one of the two"):
        Which(3, "stable")


def test_credentials_that_cannot_be_read(tmp_path):
    with pytest.raises(NotFound, match=r"ca\.pem cannot be read"):
        load_credentials(tmp_path / "ca.pem")
    (tmp_path / "ca.pem").write_text("x")
    with pytest.raises(InvalidArgument, match="belong together"):
        load_credentials(tmp_path / "ca.pem", tmp_path / "cert.pem")
