"""A SavedModel small enough to compute by hand, with what restoring one can lose."""

import json
import os
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import tensorflow as tf

from serving.check import real_up
from serving.up import Endpoint, free_port, stand_in

ITEMS = ("first", "second", "电影")
BIAS = (1.0, 2.5, -3.0, 0.125)
"""One a known item, then that of unknown items."""


class Toy(tf.Module):
    """rating = bias of the item + bytes of the behaviour; click = sigmoid(rating).

    The table is empty until the init op has run; the biases are lost unless restored.
    """

    def __init__(self):
        super().__init__()
        keys = tf.constant(ITEMS)
        values = tf.range(len(ITEMS), dtype=tf.int64)
        initializer = tf.lookup.KeyValueTensorInitializer(keys, values)
        self.table = tf.lookup.StaticHashTable(initializer, default_value=len(ITEMS))
        self.bias = tf.Variable(BIAS)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "behaviour"),
            tf.TensorSpec([None], tf.string, "item"),
        ]
    )
    def score(self, behaviour, item):
        length = tf.cast(tf.strings.length(behaviour), tf.float32)
        rating = tf.gather(self.bias, self.table.lookup(item)) + length
        return {"rating": rating, "click_probability": tf.sigmoid(rating)}


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory) -> Path:
    """The folder of version 1; its parent is what a server is given."""
    folder = tmp_path_factory.mktemp("toy") / "1"
    toy = Toy()
    tf.saved_model.save(toy, str(folder), signatures={"serving_default": toy.score})
    return folder


STRINGS = tf.TensorSpec([None], tf.string)
STRING_ROWS = tf.TensorSpec([None, None], tf.string)
TIME_ROWS = tf.TensorSpec([None, None], tf.int64)
RANK = [
    *(STRINGS, STRING_ROWS, tf.TensorSpec([None, None]), TIME_ROWS),
    *(tf.TensorSpec([None], tf.int64), STRING_ROWS),
]


class Ranker(tf.Module):
    """All signatures: a table gives Heat 4 and Toy Story 5, else 3; a variable adds."""

    def __init__(self, bias):
        super().__init__()
        pairs = tf.lookup.KeyValueTensorInitializer(["Heat", "Toy Story"], [4.0, 5.0])
        self.table = tf.lookup.StaticHashTable(pairs, 3.0)
        self.bias = tf.Variable(0.0)
        self.bias.assign(bias)  # differs from the initial value: only a restore brings it back

    def rate(self, items):
        return self.table.lookup(items) + self.bias

    @tf.function(input_signature=[STRINGS, STRINGS])
    def score(self, behaviour, item):
        rating = self.rate(item) + tf.cast(tf.strings.length(behaviour), tf.float32)
        return {"rating": rating, "click_probability": rating / 8.0}

    @tf.function(input_signature=RANK)
    def rank(self, user, history, history_ratings, history_times, now, candidates):
        known = tf.reduce_sum(history_ratings, axis=1) + 0.0 * self.rate(history[:, 0])
        hours = (now - tf.reduce_max(history_times, axis=1)) // 3600  # exact in int64 only
        known += tf.cast(hours, tf.float32)
        rating = self.rate(candidates) + known[:, None]
        rating += 0.0 * tf.cast(tf.strings.length(user), tf.float32)[:, None]
        ranking = tf.argsort(rating, direction="DESCENDING", stable=True)
        return {"rating": rating, "click_probability": rating / 8.0, "ranking": ranking}

    @tf.function(input_signature=[STRINGS])
    def embed(self, text):
        return {"vector": tf.stack([self.table.lookup(text), self.rate(text)], axis=1)}

    @tf.function(input_signature=[STRINGS, tf.TensorSpec([None], tf.int32)])
    def recommend(self, behaviour, k):
        tf.debugging.assert_less_equal(k, 3, message="k is larger than the catalogue")
        items = tf.constant(["Toy Story", "Heat", "电影\x00."])[: tf.reduce_max(k)]
        items = tf.tile(items[None], [tf.size(behaviour), 1])
        return {"items": items, "scores": self.rate(items)}

    @tf.function(input_signature=[STRINGS, tf.TensorSpec([], tf.int32)])
    def first(self, text, k):
        tf.debugging.assert_less_equal(k, 3, message="k is larger than 3")
        return {"text": text[:k]}

    @tf.function(input_signature=[STRINGS])
    def echo(self, text):
        return {"raw_bytes": tf.identity(text), "text": tf.strings.upper(text)}


def save_ranker(folder: Path, *, bias: float = 0.25, names=None) -> Path:
    model = Ranker(bias)
    signatures = {
        "serving_default": model.score,
        "rank": model.rank,
        "embed": model.embed,
        "recommend": model.recommend,
        "first": model.first,
        "echo": model.echo,
    }
    chosen = {name: f for name, f in signatures.items() if names is None or name in names}
    tf.saved_model.save(model, str(folder), signatures=chosen)
    return folder


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """A folder of versions; version 3 is the newest, notes are none."""
    base = tmp_path_factory.mktemp("served")
    save_ranker(base / "3")
    (base / "2").mkdir()
    (base / "notes").mkdir()
    return base


@contextmanager
def served(folder):
    """Serves `toy` out of a folder: by TensorFlow Serving where TF_MODEL_SERVER names it."""
    binary = os.environ.get("TF_MODEL_SERVER")
    where = Endpoint(free_port(), free_port(), "toy", binary or "stand-in")
    with real_up(binary, folder, where) if binary else stand_in(folder, where):
        yield where


@pytest.fixture(scope="session")
def endpoint(toy):
    """Serves version 3 while the tests run."""
    with served(toy) as where:
        yield where


@pytest.fixture
def inside():
    """What a test needs that looks into the server: nothing can be planted in a real one."""
    if os.environ.get("TF_MODEL_SERVER"):
        pytest.skip("asks the stand-in itself")


@pytest.fixture(scope="session")
def make_toy():
    return save_ranker


@pytest.fixture(scope="session")
def in_threads():
    """Run `work(0)` to `work(count - 1)` at once; give what they raised."""

    def run(work, count):
        errors = []

        def guarded(place):
            try:
                work(place)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=guarded, args=(place,)) for place in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return errors

    return run


CATALOGUE = [
    {"id": "h", "text": "Heat", "pieces": [["title", "Heat"]]},
    {"id": "t", "text": "Toy Story", "pieces": [["title", "Toy"], ["rest", " Story"]]},
    {"id": "f", "text": "电影\x00.", "pieces": [["title", "电影\x00."]]},
]
TRAFFIC = {
    "rows": 100,
    "features": {
        "history_length": {"edges": [2.0], "shares": [0.5, 0.5]},
        "unknown": {"edges": [0.5], "shares": [1.0, 0.0]},
    },
}


@pytest.fixture(scope="session")
def described(tmp_path_factory):
    """A folder of versions whose newest, 3, says what its catalogue is."""
    base = tmp_path_factory.mktemp("described")
    assets = save_ranker(base / "3") / "assets.extra"
    assets.mkdir()
    lines = [json.dumps(row) for row in CATALOGUE]
    (assets / "catalogue.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (assets / "traffic.json").write_text(json.dumps(TRAFFIC))
    return base
