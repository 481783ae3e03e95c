"""Waves against the kernel they stand for."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.recommenders.moments import PACES, frequencies, waves_of

DAY, START = 86_400, 881_250_949


@pytest.mark.parametrize(("count", "tolerance"), [(6, 0.2), (400, 0.02)])
def test_waves_multiply_to_exponential_kernels(count, tolerance):
    gaps = np.array([0, 60, 600, 7_200, DAY, 3 * DAY, 20 * DAY])
    times = tf.constant([START + gaps], tf.int64)
    waves = waves_of(times, tf.constant([[START]], tf.int64), tf.constant(frequencies(count)))
    # Few waves of one pace meet again by chance; those of all paces seldom do together.
    scales = np.repeat(np.array([0.5, 1.0, 1.5, 0.7]), 2 * count)
    parts = waves.numpy()[0] * scales
    found = parts @ parts[0]
    sizes = scales[:: 2 * count] ** 2
    wanted = np.exp(-gaps[:, None] / DAY / np.array(PACES)) @ sizes
    assert found == pytest.approx(wanted, abs=tolerance * sizes.sum())
    assert found[0] == pytest.approx(sizes.sum(), rel=1e-5)


def test_it_does_not_matter_what_times_are_counted_from():
    times = tf.constant([[START, 881_254_000, 881_300_000]], tf.int64)
    products = []
    for moment in (START, 881_300_000, 881_260_000):
        origin = tf.constant([[moment]], tf.int64)
        waves = waves_of(times, origin, tf.constant(frequencies(2))).numpy()[0]
        products.append(waves @ waves.T)
    assert products[1] == pytest.approx(products[0], abs=2e-3)
    assert products[2] == pytest.approx(products[0], abs=2e-3)


def test_an_unknown_moment_is_not_felt():
    times = tf.constant([[0, START]], tf.int64)
    waves = waves_of(times, tf.constant([[START]], tf.int64), tf.constant(frequencies(2)))
    assert not waves.numpy()[0, 0].any()
    assert waves.numpy()[0, 1].any()
    still = waves_of(times, tf.constant([[0]], tf.int64), tf.constant(frequencies(0)))
    assert still.shape == (1, 2, 0)
