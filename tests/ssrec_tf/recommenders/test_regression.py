"""The regressions against NumPy's solver, refitted without each row."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.recommenders.regression import left_out, observe, posterior_mean

WIDTH, ROWS = 4, 7
PRECISION = np.array([3.0, 1.0, 0.5, 2.0])


def drawn(seed=0):
    rng = np.random.default_rng(seed)
    design, answers = rng.normal(size=(2, 3, ROWS, WIDTH)), rng.normal(size=(2, 3, ROWS))
    return design, answers, rng.normal(size=(2, 3, WIDTH))


def floats(values):
    return tf.constant(values, tf.float32)


def by_hand(design, answers, prior):
    penalty = np.diag(PRECISION)
    return np.linalg.solve(design.T @ design + penalty, design.T @ answers + penalty @ prior)


def test_many_regressions_at_once_are_each_their_own():
    design, answers, prior = drawn()
    seen = observe(floats(design), floats(answers), floats(PRECISION))
    found = posterior_mean(seen, floats(PRECISION), floats(prior)).numpy()
    for place in np.ndindex(2, 3):
        wanted = by_hand(design[place], answers[place], prior[place])
        assert found[place] == pytest.approx(wanted, abs=1e-4)


def test_without_rows_the_prior_is_what_is_left():
    _, _, prior = drawn()
    nothing = observe(tf.zeros([2, 3, 0, WIDTH]), tf.zeros([2, 3, 0]), floats(PRECISION))
    assert posterior_mean(nothing, floats(PRECISION), floats(prior)).numpy() == pytest.approx(prior)


def test_each_row_is_answered_as_if_it_had_not_been_seen():
    design, answers, _ = drawn()
    prior = np.random.default_rng(1).normal(size=(2, 3, ROWS, WIDTH))  # of each row its own
    among = np.ones((2, 3, ROWS))
    among[..., -1] = 0.0  # asked only: it is not among what was seen
    kept = design * among[..., None]
    seen = observe(floats(kept), floats(answers * among), floats(PRECISION))
    parts = (floats(PRECISION), floats(prior), floats(design), floats(answers), floats(among))
    found = left_out(seen, *parts).numpy()
    for place in np.ndindex(2, 3, ROWS):
        *which, row = place
        others = [i for i in range(ROWS - 1) if i != row]
        rows, told = design[tuple(which)][others], answers[tuple(which)][others]
        wanted = design[place] @ by_hand(rows, told, prior[place])
        assert found[place] == pytest.approx(wanted, abs=1e-3)
