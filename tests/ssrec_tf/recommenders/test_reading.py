"""How candidates look at a behaviour: by formulas, worked out event by event."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.recommenders.reading import (
    HEADS,
    NeuralReading,
    attend,
    fading_weights,
    residual_of_alike,
)

BATCH, HISTORY, TARGETS, WIDTH = 2, 5, 3, 8


def reading(seed=0):
    rng = np.random.default_rng(seed)
    mask = np.array([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]], np.float32)
    directions = rng.normal(size=(BATCH, HISTORY, 4))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    values = {
        "keys": rng.normal(size=(BATCH, HISTORY, WIDTH)),
        "values": rng.normal(size=(BATCH, HISTORY, WIDTH)),
        "directions": directions,
        "residuals": rng.normal(size=(BATCH, HISTORY)) * mask,
        "mask": mask,
        "user": rng.normal(size=(BATCH, WIDTH)),
        "bias": rng.normal(size=BATCH),
        "facts": rng.normal(size=(BATCH, 3)),
    }
    return NeuralReading(**{name: tf.constant(value, tf.float32) for name, value in values.items()})


def test_attention_event_by_event():
    read = reading()
    query = np.random.default_rng(1).normal(size=(BATCH, TARGETS, WIDTH)).astype(np.float32)
    taken, above = attend(read, tf.constant(query))
    part = WIDTH // HEADS
    for target in range(TARGETS):
        for head in range(HEADS):
            cut = slice(head * part, (head + 1) * part)
            keys, values = read.keys.numpy()[0, :3, cut], read.values.numpy()[0, :3, cut]
            share = np.exp(keys @ query[0, target, cut] / np.sqrt(part))
            share /= share.sum()
            assert taken.numpy()[0, target, cut] == pytest.approx(share @ values, abs=1e-5)
            seen = share @ read.residuals.numpy()[0, :3]
            assert above.numpy()[0, target, head] == pytest.approx(seen, abs=1e-5)
    assert not taken.numpy()[1].any()  # an empty history gives nothing


def test_residual_of_alike_event_by_event():
    read = reading()
    rng = np.random.default_rng(2)
    wanted = rng.normal(size=(BATCH, TARGETS, 4)).astype(np.float32)
    wanted /= np.linalg.norm(wanted, axis=-1, keepdims=True)
    wanted[0, 2] = 0.0  # a text that says nothing is like no other
    found = residual_of_alike(read, tf.constant(wanted), tf.constant(3.0), tf.constant(2.0))
    for target in range(TARGETS):
        total, weights = 0.0, 2.0
        for event in range(3):
            cosine = float(read.directions.numpy()[0, event] @ wanted[0, target])
            weight = np.exp(3.0 * max(cosine, 0.0)) - 1.0
            total += weight * float(read.residuals.numpy()[0, event])
            weights += weight
        assert found.numpy()[0, target] == pytest.approx(total / weights, abs=1e-5)
    assert found.numpy()[0, 2] == 0.0
    assert not found.numpy()[1].any()


def test_fading_weights_by_hand():
    mask = tf.constant([[1.0, 1.0, 1.0, 0.0], [0.0] * 4])
    found = fading_weights(mask, tf.constant(0.5)).numpy()
    assert found[0] == pytest.approx(np.array([1, 2, 4, 0]) / 7, abs=1e-6)
    assert not found[1].any()
    vectors = np.random.default_rng(3).normal(size=(4, 3)).astype(np.float32)
    newest_first = vectors[2::-1]
    assert found[0] @ vectors == pytest.approx(np.array([4, 2, 1]) @ newest_first / 7, abs=1e-6)
