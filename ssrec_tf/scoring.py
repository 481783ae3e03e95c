"""A recommender's scores on a part of the split, in the order of its rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from ssrec_tf.batching import BatchConfig, evaluation_batches
from ssrec_tf.evaluation import Scores
from ssrec_tf.recommenders import Recommender, TwoLevel


def score_part(
    model: Recommender, examples: Path, part: str, config: BatchConfig, rows: np.ndarray
) -> Scores:
    """Score every row of a part, read from its examples.

    Args:
        model: trained.
        examples: folder of `write_examples`.
        part: "valid" or "test".
        config: sizes of a batch.
        rows: int64 [n], the part's rows; the scores come in this order.

    Returns:
        Rating in the scale (where the log has ratings) and click probability (where it
        has clicks), float [n].
    """
    step = tf.function(model.scores_of, reduce_retracing=True)
    found, ratings, clicks = [], [], []
    for batch in evaluation_batches(examples, part, config):
        scores = step(batch)
        wanted = batch["target_rows"].numpy() >= 0  # [batch, targets]
        found.append(batch["target_rows"].numpy()[wanted])
        ratings.append(model.clip(scores.rating).numpy()[wanted])
        clicks.append(tf.sigmoid(scores.click_logit).numpy()[wanted])
    order = np.argsort(np.concatenate(found))[np.argsort(np.argsort(rows))]
    return Scores(
        rating=np.concatenate(ratings)[order] if model.statistics.has_rating else None,
        click=np.concatenate(clicks)[order] if model.statistics.has_click else None,
        ranking=None,
    )


def rank_part(
    model: TwoLevel, examples: Path, part: str, config: BatchConfig, user_refs: np.ndarray
) -> np.ndarray:
    """Score the whole catalogue for the users of a part.

    Args:
        model: trained, with items stored.
        examples: folder of `write_examples`.
        part: "valid" or "test".
        config: sizes of a batch.
        user_refs: int [users], references in the order wanted.

    Returns:
        float32 [users, items]; items of the history (the user has seen them) are -inf.
    """
    query = tf.function(model.query_of, reduce_retracing=True)
    index = tf.convert_to_tensor(model.index()).numpy()[1:]  # [items, width + 1]
    rows: dict[int, np.ndarray] = {}
    for batch in evaluation_batches(examples, part, config):
        scores = query(batch).numpy() @ index.T  # [batch, items]
        rows.update(zip(batch["user"].numpy().tolist(), scores, strict=True))
    return np.stack([rows[int(ref)] for ref in user_refs])
