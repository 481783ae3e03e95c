"""The one place that imports tensorflow-recommenders.

It needs Keras 2's API at import: `TF_USE_LEGACY_KERAS=1` must be set before `tf.keras`
is first touched. `import keras` stays Keras 3, and both live in one process.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import tensorflow as tf

from ssrec_tf.errors import InputError


def tensorflow_recommenders() -> Any:
    """Import tensorflow-recommenders.

    Raises:
        InputError: `tf.keras` was touched before, as Keras 3.
    """
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    try:
        return importlib.import_module("tensorflow_recommenders")
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"tensorflow_recommenders cannot be imported ({error}); set TF_USE_LEGACY_KERAS=1 "
            "before anything touches tf.keras, and do not install scann beside it"
        ) from None


def brute_force(vectors: tf.Tensor) -> Any:
    """Index vectors for exact search by inner product.

    Args:
        vectors: float32 [candidates, width].

    Returns:
        A `tfrs.layers.factorized_top_k.BruteForce` over positions 0..candidates - 1.
    """
    layers = tensorflow_recommenders().layers.factorized_top_k
    index = layers.BruteForce(k=1)
    return index.index(vectors, tf.range(tf.shape(vectors)[0]))


def top_unseen(
    index: Any, queries: tf.Tensor, seen: tf.Tensor, k: tf.Tensor, count: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Search for the best `k` positions, leaving out seen ones.

    Args:
        index: of `brute_force`.
        queries: float32 [batch, width].
        seen: int32 [batch, history], positions to leave out; -1 is padding.
        k: int32 [], how many; at most the candidates that are not seen are of use, what
            lies beyond them comes at the end with a score of -inf.
        count: candidates in the index.

    Returns:
        `scores` float32 [batch, k], best first; `positions` int32 [batch, k].
    """
    k = tf.clip_by_value(k, 1, count)
    wide = tf.minimum(k + tf.shape(seen)[1], count)
    scores, positions = index(queries, k=wide)  # [batch, wide] each
    blocked = tf.reduce_any(positions[:, :, None] == seen[:, None, :], axis=2)
    scores = tf.where(blocked, tf.fill(tf.shape(scores), float("-inf")), scores)
    best = tf.math.top_k(scores, k=k)
    return best.values, tf.gather(positions, best.indices, batch_dims=1)  # [batch, k] each
