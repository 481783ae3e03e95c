"""Behaviours with a planted answer, and a few steps of training to learn it."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.config import EncoderConfig, OptimizerConfig, PretrainConfig
from ssrec_tf.learning import create_encoder
from ssrec_tf.optimizers import make_optimizer

ITEMS = 30
SEED = tf.constant([1, 2], tf.int64)


def rating_of(items):
    """Items rate themselves: 1, 2, 3, 4, 5, 1, ..."""
    return (items % 5 + 1).astype(np.float32)


def batch_of(items):
    """A batch of histories: int [users, events] references, padded by two places."""
    items = np.pad(items, [[0, 0], [0, 2]])
    ratings = np.where(items > 0, rating_of(items), np.nan)
    return {
        "user": tf.constant(1 + np.arange(len(items)) % 40, tf.int32),
        "history_items": tf.constant(items, tf.int32),
        "history_ratings": tf.constant(ratings, tf.float32),
    }


def walks(seed=0, size=16, events=6):
    """Walks along the circle of items: n + 1 always follows n."""
    start = np.random.default_rng(seed).integers(0, ITEMS, (size, 1))
    return batch_of(1 + (start + np.arange(events)) % ITEMS)


def pairs(seed=0, size=32):
    """Two items each, one odd and the next even: either tells the other."""
    first = 1 + 2 * np.random.default_rng(seed).integers(0, ITEMS // 2, (size, 1))
    return batch_of(first + np.arange(2))


def clubs(seed=0, events=4):
    """Six users, each with four of five items that no other has, in any order."""
    rng = np.random.default_rng(seed)
    return batch_of(np.stack([1 + 5 * n + rng.permutation(5)[:events] for n in range(6)]))


def config(**options):
    return PretrainConfig(sequence_length=64, **options)


def learn(objective, steps, batch=walks, rate=3e-3):
    """Train for a few steps; then the scalars of a batch that was not trained on."""
    objective.losses_of(batch(0), seed=SEED, training=False)
    optimizer = make_optimizer(OptimizerConfig(rate, warmup_steps=5), steps)
    optimizer.build(objective.trainable_variables)

    @tf.function(reduce_retracing=True, autograph=False)
    def update(inputs, seed):
        variables = objective.trainable_variables
        with tf.GradientTape() as tape:
            loss = objective.losses_of(inputs, seed=seed, training=True)["loss"]
        found = tape.gradient(loss, [v.value for v in variables], unconnected_gradients="zero")
        optimizer.apply([tf.convert_to_tensor(g) for g in found], variables)

    for step in range(steps):
        update(batch(step), tf.constant([7, step], tf.int64))
    scalars = objective.losses_of(batch(10_000), seed=SEED, training=False)
    return {key: float(value) for key, value in scalars.items()}


@pytest.fixture
def encoder(world):
    return create_encoder(EncoderConfig(dropout=0.0), world.text, seed=1)
