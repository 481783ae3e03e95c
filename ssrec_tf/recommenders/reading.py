"""A behaviour read once, and how candidates look at it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

HEADS = 4


class ItemTexts(NamedTuple):
    """Texts of items: `vectors` float32 [..., encoder width], `words` int32 [..., item width]."""

    vectors: tf.Tensor
    words: tf.Tensor


class Items(NamedTuple):
    """Item vectors.

    Attributes:
        states: float32 [..., width], for ratings and clicks.
        level: float32 [...], rating above the mean, in deviations of the ratings.
        next_states: float32 [..., width], for the next item.
        next_level: float32 [...], log share of the next items, before anything is read.
        directions: float32 [..., encoder width], texts' vectors of length 1 (or 0).
        as_met: float32 [..., s + c + a], what it says of others: as what came before, as what
            goes together with others, and as an autoencoder knows it.
        as_found: float32 [..., s + c + a], how others tell it: as what comes after, as what
            goes together with others, and as an autoencoder finds it.
        factors: float32 [..., members, n], of `Factors.read`; [..., 0] where there are none.
        factors_by_text: the same, by the text alone.
        speaks: float32 [...], 0 for an item that is known by its text alone.
    """

    states: tf.Tensor
    level: tf.Tensor
    next_states: tf.Tensor
    next_level: tf.Tensor
    directions: tf.Tensor
    as_met: tf.Tensor
    as_found: tf.Tensor
    factors: tf.Tensor
    factors_by_text: tf.Tensor
    speaks: tf.Tensor


class Events(NamedTuple):
    """What users did, or are asked about, as the factorization sees it.

    Attributes:
        rows: float32 [batch, n, members, 2 k + 3 + t], of `Factors.read`.
        places: float32 [batch, n, members, p], of `nearby.places_of`.
        waves: float32 [batch, n, w], of `Factors.waves`.
        stars: float32 [batch, n], standardized ratings, NaN where there is none.
        strays: float32 [batch, n], what their clicks say beyond them.
        mask: float32 [batch, n], 0 is nothing at all.
    """

    rows: tf.Tensor
    places: tf.Tensor
    waves: tf.Tensor
    stars: tf.Tensor
    strays: tf.Tensor
    mask: tf.Tensor


def joined(history: Events, targets: Events) -> Events:
    """Put targets behind the history: [batch, history + targets]."""
    pairs = zip(history, targets, strict=True)
    return Events(*(tf.concat([one, other], axis=1) for one, other in pairs))


def rated_events(events: Events) -> tf.Tensor:
    """1 for the events that have a rating: float32 [batch, n]."""
    return events.mask * tf.cast(~tf.math.is_nan(events.stars), tf.float32)


def with_bias(loadings: tf.Tensor) -> tf.Tensor:
    """Put a 1 before the loadings: [..., k + t] to [..., 1 + k + t]."""
    return tf.concat([tf.ones_like(loadings[..., :1]), loadings], axis=-1)


class NeuralReading(NamedTuple):
    """What the neural head reads of a behaviour.

    Attributes:
        keys: float32 [batch, history, width], what a candidate compares itself with.
        values: float32 [batch, history, width], what it takes.
        directions: float32 [batch, history, encoder width], as in `Items`.
        residuals: float32 [batch, history], rating above what the biases say; 0 if none.
        mask: float32 [batch, history].
        user: float32 [batch, width], factors of the whole behaviour.
        bias: float32 [batch], the user's mean above the items' biases.
        facts: float32 [batch, 3], bias, log count and spread.
    """

    keys: tf.Tensor
    values: tf.Tensor
    directions: tf.Tensor
    residuals: tf.Tensor
    mask: tf.Tensor
    user: tf.Tensor
    bias: tf.Tensor
    facts: tf.Tensor


def attend(reading: NeuralReading, query: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Let candidates attend to the history; an empty one gives zeros.

    Args:
        reading: of [batch, history].
        query: float32 [batch, targets, width].

    Returns:
        What was taken, float32 [batch, targets, width], and the mean residual that each
        head looked at, float32 [batch, targets, heads].

    Reference:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.2.
    """
    width = query.shape[-1]
    queries, keys, values = (_heads(x) for x in (query, reading.keys, reading.values))
    logits = tf.matmul(queries, keys, transpose_b=True) * (width / HEADS) ** -0.5
    blocked = (reading.mask[:, None, None, :] - 1.0) * 1e9
    weights = tf.nn.softmax(logits + blocked, axis=-1)  # [batch, heads, targets, history]
    weights *= reading.mask[:, None, None, :]  # an empty history gives nothing
    taken = tf.transpose(tf.matmul(weights, values), [0, 2, 1, 3])
    shape = tf.shape(taken)  # [batch, targets, heads, head width]
    taken = tf.reshape(taken, [shape[0], shape[1], width])  # [batch, targets, width]
    looked_at = tf.linalg.matvec(weights, reading.residuals[:, None, :])  # [b, heads, targets]
    return taken, tf.transpose(looked_at, [0, 2, 1])  # [batch, targets, heads]


