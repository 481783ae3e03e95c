"""A recommender's scores on a part of the split, in the order of its rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from ssrec_tf.batching import BatchConfig, evaluation_batches
from ssrec_tf.evaluation import Scores, part_rows
from ssrec_tf.recommenders import Indexed, Recommender
from ssrec_tf.rendering import render_behaviour, render_event
from ssrec_tf.splits import Split
from ssrec_tf.tables import Tables
from ssrec_tf.text_table import TextTable


def score_rows(
    model: Recommender, examples: Path, part: str, config: BatchConfig, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Score rows of a part, read from its examples.

    Args:
        model: trained.
        examples: folder of `write_examples`.
        part: "valid" or "test".
        config: sizes of a batch.
        rows: int64 [n], distinct rows of the part; the scores come in this order.

    Returns:
        Rating in the scale and click probability, float32 [n] each.
    """
    step = tf.function(model.scores_of, reduce_retracing=True)
    found, ratings, clicks = [], [], []
    for batch in evaluation_batches(examples, part, config):
        wanted = np.isin(batch["target_rows"].numpy(), rows)  # [batch, targets]
        if not wanted.any():
            continue
        scores = step(batch)
        found.append(batch["target_rows"].numpy()[wanted])
        ratings.append(model.clip(scores.rating).numpy()[wanted])
        clicks.append(tf.sigmoid(scores.click_logit).numpy()[wanted])
    order = np.argsort(np.concatenate(found))[np.argsort(np.argsort(rows))]
    return np.concatenate(ratings)[order], np.concatenate(clicks)[order]


def score_part(
    model: Recommender, examples: Path, part: str, config: BatchConfig, rows: np.ndarray
) -> Scores:
    """Score a part's rows; a head that was never trained says nothing."""
    rating, click = score_rows(model, examples, part, config, rows)
    return Scores(
        rating=rating if model.statistics.has_rating else None,
        click=click if model.statistics.has_click else None,
    )


def rank_part(
    model: Indexed,
    examples: Path,
    part: str,
    config: BatchConfig,
    tables: Tables,
    split: Split,
    users: np.ndarray,
) -> np.ndarray:
    """Score the whole catalogue for users of a part.

    Args:
        model: trained, with items stored.
        examples: folder of `write_examples`.
        part: "valid" or "test".
        config: sizes of a batch.
        tables: of the log; its items and users are in the order of the references.
        split: what a user has seen is the user's train rows, all of them.
        users: str [users], who have rows in the part.

    Returns:
        float32 [users, items], in the order of `users` and `tables.items`; -inf where the
        user has seen the item.
    """
    query = tf.function(model.query_of, reduce_retracing=True)
    index = tf.convert_to_tensor(model.index()).numpy()[1:]  # [items, width + 1]
    rows: dict[int, np.ndarray] = {}
    for batch in evaluation_batches(examples, part, config):
        scores = query(batch).numpy() @ index.T  # [batch, items]
        rows.update(zip(batch["user"].numpy().tolist(), scores, strict=True))
    wanted = pd.Index(users)
    ranking = np.stack([rows[int(ref)] for ref in 1 + tables.users.index.get_indexer(wanted)])
    seen = tables.interactions.loc[split.train]
    seen = seen[seen["user"].isin(wanted)]
    columns = tables.items.index.get_indexer(pd.Index(seen["item"]))
    ranking[wanted.get_indexer(pd.Index(seen["user"])), columns] = -np.inf
    return ranking


def score_and_rank(
    model: Recommender,
    examples: Path,
    part: str,
    config: BatchConfig,
    tables: Tables,
    split: Split,
    users: np.ndarray,
) -> Scores:
    """Score a part's rows and, where the reading can, rank the catalogue: see `rank_part`."""
    scores = score_part(model, examples, part, config, part_rows(split, part))
    if not isinstance(model, Indexed):
        return scores
    ranking = rank_part(model, examples, part, config, tables, split, users)
    return replace(scores, ranking=ranking)


def render_pairs(
    text: TextTable, tables: Tables, split: Split, rows: np.ndarray
) -> tuple[list[str], list[str]]:
    """Render rows as a client would send them: behaviour texts and item texts.

    A behaviour holds the user's train rows, oldest first.
    """
    item_texts = dict(zip(text.item_ids, text.item_texts, strict=True))
    user_texts = dict(zip(tables.users.index, text.user_texts, strict=True))
    wanted = tables.interactions.loc[rows]
    log = tables.interactions.loc[split.train]
    log = log[log["user"].isin(set(wanted["user"]))]
    log = log.iloc[np.lexsort((log.index, log.get("time", log.index)))]
    ratings = log["rating"] if "rating" in log else pd.Series(np.nan, index=log.index)
    lines = [
        render_event(item_texts[item], rating)
        for item, rating in zip(log["item"], ratings, strict=True)
    ]
    events = pd.Series(lines, index=log.index, dtype=object).groupby(log["user"]).agg(list)
    behaviours = {
        user: render_behaviour(user_texts[user], events.get(user, []))
        for user in wanted["user"].unique()
    }
    return [behaviours[user] for user in wanted["user"]], [item_texts[i] for i in wanted["item"]]
