"""A program's files, read back by hand: losses from the arrays alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.accelerator import drawn_weights
from benchmarks.ours import Stepper
from benchmarks.programs import write_program
from ssrec_tf.config import LoopConfig, OptimizerConfig, TrainConfig


class Line:
    """Least squares with a kernel large enough to be drawn, and a small one that is not."""

    def __init__(self):
        self.kernel = keras.Variable(np.full([2**16, 2], 0.5, np.float32), name="kernel")
        self.bias = keras.Variable(np.array([1.0, 2.0], np.float32), name="bias")
        self.trainable_variables = self.variables = [self.kernel, self.bias]

    def losses_of(self, batch, *, seed, training):
        made = tf.gather(self.kernel.value, batch["history_items"][:, 0]) + self.bias.value
        error = tf.reduce_sum((made - batch["target_ratings"]) ** 2)
        return {"loss": error + tf.cast(seed[1], tf.float32)}


def test_a_program_carries_what_its_losses_need(tmp_path):
    batches = [
        {
            "history_items": tf.constant([[4 + number], [7]], tf.int32),
            "target_ratings": tf.constant([[1.0, 2.0], [3.0, number]], tf.float32),
            "target_items": tf.constant([[1, 2], [3, 0]], tf.int32),
        }
        for number in range(2)
    ]
    config = TrainConfig(
        loop=LoopConfig(xla=True), optimizer=OptimizerConfig(learning_rate=1e-9, average=0.9)
    )
    side = Stepper(Line(), config, batches, 10)
    how = write_program(side, tmp_path / "0", losses=2)
    assert (tmp_path / "0.hlo").stat().st_size > 1000
    assert how["pairs"] == [3, 3]
    arrays = np.load(tmp_path / "0.npz")
    drawn = {number: drawn_weights(**one) for number, one in how["drawn"].items()}
    assert set(arrays) | {f"p{number}" for number in drawn} == {
        *(f"p{number}" for number in range(how["parameters"])),
        *(f"b1_{place}" for place in range(how["batch"])),
    }
    [kernel] = drawn.values()
    assert kernel.shape == (2**16, 2)
    assert (tmp_path / "0.npz").stat().st_size < kernel.nbytes / 4
    for number, loss in enumerate(how["losses"]):
        # Of the batch: items, then what they are to be, by name; the seed is last.
        prefix = "p" if number == 0 else "b1_"
        parts = [arrays[f"{prefix}{place}"] for place in range(how["batch"])]
        items, _, ratings, seed = parts
        expected = ((kernel[items[:, 0]] + [1.0, 2.0] - ratings) ** 2).sum() + seed[1]
        assert seed.tolist() == [7, number]
        assert loss == pytest.approx(expected, rel=1e-5)
