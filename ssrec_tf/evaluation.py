"""Scores of several models on one part of a split -> one report, under one protocol card."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ssrec_tf import bootstrap, measuring, metrics, ranking_metrics
from ssrec_tf.config import EvaluateConfig
from ssrec_tf.errors import NonFiniteError
from ssrec_tf.evaluation_case import Case, groups, make_card, part_rows
from ssrec_tf.figures import Difference, Figure, Report, Slice, compare
from ssrec_tf.gate import gate
from ssrec_tf.measuring import Rows

if TYPE_CHECKING:
    from ssrec_tf.splits import Split
    from ssrec_tf.tables import Tables

__all__ = [
    "Difference",
    "Figure",
    "Report",
    "Scores",
    "Slice",
    "compare",
    "evaluate",
    "gate",
    "part_rows",
]

_PAIRED = ("rmse", "mae", "auc", "gauc", "log_loss", "recall@", "ndcg@", "mrr@")
_CENTRED = ("ece", "coverage@")


@dataclass(frozen=True)
class Scores:
    """What a model says about the evaluated rows, and about the whole catalogue.

    Attributes:
        rating: float [n], in the rating scale; None where the log has no ratings.
        click: float [n], a probability; None where the log has no clicks.
        ranking: float [ranked users, items], higher is better, users in the order of
            `ranking_users` and items in that of `tables.items.index`; items the user has
            seen in train at -inf. None where nothing was ranked.
    """

    rating: np.ndarray | None = None
    click: np.ndarray | None = None
    ranking: np.ndarray | None = None


def evaluate(
    tables: Tables,
    split: Split,
    part: str,
    scores: Mapping[str, Scores],
    config: EvaluateConfig,
    *,
    ranking_users: np.ndarray | None = None,
    split_seed: int | None = None,
) -> Report:
    """Measure models on one part: all metrics their scores allow, with intervals and slices.

    Rating metrics need ratings in the log and `Scores.rating`, click metrics clicks and
    `Scores.click`, ranking metrics `Scores.ranking`. Rows that have no rating count for none of
    the first, and likewise of the second. Relevant for a ranking is every
    item of the user's rows in the part that is in none of an earlier part; in a log of
    clicks without ratings, only those clicked. The rules for candidates and ties stand
    in `ssrec_tf.protocol`.

    Args:
        tables: The data.
        split: Its parts.
        part: valid or test.
        scores: By name of the model, in the order the report is to have. The rows are
            those of `part_rows(split, part)`, in order.
        config: Cutoff, number of resamples and their seed.
        ranking_users: Ids of the users ranked for, str [ranked users]; each has rows in
            the part.
        split_seed: For the card, where it is known.

    Raises:
        DataError: The part has no rows, or a ranked user none in it.
        ValueError: Scores of another shape, or no `part`.
        NonFiniteError: A score is NaN or infinite.
    """
    case = Case.build(tables, split, part, ranking_users, config.k)
    models: dict[str, dict[str, Figure]] = {}
    measured: dict[str, tuple[Rows, np.ndarray | None]] = {}
    for name, found in scores.items():
        _check(name, found, case, len(tables.items))
        rows = replace(case.rows, rating=found.rating, click=found.click)
        rank = None
        if found.ranking is not None:
            rank = ranking_metrics.ranks(found.ranking, case.pair_user, case.pair_item, case.seen)
        models[name] = _figures(case, rows, rank, found.ranking, config)
        measured[name] = (rows, rank)
    return Report(
        card=make_card(tables, split, part, case, ranking_users, split_seed),
        bootstrap=config.bootstrap,
        seed=config.seed,
        models=models,
        slices=_slices(case, measured),
        calibration={
            name: metrics.calibration(clicks.target, clicks.said)
            for name, (rows, _) in measured.items()
            if (clicks := rows.clicks()) is not None
        },
    )


def _check(name: str, scores: Scores, case: Case, items: int) -> None:
    n = len(case.rows.user)
    wanted = (
        ("rating", scores.rating, (n,)),
        ("click", scores.click, (n,)),
        ("ranking", scores.ranking, (len(case.ranked), items)),
    )
    for what, values, shape in wanted:
        if values is None:
            continue
        if values.shape != shape:
            raise ValueError(f"{name}: {what} has the shape {values.shape}, must be {shape}")
        # -inf is how a ranking says "seen".
        bad = np.isnan(values) | (values == np.inf) | ((values == -np.inf) & (what != "ranking"))
        if bad.any():
            raise NonFiniteError(
                f"{name}: {what} is NaN or infinite at {tuple(np.argwhere(bad)[0].tolist())}, "
                f"{int(bad.sum())} in all: look at the model's last checkpoint"
            )
    if scores.click is not None and not ((scores.click >= 0) & (scores.click <= 1)).all():
        raise ValueError(
            f"{name}: click runs from {scores.click.min():g} to {scores.click.max():g}: "
            "give probabilities"
        )


def _figures(
    case: Case,
    rows: Rows,
    rank: np.ndarray | None,
    ranking: np.ndarray | None,
    config: EvaluateConfig,
) -> dict[str, Figure]:
    values = measuring.row_values(rows, case.k)
    statistics = measuring.row_statistics(rows, case.k)
    if rank is not None and ranking is not None:
        values |= measuring.rank_values(rank, case.k)
        user = case.ranked[case.pair_user]
        statistics |= measuring.rank_statistics(rank, user, rows.users, case.k)
        top = ranking_metrics.top_k(ranking, case.seen, case.k)
        values[f"coverage@{case.k}"] = float(top.any(axis=0).mean())
        statistics[f"coverage@{case.k}"] = bootstrap.coverage(top, case.ranked)
    samples = bootstrap.resample(
        statistics,
        users=rows.users,
        rows=max(len(rows.user), len(case.item_count)),
        samples=config.bootstrap,
        seed=config.seed,
    )
    return {name: _figure(name, value, samples[name]) for name, value in values.items()}


def _figure(name: str, value: float, samples: np.ndarray) -> Figure:
    if math.isnan(value):
        return Figure(value)
    if name.startswith(_CENTRED):
        low, high = bootstrap.centred_interval(value, samples)
    else:
        low, high = bootstrap.percentile_interval(samples)
    paired = name.startswith(_PAIRED)
    return Figure(value, low, high, samples.astype(np.float32) if paired else None)


def _slices(
    case: Case, measured: Mapping[str, tuple[Rows, np.ndarray | None]]
) -> tuple[Slice, ...]:
    """Measure every group of rows, and of relevant pairs, that is not empty."""
    user = case.rows.user
    found = []
    pair_code = case.ranked[case.pair_user]
    for name, users, items in groups(case):
        wanted = users[user] & items[case.item]
        if not wanted.any():
            continue
        pairs = users[pair_code] & items[case.pair_item]
        figures: dict[str, dict[str, float]] = {}
        for model, (rows, rank) in measured.items():
            figures[model] = measuring.row_values(rows.take(wanted), case.k)
            if rank is not None and pairs.any():
                figures[model] |= measuring.rank_values(rank[pairs], case.k)
        found.append(Slice(name, int(wanted.sum()), len(np.unique(user[wanted])), figures))
    return tuple(found)
