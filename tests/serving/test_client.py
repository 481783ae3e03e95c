import socket
import threading
from dataclasses import replace

import numpy as np
import pytest

from serving.client import Client, GrpcTransport, RestTransport
from serving.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ServingError,
    Unavailable,
)


def connect(kind, endpoint, model="toy", timeout=20.0):
    if kind == "grpc":
        return GrpcTransport(f"127.0.0.1:{endpoint.grpc_port}", model, timeout=timeout)
    return RestTransport(f"http://127.0.0.1:{endpoint.rest_port}/", model, timeout=timeout)


@pytest.fixture(params=["grpc", "rest"])
def kind(request):
    return request.param


@pytest.fixture
def client(kind, endpoint):
    client = Client(connect(kind, endpoint))
    yield client
    client.close()


def test_score(client):
    scores = client.score(["ab", ""], ["Heat", "?"])
    np.testing.assert_array_equal(scores["rating"], [6.25, 3.25])
    np.testing.assert_array_equal(scores["click_probability"], [0.78125, 0.40625])


def test_rank(client):
    # By hand: table + 0.25 + the sum of the ratings (2 and none).
    ranked = client.rank("u", ["Heat", "x"], ["?", "Toy Story", "Heat"], [2.0, 0.0])
    np.testing.assert_array_equal(ranked["rating"], [5.25, 7.25, 6.25])
    assert ranked["ranking"].tolist() == [1, 2, 0]


def test_rank_without_ratings_or_history(client):
    assert client.rank("", [], ["Heat"])["rating"].tolist() == [4.25]
    assert client.rank("", ["Heat"], ["Heat"])["rating"].tolist() == [4.25]


def test_rank_tells_moments_to_the_second(client):
    # By hand: 4.25, and a point for each whole hour since the newest event; a float32 of
    # seconds since 1970 is only right to a minute.
    newest = 881_250_949
    for now, hours in ((newest + 7199, 1), (newest + 7200, 2)):
        answer = client.rank("", ["x", "y"], ["Heat"], None, [newest - 5, newest], now)
        assert answer["rating"].tolist() == [4.25 + hours]
    assert client.rank("", [], ["Heat"], now=7200)["rating"].tolist() == [6.25]


def test_embed(client):
    np.testing.assert_array_equal(client.embed(["Heat", "电影"]), [[4.0, 4.25], [3.0, 3.25]])


def test_recommend(client):
    rows = client.recommend(["a", "b"], 3)
    assert rows[1] == [("Toy Story", 5.25), ("Heat", 4.25), ("电影\x00.", 3.25)]
    assert len(rows) == 2


def test_lengths_that_differ(client):
    with pytest.raises(InvalidArgument, match="history_ratings has 2 values but history 1"):
        client.rank("", ["Heat"], ["Heat"], [1.0, 2.0])
    with pytest.raises(InvalidArgument, match="history_ratings has 0 values but history 1"):
        client.rank("", ["Heat"], ["Heat"], [])
    with pytest.raises(InvalidArgument, match="history_times has 2 values but history 1"):
        client.rank("", ["Heat"], ["Heat"], history_times=[1, 2])


def test_ratings_may_be_an_array(client):
    answer = client.rank("", ["x", "y"], ["Heat"], np.array([1.5, 0.5]))
    assert answer["rating"].tolist() == [6.25]


def test_refusals_have_their_types(client, kind, endpoint):
    with pytest.raises(InvalidArgument, match="k is larger"):
        client.recommend(["a"], 9)
    with pytest.raises(NotFound, match="films"):
        Client(connect(kind, endpoint, model="films")).embed(["a"])
    unknown = FailedPrecondition if kind == "grpc" else InvalidArgument
    with pytest.raises(unknown, match='"none" not found'):
        connect(kind, endpoint).predict("none", {"text": np.array([b"a"], dtype=object)})


def test_nobody_there(kind, endpoint):
    from serving.up import free_port

    nowhere = replace(endpoint, grpc_port=free_port(), rest_port=free_port())
    with pytest.raises(Unavailable):
        Client(connect(kind, nowhere)).embed(["a"])


@pytest.fixture
def silent(endpoint):
    """A server that takes connections and says nothing, on both ports."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        port = listener.getsockname()[1]
        yield replace(endpoint, grpc_port=port, rest_port=port)


def test_no_answer_in_time(kind, silent):
    with pytest.raises(DeadlineExceeded):
        Client(connect(kind, silent, timeout=0.3)).embed(["a"])


def test_a_connection_that_breaks(endpoint):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(4)

        def hang_up():
            for _ in range(3):  # the client tries again
                listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        broken = replace(endpoint, rest_port=listener.getsockname()[1])
        with pytest.raises(Unavailable, match="cannot be reached"):
            Client(connect("rest", broken)).embed(["a"])
        thread.join()


def test_a_url_of_another_kind():
    with pytest.raises(InvalidArgument, match="url='ftp://models' must begin with http"):
        RestTransport("ftp://models")


def test_an_answer_beyond_grpcs_own_four_mebibytes(client):
    texts = ["x" * 50_000] * 100
    answer = client._transport.predict("echo", {"text": np.array(texts, dtype=object)})
    assert len(answer["text"]) == 100


def test_no_rating_is_sent_as_rest_can_say_it(endpoint):
    # NaN means none over gRPC; over REST it becomes 0, which means none too.
    client = Client(connect("rest", endpoint))
    assert client.rank("", ["x", "y"], ["Heat"], [float("nan"), 2.0])["rating"].tolist() == [6.25]


@pytest.mark.parametrize("text", ["", "<html>", "[]", "3", '{"predictions": []}'])
@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error", "503 Busy"])
def test_an_answer_of_somebody_else(endpoint, text, status):
    # Say, a proxy's page: an error of ours, never a KeyError.
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection = listener.accept()[0]
            connection.recv(65536)
            head = f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n\r\n"
            connection.sendall((head + text).encode())
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        elsewhere = replace(endpoint, rest_port=listener.getsockname()[1])
        with pytest.raises(Unavailable if status.startswith("503") else ServingError):
            Client(connect("rest", elsewhere)).embed(["a"])
        thread.join()


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.score(["a", "é"], ["Heat", "Toy Story"])["rating"],
        lambda client: client.rank("u", ["Heat"], ["x", "Heat"], [4.5])["rating"],
        lambda client: client.rank("u", ["Heat"], ["x", "Heat"], [4.5])["ranking"],
        lambda client: client.embed(["Heat", "\ud83d"]),
        lambda client: client.recommend(["", "a"], 2),
        lambda client: client.recommend(["a"], 0),
    ],
)
def test_both_transports_give_the_same(endpoint, call):
    answers = []
    for kind in ("grpc", "rest"):
        client = Client(connect(kind, endpoint))
        answers.append(np.asarray(call(client)).tolist())
        client.close()
    assert answers[0] == answers[1]
