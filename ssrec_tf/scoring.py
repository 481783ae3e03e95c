"""A recommender's scores on a part of the split, in the order of its rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from ssrec_tf.baselines import Baseline
from ssrec_tf.batching import BatchConfig, evaluation_batches
from ssrec_tf.errors import ConfigError
from ssrec_tf.evaluation import Scores, part_rows
from ssrec_tf.recommenders import Indexed, Recommender
from ssrec_tf.rendering import render_behaviour, render_event
from ssrec_tf.splits import Split, event_order
from ssrec_tf.tables import Tables
from ssrec_tf.text_table import TextTable

_MOST_SCORES = 100_000_000  # 400 MB, and every model of a report has as many
_FEWEST_USERS = 500


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
    step = tf.function(model.scores_of, reduce_retracing=True, autograph=False)
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

    Of a streaming split a user is ranked for once, as they were when the part began:
    before the first of their rows in it.

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
    query = tf.function(model.query_of, reduce_retracing=True, autograph=False)
    index = tf.convert_to_tensor(model.index()).numpy()[1:]  # [items, d]
    first = _first_rows(tables, part_rows(split, part)) if split.streaming else None
    ids = pd.Index(users)
    ranking = np.full((len(ids), len(index)), np.nan, np.float32)
    places = np.full(1 + len(tables.users), -1)  # of a user's reference
    places[1 + tables.users.index.get_indexer(ids)] = np.arange(len(ids))
    for batch in evaluation_batches(examples, part, config):
        refs = batch["user"].numpy()  # [batch]
        wanted = places[refs] >= 0
        if first is not None:
            wanted &= np.isin(batch["target_rows"].numpy()[:, 0], first)
        if wanted.any():
            ranking[places[refs[wanted]]] = query(batch).numpy()[wanted] @ index.T
    seen = tables.interactions.loc[split.train]
    seen = seen[seen["user"].isin(ids)]
    columns = tables.items.index.get_indexer(pd.Index(seen["item"]))
    ranking[ids.get_indexer(pd.Index(seen["user"])), columns] = -np.inf
    return ranking


def _first_rows(tables: Tables, rows: np.ndarray) -> np.ndarray:
    """Each user's first row of a part by (time, row): int64 [users of the part]."""
    ordered = rows[np.argsort(event_order(tables.interactions)[rows])]
    return ordered[~tables.interactions["user"].iloc[ordered].duplicated().to_numpy()]


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


def ranked_users(tables: Tables, split: Split, part: str) -> np.ndarray:
    """Users of a part, sorted, for whom the catalogue is ranked: str [users].

    All of them, unless users by items were more than `_MOST_SCORES` a model: then as many as
    fit, drawn evenly, and always the same.
    """
    users = np.sort(tables.interactions.loc[part_rows(split, part), "user"].unique())
    most = max(_FEWEST_USERS, _MOST_SCORES // len(tables.items))
    if len(users) <= most:
        return users
    return np.sort(np.random.RandomState(0).choice(users, most, replace=False))


def score_baseline(
    model: Baseline, tables: Tables, split: Split, part: str, users: np.ndarray
) -> Scores:
    """Fit a baseline, score a part's rows and rank the catalogue for `users`.

    Raises:
        ConfigError: it needs ratings and the log has none, or another kind of split.
    """
    if not model.can_learn_from(tables):
        raise ConfigError(f"{model.name} needs ratings, {tables.name} has none")
    model.fit(tables, split)
    return replace(model.row_scores(part_rows(split, part)), ranking=model.rank(users))


def render_pairs(
    text: TextTable, tables: Tables, split: Split, rows: np.ndarray
) -> tuple[list[str], list[str]]:
    """Render rows as a client would send them: behaviour texts and item texts.

    A behaviour holds the user's train rows, oldest first; of a streaming split all of the
    user's rows before the one that is scored.
    """
    item_texts = dict(zip(text.item_ids, text.item_texts, strict=True))
    user_texts = dict(zip(tables.users.index, text.user_texts, strict=True))
    wanted = tables.interactions.loc[rows]
    log = tables.interactions if split.streaming else tables.interactions.loc[split.train]
    log = log[log["user"].isin(set(wanted["user"]))]
    rank = event_order(tables.interactions)
    log = log.iloc[np.argsort(rank[log.index])]
    ratings = log["rating"] if "rating" in log else pd.Series(np.nan, index=log.index)
    no_times = pd.Series(0, index=log.index)
    lines = [
        render_event(item_texts[item], rating, time)
        for item, rating, time in zip(log["item"], ratings, log.get("time", no_times), strict=True)
    ]
    now = wanted.get("time", pd.Series(0, index=wanted.index))
    frame = pd.DataFrame({"line": lines, "rank": rank[log.index]}, dtype=object)
    events = {user: part for user, part in frame.groupby(log["user"].to_numpy())}
    behaviours = []
    for row, user, moment in zip(rows, wanted["user"], now, strict=True):
        known = events.get(user, frame[:0])
        if split.streaming:
            known = known[known["rank"] < rank[row]]
        behaviours.append(render_behaviour(user_texts[user], known["line"].tolist(), moment))
    return behaviours, [item_texts[item] for item in wanted["item"]]
