"""The neural head: biases and user factors by hand, and what it does without."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.config import FactorConfig, TrainConfig
from ssrec_tf.recommenders.neural_head import NeuralHead
from ssrec_tf.recommenders.reading import Items
from tests.ssrec_tf.recommenders.test_base import batch_of, build

WIDTH, ENCODED, EVENTS = 8, 6, 4


def made(factorized=False):
    head = NeuralHead(
        replace(TrainConfig(), width=WIDTH), encoder_width=ENCODED, ratings=5, factorized=factorized
    )
    head.add_reading_layers()
    head.add_scoring_layers()
    rng = np.random.default_rng(0)
    for variable in head.trainable_variables:
        variable.assign(rng.normal(size=variable.shape) * 0.5)
    return head


def items(seed, count):
    rng = np.random.default_rng(seed)
    shapes = ((WIDTH,), (), (WIDTH,), (), (ENCODED,), (0,), (0,), (0,), (0,), ())
    values = [rng.normal(size=(1, count, *shape)) for shape in shapes]
    return Items(*(tf.constant(value, tf.float32) for value in values))


def read(head, stars=(1.0, np.nan, -0.5, 9.0), mask=(1, 1, 1, 0)):
    user = np.random.default_rng(5).normal(size=(1, ENCODED))
    steps = tf.where(np.isnan([stars]), 1, 4)
    values = (tf.constant(x, tf.float32) for x in ([stars], [mask], user))
    stars, mask, user = values
    return head.read(items(1, EVENTS), stars, steps, mask, user), user.numpy()[0]


def softplus(x):
    return np.log1p(np.exp(float(x)))


def test_a_reading_by_hand():
    head = made()
    found, user = read(head)
    history = items(1, EVENTS)
    level, states = history.level.numpy()[0], history.states.numpy()[0]
    prior = (user @ head.user_bias.kernel.numpy() + head.user_bias.bias.numpy())[0]
    rated = {0: 1.0, 2: -0.5}  # event 1 has no rating, event 3 is padding
    above = sum(star - level[i] - prior for i, star in rated.items())
    bias = above / (2 + softplus(head.shrinkage)) + prior
    residuals = np.zeros(EVENTS)
    for i, star in rated.items():
        residuals[i] = star - level[i] - bias
    spread = np.sqrt((np.sum(residuals**2) + 5) / (2 + 5))
    assert found.bias.numpy() == pytest.approx([bias], abs=1e-5)
    assert found.residuals.numpy()[0] == pytest.approx(residuals, abs=1e-5)
    assert found.facts.numpy()[0] == pytest.approx([bias, np.log(4) / 5, spread], abs=1e-5)
    factors = residuals @ states @ head.factor_rated.kernel.numpy()
    factors += states[:3].sum(0) @ head.factor_seen.kernel.numpy()
    said = user @ head.user_projection.kernel.numpy() + head.user_projection.bias.numpy()
    assert found.user.numpy()[0] == pytest.approx(factors / 2 + said, abs=1e-5)  # sqrt(3 + 1)
    kind = [4, 1, 4]
    happened = head.rating_embedding.numpy()[kind] + np.outer(
        residuals[:3], head.residual_direction.numpy()
    )
    values = (states[:3] + happened) @ head.attention_value.kernel.numpy()
    values += head.attention_value.bias.numpy()
    assert found.values.numpy()[0, :3] == pytest.approx(values, abs=1e-5)


def test_padding_says_nothing():
    head = made()
    candidates, zero = items(2, 3), tf.zeros([])
    one = head.score(read(head)[0], candidates, zero)
    other = head.score(read(head, stars=(1.0, np.nan, -0.5, np.nan))[0], candidates, zero)
    for left, right in zip(one, other, strict=True):
        assert left.numpy() == pytest.approx(right.numpy(), abs=1e-6)


def test_a_network_that_says_nothing_leaves_biases_factors_and_likeness():
    head = made()
    head.output_layer.kernel.assign(tf.zeros_like(head.output_layer.kernel))
    head.output_layer.bias.assign([0.25, -2.0])
    head.alike_weight.assign(0.0)
    reading, candidates = read(head)[0], items(2, 3)
    level, click = head.score(reading, candidates, tf.zeros([]))
    query = candidates.states.numpy()[0] @ head.factor_query.kernel.numpy()
    wanted = candidates.level.numpy()[0] + float(reading.bias[0]) + query @ reading.user.numpy()[0]
    assert level.numpy()[0] == pytest.approx(wanted + 0.25, abs=1e-5)
    assert click.numpy() == pytest.approx(np.full((1, 3), -2.0))


def test_a_factorization_is_set_right():
    head = made(factorized=True)
    head.output_layer.kernel.assign(tf.zeros_like(head.output_layer.kernel))
    head.output_layer.bias.assign([0.25, 0.0])
    head.alike_weight.assign(0.0)
    said = tf.constant([[1.0, -1.0, 3.0]])
    level, _ = head.score(read(head)[0], items(2, 3), said)
    assert level.numpy()[0] == pytest.approx([1.25, -0.75, 3.25])


def test_both_hear_the_factorization_and_it_alone_has_no_network(world):
    sizes = FactorConfig(width=2, behaviour_width=2)
    neural, both, alone = (
        build(world, pair_head=name, factors=sizes) for name in ("neural", "both", "factorization")
    )
    assert alone.head is None
    assert alone.count_params() < neural.count_params() < both.count_params()
    # One row more than the neural head's: what the factorization says.
    assert both.head.hidden_1.kernel.shape[0] == neural.head.hidden_1.kernel.shape[0] + 1
    assert np.isfinite(alone.scores_of(batch_of(world)).rating.numpy()).all()
