"""The oracle is TensorFlow, one seed at a time."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf import philox

SEEDS = tf.constant([[7, 0], [7, 1], [-3, 2**40 + 5], [2**62, -(2**62)]], tf.int64)


def test_split_is_that_of_tensorflow():
    expected = [tf.random.experimental.stateless_split(seed, 3) for seed in SEEDS]
    np.testing.assert_array_equal(philox.split(SEEDS, 3), tf.stack(expected))


def test_fold_in_is_that_of_tensorflow():
    expected = [tf.random.experimental.stateless_fold_in(seed, 1) for seed in SEEDS]
    np.testing.assert_array_equal(philox.fold_in(SEEDS, 1), tf.stack(expected))


@pytest.mark.parametrize("count", [1, 2, 4, 5, 1023])
def test_uniform_is_that_of_tensorflow(count):
    expected = [tf.random.stateless_uniform([count], seed) for seed in SEEDS]
    np.testing.assert_array_equal(philox.uniform(SEEDS, count), tf.stack(expected))


def test_integers_are_those_of_tensorflow():
    high = tf.constant([2, 10, 1000, 1024])
    expected = [
        tf.random.stateless_uniform([], seed, 1, most, tf.int32)
        for seed, most in zip(SEEDS, high, strict=True)
    ]
    np.testing.assert_array_equal(philox.integers(SEEDS, 1, high), tf.stack(expected))


def test_a_seed_draws_alike_alone_and_beside_others():
    np.testing.assert_array_equal(philox.uniform(SEEDS[1:2], 9)[0], philox.uniform(SEEDS, 9)[1])
