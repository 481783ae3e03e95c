"""Heads and losses against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.config_objectives import TaskConfig
from ssrec_tf.objectives.heads import (
    ItemHead,
    RowsHead,
    draw_negatives,
    gbce,
    sampled_softmax,
    token_entropy,
)
from tests.ssrec_tf.objectives.conftest import ITEMS, SEED


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_smoothed_labels_by_hand(smoothing):
    logits, ids = np.array([[2.0, -1.0, 0.5], [-3.0, 1.0, 4.0]]), np.array([1, 2])
    log_share = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    labels = (1 - smoothing) * np.eye(3)[ids] + smoothing / 3
    found = token_entropy(tf.constant(ids), tf.constant(logits, tf.float32), smoothing)
    assert found.numpy() == pytest.approx(-(labels * log_share).sum(axis=1), rel=1e-5)


@pytest.mark.parametrize("calibration", [0.0, 0.5, 1.0])
def test_gbce_by_hand(calibration):
    logits = np.array([[2.0, -1.0, 0.5], [-3.0, 1.0, 4.0]])
    rate = 2 / 20  # two negatives of the twenty other items
    power = rate * (calibration * (1 - 1 / rate) + 1 / rate)
    expected = np.log(sigmoid(logits[:, 0]) ** power) + np.log(1 - sigmoid(logits[:, 1:])).sum(1)
    found = gbce(tf.constant(logits, tf.float32), 21, calibration)
    assert found.numpy() == pytest.approx(-expected / 3, rel=1e-5)


def test_sampled_softmax_is_the_full_one_where_all_are_drawn_and_scales_where_few_are():
    logits = np.array([[2.0, -1.0, 0.5]])
    full = np.log(np.exp(logits).sum()) - 2.0
    assert sampled_softmax(tf.constant(logits, tf.float32), 3).numpy() == pytest.approx([full])
    few = np.log(np.exp(2.0) + 10 * np.exp(logits[0, 1:]).sum()) - 2.0
    assert sampled_softmax(tf.constant(logits, tf.float32), 21).numpy() == pytest.approx([few])


def test_negatives_are_all_items_but_the_true_one():
    classes = tf.constant([[0, 3, 6]])
    drawn = draw_negatives(classes, 2000, 7, SEED).numpy()
    assert drawn.shape == (1, 3, 2000)
    for slot, truth in enumerate([0, 3, 6]):
        counts = np.bincount(drawn[0, slot], minlength=7)
        assert counts[truth] == 0
        assert np.delete(counts, truth) == pytest.approx([2000 / 6] * 6, rel=0.2)


def test_rows_are_the_token_embedding_s_and_a_few_score_as_all_do(encoder):
    first = encoder.vocabulary.first_rating_id
    head = RowsHead(encoder, first, 5, name="rating_head")
    head.bias.assign([1.0, 2.0, 3.0, 4.0, 5.0])
    assert np.array_equal(head.rows(), encoder.token_embedding.embeddings[first : first + 5])
    states = tf.random.stateless_normal([2, 3, encoder.width], [1, 2])
    few = tf.constant([[[4, 0]] * 3] * 2)
    assert head.score(states, few).numpy() == pytest.approx(
        tf.gather(head(states), few, batch_dims=2).numpy(), abs=1e-5
    )


def test_softmax_over_items_by_hand(encoder):
    head = ItemHead(encoder, TaskConfig())
    states = tf.random.stateless_normal([2, 3, encoder.width], [1, 2])
    classes = tf.constant([[1, 2, 0], [29, 5, 0]])
    weights = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]], np.float32)
    logits = head(states).numpy().astype(np.float64)
    assert logits.shape == (2, 3, ITEMS)
    picked = np.take_along_axis(logits, classes.numpy()[..., None], 2)[..., 0]
    entropy = np.log(np.exp(logits).sum(-1)) - picked
    found = head.losses_of(states, classes, tf.constant(weights), SEED)
    assert float(found["loss"]) == pytest.approx((entropy * weights).sum() / 4, rel=1e-5)


def test_without_weight_the_mean_is_0():
    assert float(replicas.weighted_mean(tf.constant([3.0]), tf.constant([0.0]))) == 0.0
