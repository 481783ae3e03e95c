"""An AdamW worked out by hand, and its learning rate."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.config import OptimizerConfig
from ssrec_tf.optimizers import make_optimizer


def test_adamw_by_hand():
    config = OptimizerConfig(learning_rate=0.1, warmup_steps=2, weight_decay=0.5, clip_norm=1.0)
    optimizer = make_optimizer(config, steps=12)
    kernel = keras.Variable([3.0, 4.0], name="kernel")
    bias = keras.Variable([1.0], name="bias")
    optimizer.build([kernel, bias])
    optimizer.apply([tf.constant([6.0, 8.0]), tf.constant([0.0])], [kernel, bias])
    # Warm-up: 0.1 * 1 / 2. Adam's first step is the sign of the gradient, whatever its
    # clipped size; decay takes rate * 0.5 of the kernel and nothing of the bias.
    rate = 0.05
    expected = [3.0 - rate * 0.5 * 3.0 - rate, 4.0 - rate * 0.5 * 4.0 - rate]
    assert kernel.numpy() == pytest.approx(expected, rel=1e-4)
    assert bias.numpy() == pytest.approx([1.0])


@pytest.mark.parametrize("average", [0.0, 0.8])
def test_two_batches_are_one_of_twice_the_size(average):
    ends = []
    for accumulate in (1, 2):
        config = OptimizerConfig(
            learning_rate=0.1, warmup_steps=0, decay=False, average=average, accumulate=accumulate
        )
        optimizer = make_optimizer(config, steps=100)
        kernel = keras.Variable([3.0, 4.0], name="kernel")
        optimizer.build([kernel])
        rng = np.random.default_rng(0)
        for _ in range(5):
            halves = rng.normal(size=(2, 2)).astype(np.float32)
            batches = halves if accumulate == 2 else halves.mean(axis=0, keepdims=True)
            for gradient in batches:
                optimizer.apply([tf.constant(gradient)], [kernel])
        if accumulate == 2 and average:  # the mean has met the last weights once, not twice
            optimizer._update_model_variables_moving_average([kernel])
        if average:
            optimizer.finalize_variable_values([kernel])
        ends.append(kernel.numpy())
    assert ends[1] == pytest.approx(ends[0], abs=1e-5)


@pytest.mark.parametrize(("decay", "expected"), [(True, 0.05), (False, 0.1)])
def test_the_rate_decays_unless_it_is_told_not_to(decay, expected):
    config = OptimizerConfig(learning_rate=0.1, warmup_steps=2, decay=decay)
    optimizer = make_optimizer(config, steps=12)
    optimizer.iterations.assign(7)  # half of the ten steps behind the warm-up
    assert float(optimizer.learning_rate) == pytest.approx(expected)
