"""Batches: what is run together, what is refused, and that nobody's answer changes."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from serving.batching import Batcher, BatchingParameters, read_parameters
from serving.client import Client, GrpcTransport
from serving.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from serving.server_configs import batching_message, write
from serving.up import Endpoint, free_port, stand_in

LONG = 60_000_000  # microseconds: only a full batch is run


class Recorder:
    """A graph that doubles, and remembers what it was given."""

    def __init__(self):
        self.seen, self.lock = [], threading.Lock()

    def __call__(self, inputs):
        with self.lock:
            self.seen.append({name: value.tolist() for name, value in inputs.items()})
        return {"y": inputs["x"] * 2}


@pytest.fixture
def batcher():
    made = []

    def make(**parameters):
        made.append(Batcher(BatchingParameters(num_batch_threads=2, **parameters)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def ask(batcher, run, *many, key="k"):
    """Ask with each of `many`, one after the other into the queue; outputs or errors, in order."""
    with ThreadPoolExecutor(len(many)) as pool:
        futures = []
        for inputs in many:
            futures.append(pool.submit(batcher.run, key, inputs, run))
            time.sleep(0.05)
        return [future.exception() or future.result()["y"].tolist() for future in futures]


def rows(*values):
    return {"x": np.array(values)}


def test_a_full_batch_is_run_once_and_each_gets_his_own(batcher):
    run = Recorder()
    answers = ask(batcher(max_batch_size=4, batch_timeout_micros=LONG), run, rows(1, 2), rows(3, 4))
    assert answers == [[2, 4], [6, 8]]
    assert run.seen == [{"x": [1, 2, 3, 4]}]


def test_what_does_not_fit_goes_into_the_next(batcher):
    run = Recorder()
    made = batcher(max_batch_size=3, batch_timeout_micros=300_000)
    assert ask(made, run, rows(1, 2), rows(3, 4), rows(5)) == [[2, 4], [6, 8], [10]]
    assert run.seen == [{"x": [1, 2]}, {"x": [3, 4, 5]}]


def test_what_waited_is_run_though_nobody_came(batcher):
    run, began = Recorder(), time.monotonic()
    assert ask(batcher(batch_timeout_micros=200_000), run, rows(1)) == [[2]]
    assert time.monotonic() - began >= 0.2
    assert ask(batcher(batch_timeout_micros=0), run, rows(1), rows(2)) == [[2], [4]]
    assert run.seen == [{"x": [1]}, {"x": [1]}, {"x": [2]}]


def test_an_allowed_size_is_filled_with_the_last_requests_first_row(batcher):
    run = Recorder()
    made = batcher(max_batch_size=8, batch_timeout_micros=300_000, allowed_batch_sizes=(2, 5, 8))
    assert ask(made, run, rows(1), rows(2, 3)) == [[2], [4, 6]]
    assert run.seen == [{"x": [1, 2, 3, 2, 2]}]


def test_other_keys_are_other_batches(batcher):
    run, made = Recorder(), batcher(max_batch_size=2, batch_timeout_micros=200_000)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda key: made.run(key, rows(key), run)["y"].tolist(), (1, 2)))
    assert found == [[2], [4]]
    assert sorted(seen["x"] for seen in run.seen) == [[1], [2]]


def test_unequal_lengths_fail_together_or_are_padded_with_the_first_element(batcher):
    run = Recorder()
    short, long = {"x": np.array([[7, 8]])}, {"x": np.array([[1, 2, 3, 4]])}
    answers = ask(batcher(max_batch_size=2, batch_timeout_micros=LONG), run, short, long)
    assert [type(answer) for answer in answers] == [FailedPrecondition] * 2
    assert "'x' from different tasks have different shapes" in str(answers[0])
    padding = batcher(max_batch_size=2, batch_timeout_micros=LONG, pad_variable_length_inputs=True)
    assert ask(padding, run, short, long) == [[[14, 16, 14, 14]], [[2, 4, 6, 8]]]
    empty = {"x": np.zeros([1, 0])}
    answers = ask(padding, run, empty, long)
    assert [type(answer) for answer in answers] == [InvalidArgument] * 2


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": np.array(1)}, "at least one dimension"),
        ({"x": np.zeros(2), "z": np.zeros(3)}, "equal 0th-dimension"),
        ({"x": np.zeros(9)}, "Task size 9 is larger"),
    ],
)
def test_what_cannot_be_batched_is_refused_at_once(batcher, inputs, message):
    made = batcher(max_batch_size=8, batch_timeout_micros=LONG)
    with pytest.raises(InvalidArgument, match=message):
        made.run("k", inputs, Recorder())


@pytest.mark.parametrize(
    ("output", "message"),
    [(lambda x: x[:1], "does not equal the sum"), (lambda x: np.array(1), "0 dimensions")],
)
def test_an_output_that_cannot_be_dealt_out(batcher, output, message):
    made = batcher(max_batch_size=2, batch_timeout_micros=LONG)
    answers = ask(made, lambda inputs: {"y": output(inputs["x"])}, rows(1), rows(2))
    assert all(isinstance(answer, FailedPrecondition) for answer in answers)
    assert message in str(answers[1])


def test_the_graphs_error_is_everybodys(batcher):
    def fail(inputs):
        raise RuntimeError(f"no {inputs['x'].tolist()}")

    made = batcher(max_batch_size=2, batch_timeout_micros=LONG)
    assert [str(error) for error in ask(made, fail, rows(1), rows(2))] == ["no [1, 2]"] * 2
    assert ask(made, Recorder(), rows(1), rows(2)) == [[2], [4]]  # the threads live on


def test_a_full_queue_refuses_and_closing_answers_what_waits(batcher):
    made = batcher(max_batch_size=1, batch_timeout_micros=0, max_enqueued_batches=1)
    running, go = threading.Semaphore(0), threading.Event()

    def slow(inputs):
        running.release()
        go.wait(20)
        return {"y": inputs["x"] * 2}

    with ThreadPoolExecutor(3) as pool:
        busy = []
        for _ in range(2):
            busy.append(pool.submit(made.run, "k", rows(1), slow))
            assert running.acquire(timeout=20)
        waiting = pool.submit(made.run, "k", rows(3), slow)
        while not made._queues:
            time.sleep(0.01)
        with pytest.raises(Unavailable, match="is full; task size is 1"):
            made.run("k", rows(4), slow)
        go.set()
        made.close()
        assert [future.result()["y"].tolist() for future in (*busy, waiting)] == [[2], [2], [6]]
    with pytest.raises(Unavailable, match="going down"):
        made.run("k", rows(1), slow)


def test_the_files_that_we_write_are_read(tmp_path):
    write(tmp_path / "b", batching_message([1, 4, 16], 3))
    assert read_parameters(tmp_path / "b") == BatchingParameters(16, 2000, 12, 3, (1, 4, 16), False)
    (tmp_path / "b").write_text("")
    assert read_parameters(tmp_path / "b").max_batch_size == 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size { value: 8 }\nallowed_batch_sizes: 4", "must match max_batch_size"),
        ("max_batch_size { value: 0 }", "at least 1"),
        ("unheard_of: 1", "is no BatchingParameters"),
    ],
)
def test_a_file_that_the_server_would_refuse(tmp_path, text, message):
    (tmp_path / "b").write_text(text)
    with pytest.raises(InvalidArgument, match=message):
        read_parameters(tmp_path / "b")
    with pytest.raises(NotFound):
        read_parameters(tmp_path / "none")


def test_answers_of_a_batching_server_are_those_of_one_that_does_not(toy, tmp_path):
    write(tmp_path / "b", batching_message([4, 16], 2, timeout_micros=20_000))
    where = Endpoint(free_port(), free_port(), "toy", "stand-in", batching=tmp_path / "b")
    names = ["Heat", "Toy Story", "x", "电影"] * 8

    def score(place):
        behaviour = ["u" * (place % 5)] * 2
        return client.score(behaviour, [names[place], "Heat"])["rating"].tolist()

    with stand_in(toy, where):
        transport = GrpcTransport(f"127.0.0.1:{where.grpc_port}", "toy")
        client = Client(transport)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(score, range(len(names))))
            lists = list(pool.map(lambda k: client.recommend(["a"], k), (1, 3, 2)))
        scalar = {"text": np.array([b"a"], object), "k": np.array(1, np.int32)}
        with pytest.raises(InvalidArgument, match="at least one dimension"):
            transport.predict("first", scalar)
        transport.close()
    worth = {"Heat": 4.0, "Toy Story": 5.0}
    assert found == [
        [worth.get(name, 3.0) + 0.25 + i % 5, 4.25 + i % 5] for i, name in enumerate(names)
    ]
    assert [lists[0][0][0], lists[2][0][1]] == [("Toy Story", 5.25), ("Heat", 4.25)]
