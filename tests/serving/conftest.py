"""A SavedModel small enough to compute by hand, with what restoring one can lose."""

from pathlib import Path

import pytest
import tensorflow as tf

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