def fading_weights(mask: tf.Tensor, keep: tf.Tensor) -> tf.Tensor:
    """Weigh events for a mean of them, each by `keep` times the weight of the one after it.

    Args:
        mask: float32 [batch, history], oldest first.
        keep: float32 [], above 0 and at most 1.

    Returns:
        float32 [batch, history], whose sum is 1; zeros for an empty history.
    """
    age = tf.reduce_sum(mask, axis=1, keepdims=True) - tf.cumsum(mask, axis=1)  # 0 = newest
    weight = keep**age * mask  # [batch, history]
    total = tf.maximum(tf.reduce_sum(weight, axis=1, keepdims=True), 1e-6)
    return weight / total


def pool_events(
    states: tf.Tensor, mask: tf.Tensor, recency: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Pool events in two ways: by age and item, and evenly.

    Args:
        states: float32 [batch, history, width], oldest first.
        mask: float32 [batch, history].
        recency: float32 [ages, width], of ages 0, 1-2, 3-6, 7-14 and so on.

    Returns:
        float32 [batch, width] each; zeros for an empty history.
    """
    age = tf.reduce_sum(mask, axis=1, keepdims=True) - tf.cumsum(mask, axis=1)  # 0 = newest
    bucket = tf.cast(tf.math.log(tf.maximum(age, 0.0) + 1.0) / np.log(2.0), tf.int32)
    recent = tf.gather(recency, tf.minimum(bucket, recency.shape[0] - 1))
    # One score an event: how much its age and its item say about what comes next.
    score = tf.reduce_sum(recent * (1.0 + states), axis=-1) * 4.0 + (mask - 1.0) * 1e9
    weight = tf.nn.softmax(score, axis=1) * mask  # [batch, history]
    evenly = fading_weights(mask, tf.constant(1.0))
    pooled = tf.matmul(tf.stack([weight, evenly], axis=1), states)  # [batch, 2, width]
    return pooled[:, 0], pooled[:, 1]


def residual_of_alike(
    reading: NeuralReading, directions: tf.Tensor, sharpness: tf.Tensor, shrinkage: tf.Tensor
) -> tf.Tensor:
    """Mean residual of the events whose texts are like a candidate's, shrunk to 0.

    An event's weight is exp(sharpness * cosine) - 1 where the cosine is positive, else 0.
    Nothing of it is learnt but two numbers, so it cannot be learnt by heart.

    Args:
        reading: of [batch, history].
        directions: float32 [batch, targets, encoder width], of the candidates.
        sharpness: float32 [], at least 0.
        shrinkage: float32 [], the weight of having seen nothing, above 0.

    Returns:
        float32 [batch, targets].

    Reference:
        Nadaraya 1964, "On Estimating Regression" (kernel regression).
    """
    cosine = tf.matmul(directions, reading.directions, transpose_b=True)
    weight = tf.math.expm1(sharpness * tf.nn.relu(cosine))  # [batch, targets, history]
    weight *= reading.mask[:, None, :]
    total = tf.einsum("bth,bh->bt", weight, reading.residuals)
    return total / (tf.reduce_sum(weight, axis=-1) + shrinkage)


def _heads(x: tf.Tensor) -> tf.Tensor:
    shape = tf.shape(x)
    x = tf.reshape(x, [shape[0], shape[1], HEADS, x.shape[-1] // HEADS])  # [b, n, heads, d]
    return tf.transpose(x, [0, 2, 1, 3])  # [batch, heads, n, head width]


def told(directions: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Vectors that texts tell of items, by a regression on them.

    Args:
        directions: float32 [..., encoder width], texts' vectors of length 1.
        rows: float32 [encoder width + 1, width], of `cooccurrence.told_by_texts`.

    Returns:
        float32 [..., width].
    """
    return tf.tensordot(directions, rows[:-1], 1) + rows[-1]
