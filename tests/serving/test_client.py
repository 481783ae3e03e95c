import socket
import threading

import numpy as np
import pytest

from serving.client import Client, GrpcTransport, RestTransport
from serving.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
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


def test_embed(client):
    np.testing.assert_array_equal(client.embed(["Heat", "电影"]), [[4.0, 4.25], [3.0, 3.25]])


def test_recommend(client):
    rows = client.recommend(["a", "b"], 3)
    assert rows[1] == [("Toy Story", 5.25), ("Heat", 4.25), ("电影\x00.", 3.25)]
    assert len(rows) == 2


def test_lengths_that_differ(client):
    with pytest.raises(InvalidArgument, match="history_ratings has 2 values but history 1"):
        client.rank("", ["Heat"], ["Heat"], [1.0, 2.0])


def test_refusals_have_their_types(client, kind, endpoint):
    with pytest.raises(InvalidArgument, match="k is larger"):
        client.recommend(["a"], 9)
    with pytest.raises(NotFound, match="films"):
        Client(connect(kind, endpoint, model="films")).embed(["a"])
    unknown = FailedPrecondition if kind == "grpc" else InvalidArgument
    with pytest.raises(unknown, match='"none" not found'):
        connect(kind, endpoint).predict("none", {"text": np.array([b"a"], dtype=object)})


def test_nobody_there(kind, endpoint):
    from dataclasses import replace

    from serving.up import free_port

    nowhere = replace(endpoint, grpc_port=free_port(), rest_port=free_port())
    with pytest.raises(Unavailable):
        Client(connect(kind, nowhere)).embed(["a"])


@pytest.fixture
def silent(endpoint):
    """A server that takes connections and says nothing, on both ports."""
    from dataclasses import replace

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        port = listener.getsockname()[1]
        yield replace(endpoint, grpc_port=port, rest_port=port)


def test_no_answer_in_time(kind, silent):
    with pytest.raises(DeadlineExceeded):
        Client(connect(kind, silent, timeout=0.3)).embed(["a"])


def test_a_connection_that_breaks(endpoint):
    from dataclasses import replace

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)

        def hang_up():
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        broken = replace(endpoint, rest_port=listener.getsockname()[1])
        with pytest.raises(Unavailable, match="cannot be reached"):
            Client(connect("rest", broken)).embed(["a"])
        thread.join()


def test_a_url_of_another_kind():
    with pytest.raises(InvalidArgument, match="url='file:///etc' must begin with http"):
        RestTransport("file:///etc")
