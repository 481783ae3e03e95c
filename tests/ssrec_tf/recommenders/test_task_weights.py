"""Weights of tasks: fixed ones by hand, learnt ones at their optimum in closed form."""

import math

import pytest
import tensorflow as tf

from ssrec_tf.config import OptimizerConfig, TrainConfig, from_dict
from ssrec_tf.errors import ConfigError
from ssrec_tf.optimizers import make_optimizer
from ssrec_tf.recommenders.task_weights import TaskWeights
from ssrec_tf.statistics import LabelStatistics

LOSSES = {"rating_loss": 0.8, "click_loss": 0.3, "next_item_loss": 5.0}


def weights_of(*, has_rating=True, has_click=True, **changes):
    statistics = LabelStatistics(
        has_rating=has_rating,
        has_click=has_click,
        low=1.0,
        high=5.0,
        mean=3.0,
        deviation=1.0,
        click_share=0.5,
    )
    return TaskWeights(TrainConfig(**changes), statistics)


def losses(**changes):
    return {name: tf.constant(value) for name, value in (LOSSES | changes).items()}


def test_fixed_weights_by_hand():
    layer = weights_of(rating_weight=2.0, click_weight=0.5, next_item_weight=0.1)
    assert layer.variables == []
    assert float(layer(losses())) == pytest.approx(2.0 * 0.8 + 0.5 * 0.3 + 0.1 * 5.0)
    assert float(weights_of(has_rating=False)(losses())) == pytest.approx(0.3 * 0.3 + 0.05 * 5.0)


def test_a_prior_counts_as_the_ratings_do():
    fixed = weights_of(rating_weight=2.0, click_weight=0.0, next_item_weight=0.0)
    assert float(fixed(losses(prior_loss=0.7))) == pytest.approx(2.0 * (0.8 + 0.7))
    learnt = weights_of(task_weights="uncertainty", click_weight=0.0, next_item_weight=0.0)
    learnt.log_variances.assign([math.log(4.0)])
    found = float(learnt(losses(prior_loss=0.7)))
    assert found == pytest.approx((0.8 + 0.7) / (2 * 4.0) + 0.5 * math.log(4.0))


def test_learnt_weights_at_their_optimum():
    layer = weights_of(task_weights="uncertainty")
    # At variance 1 a squared error counts half, a cross-entropy whole.
    assert float(layer(losses())) == pytest.approx(0.4 + 0.3 + 5.0)
    # d/ds (L e^-s / 2 + s / 2) = 0 at s = log L; d/ds (L e^-s + s / 2) = 0 at s = log 2L.
    best = [math.log(0.8), math.log(2 * 0.3), math.log(2 * 5.0)]
    layer.log_variances.assign(best)
    with tf.GradientTape() as tape:
        loss = layer(losses())
    gradient = tape.gradient(loss, layer.log_variances.value)
    assert gradient.numpy() == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)
    assert float(loss) == pytest.approx(sum(0.5 + 0.5 * s for s in best), rel=1e-5)


def test_an_optimizer_finds_it_whatever_the_scale():
    layer = weights_of(task_weights="uncertainty", next_item_weight=0.0)
    optimizer = make_optimizer(OptimizerConfig(learning_rate=0.1, weight_decay=1.0), steps=400)
    optimizer.build(layer.trainable_variables)
    for _ in range(400):
        with tf.GradientTape() as tape:
            loss = layer(losses(rating_loss=40.0))
        gradient = tape.gradient(loss, layer.log_variances.value)
        optimizer.apply([gradient], layer.trainable_variables)
    found = layer.log_variances.numpy()  # weight decay has not drawn them to 0
    assert found == pytest.approx([math.log(40.0), math.log(0.6)], abs=0.05)


def test_a_weight_of_zero_or_no_labels_leaves_a_task_out():
    layer = weights_of(task_weights="uncertainty", has_rating=False, click_weight=0.0)
    assert layer.log_variances.shape == (1,)
    assert float(layer(losses())) == pytest.approx(5.0)


def test_another_choice_is_refused():
    with pytest.raises(ConfigError, match=r"train\.task_weights is 'equal': give one of fixed"):
        from_dict({"name": "x", "data": {"dataset": "d"}, "train": {"task_weights": "equal"}})
