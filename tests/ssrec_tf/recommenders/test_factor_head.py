"""A pair scored by a factorization: what was met is told otherwise than what nobody met."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.recommenders.factor_head import FactorHead
from ssrec_tf.recommenders.reading import Items
from tests.ssrec_tf.recommenders.test_factors import ROW, STARTS, USER, K, factors_of, floats

COUNT = 6


def items(levels, by_text, speaks, seed=0):
    """Items of these levels, [batch, n] each, and of no loadings at all."""
    rng = np.random.default_rng(seed)
    shape = np.shape(levels)

    def rows(level):
        found = np.zeros((*shape, STARTS, ROW), np.float32)
        found[..., K] = np.asarray(level)[..., None]
        return found

    drawn = floats(rng.normal(size=(*shape, 3)))
    return Items(
        states=drawn,
        level=drawn[..., 0],
        next_states=drawn,
        next_level=drawn[..., 0],
        directions=tf.math.l2_normalize(drawn, axis=-1),
        as_met=drawn,
        as_found=drawn,
        factors=tf.constant(rows(levels)),
        factors_by_text=tf.constant(rows(by_text)),
        speaks=floats(speaks),
    )


def scored(world, speaks, ids=True):
    """Levels of candidates whose own level is 1 and whose texts tell 0, as of the history."""
    layer = factors_of(world, ids=ids)
    layer.user_prior.start.assign(tf.zeros_like(layer.user_prior.start))
    layer.user_prior.of_word.assign(tf.zeros_like(layer.user_prior.of_word))
    head = FactorHead(layer, [1, 1, 1])
    ones, zeros = np.ones((2, COUNT)), np.zeros((2, COUNT))
    history = items(ones, zeros, ones)
    mask = floats(ones * [[1.0], [0.0]])  # the second user did nothing
    times = tf.zeros([2, COUNT], tf.int64)
    reading = head.read(history, times, USER, (floats(ones), floats(zeros), mask))
    # A candidate that nobody met has no other row than its text's.
    candidates = items(np.asarray(speaks), np.zeros_like(speaks), speaks, seed=1)
    levels, strays = head.score(reading, candidates, tf.zeros([2, 1], tf.int64))
    assert levels.shape == strays.shape
    return levels.numpy()


def test_what_texts_leave_out_of_the_history_they_leave_out_of_a_new_item(world):
    found = scored(world, [[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    # Of met items a rating of 1 is what was to be expected: the user has no bias. By texts he
    # rated all a whole above what they tell, six times: of a bias held by 3 that is 6 / 9.
    assert found[0, [0, 2]] == pytest.approx(np.ones((2, STARTS)), abs=1e-5)
    assert found[0, 1] == pytest.approx(COUNT / (COUNT + 3.0), abs=1e-5)
    assert found[1, 0] == pytest.approx(1.0, abs=1e-5)
    assert found[1, 1:] == pytest.approx(0.0, abs=1e-5)


def test_each_kind_has_shares_of_its_own(world):
    layer = factors_of(world)
    head = FactorHead(layer, [1, 1, 1])
    ones = np.ones((2, COUNT))
    history = items(ones, np.zeros_like(ones), ones)
    labels = floats(2 * ones), floats(np.zeros_like(ones)), floats(ones)
    reading = head.read(history, tf.zeros([2, COUNT], tf.int64), USER, labels)
    candidates, now = items([[1.0, 0.0]] * 2, [[0.0, 0.0]] * 2, [[1.0, 0.0]] * 2), tf.zeros([2, 1])
    now = tf.cast(now, tf.int64)
    before = head.score(reading, candidates, now)[0].numpy()
    layer.shares.assign([[1.0, 1.0, 1.0, 0.0], [1.0, 0.5, 0.5, 0.0]])
    after = head.score(reading, candidates, now)[0].numpy()
    assert np.array_equal(after[:, 0], before[:, 0])
    assert after[:, 1] == pytest.approx(0.5 * before[:, 1], abs=1e-5)  # its level is 0


def test_where_ids_never_speak_there_is_one_reading(world):
    found = scored(world, [[1.0, 0.0], [1.0, 0.0]], ids=False)
    # As its row has it: 0 and no bias, for the history is read by its rows too.
    assert found[0, 1] == pytest.approx(0.0, abs=1e-5)
