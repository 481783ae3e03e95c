"""Bayesian linear regressions in the graph, many at once, and each answer without its own row.

All leading dimensions, [...], are of independent regressions. Precisions are counted in
that of one observation's noise.

References:
    Bishop 2006, "Pattern Recognition and Machine Learning", section 3.3 (the posterior).
    Allen 1974, "The Relationship between Variable Selection and Data Augmentation and a
        Method for Prediction" (PRESS: what a fit would say without a row of it).
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Observations(NamedTuple):
    """What regressions have seen.

    Attributes:
        factor: float32 [..., width, width], Cholesky factor of the posterior's precision.
        told: float32 [..., width], the design's rows, summed by what was observed.
    """

    factor: tf.Tensor
    told: tf.Tensor


def observe(design: tf.Tensor, answers: tf.Tensor, precision: tf.Tensor) -> Observations:
    """Take rows in.

    Args:
        design: float32 [..., n, width]; a row of zeros says nothing.
        answers: float32 [..., n].
        precision: float32 [width], of the prior, above 0.
    """
    matrix = tf.matmul(design, design, transpose_a=True) + tf.linalg.diag(precision)
    told = tf.linalg.matvec(design, answers, transpose_a=True)
    return Observations(tf.linalg.cholesky(matrix), told)


def posterior_mean(seen: Observations, precision: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
    """Weights after all rows: with a prior's mean [..., width], float32 [..., width]."""
    right = (seen.told + precision * prior)[..., None]  # [..., width, 1]
    return tf.linalg.cholesky_solve(seen.factor, right)[..., 0]


def left_out(
    seen: Observations,
    precision: tf.Tensor,
    prior: tf.Tensor,
    design: tf.Tensor,
    answers: tf.Tensor,
    among: tf.Tensor,
) -> tf.Tensor:
    """Answer for each row as if all had been observed but itself.

    Args:
        seen: of `observe`.
        precision: float32 [width], of the prior.
        prior: float32 [..., t, width], the prior's mean as it is without the row.
        design: float32 [..., t, width].
        answers: float32 [..., t].
        among: float32 [..., t], 1 for a row that `seen` holds, 0 for another, from which
            there is nothing to take away.

    Returns:
        float32 [..., t].
    """
    lifted = tf.linalg.cholesky_solve(seen.factor, tf.linalg.matrix_transpose(design))
    lifted = tf.linalg.matrix_transpose(lifted)  # [..., t, width]
    leverage = among * tf.reduce_sum(lifted * design, axis=-1)  # [..., t], below 1
    told = seen.told[..., None, :] + precision * prior  # [..., t, width]
    whole = tf.reduce_sum(lifted * told, axis=-1)
    return (whole - leverage * answers) / (1.0 - leverage)
