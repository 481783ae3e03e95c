"""All metrics that apply to some rows, and the same metrics as statistics to resample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ssrec_tf import bootstrap, metrics, ranking_metrics
from ssrec_tf.bootstrap import Statistic


@dataclass(frozen=True)
class Rows:
    """Evaluated rows: what happened, and what a model said.

    Attributes:
        user: int [n], codes from 0.
        users: Number of codes.
        target_rating: float [n], NaN where there is none, or None.
        target_click: 0 or 1 [n], NaN where nobody can tell, or None.
        rating: float [n], a model's; None when it says none.
        click: float [n], a model's probability; None when it says none.
    """

    user: np.ndarray
    users: int
    target_rating: np.ndarray | None
    target_click: np.ndarray | None
    rating: np.ndarray | None = None
    click: np.ndarray | None = None

    def take(self, wanted: np.ndarray) -> Rows:
        """Return the rows where `wanted`, bool [n], is true."""
        arrays = (self.target_rating, self.target_click, self.rating, self.click)
        parts = [None if array is None else array[wanted] for array in arrays]
        return Rows(self.user[wanted], self.users, *parts)

    def ratings(self) -> Labelled | None:
        """Return the rows with a rating, where a model says one."""
        return self._labelled(self.target_rating, self.rating)

    def clicks(self) -> Labelled | None:
        """Return the rows of which a click is known, where a model says how likely it is."""
        return self._labelled(self.target_click, self.click)

    def _labelled(self, target: np.ndarray | None, said: np.ndarray | None) -> Labelled | None:
        if target is None or said is None:
            return None
        known = ~np.isnan(target)
        return Labelled(target[known], said[known], self.user[known], self.users)


class Labelled(NamedTuple):
    """Rows of which it is known what happened: all [n] but `users`, as in `Rows`."""

    target: np.ndarray
    said: np.ndarray
    user: np.ndarray
    users: int

    def user_sums(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of `values` [n] over each user's rows: float [users]."""
        return np.bincount(self.user, weights=values, minlength=self.users)


def row_values(rows: Rows, k: int) -> dict[str, float]:
    """Return every rating and click metric that applies, each over the rows with a label."""
    found: dict[str, float] = {}
    if (ratings := rows.ratings()) is not None:
        found["rmse"] = metrics.rmse(ratings.target, ratings.said)
        found["mae"] = metrics.mae(ratings.target, ratings.said)
    if (clicks := rows.clicks()) is not None:
        target, click, user, _ = clicks
        found["auc"] = metrics.auc(target, click)
        found["gauc"] = metrics.gauc(target, click, user)
        found["log_loss"] = metrics.log_loss(target, click)
        found["accuracy"] = metrics.accuracy(target, click)
        found["precision"] = metrics.precision(target, click)
        found["recall"] = metrics.recall(target, click)
        found["f1"] = metrics.f1(target, click)
        found["ece"] = metrics.expected_calibration_error(target, click)
        found[f"ctr@{k}"] = metrics.ctr_at_k(target, click, user, k)
    return found


def row_statistics(rows: Rows, k: int) -> dict[str, Statistic]:
    """Return the metrics of `row_values` as functions of how often each user is drawn."""
    found: dict[str, Statistic] = {}
    if (ratings := rows.ratings()) is not None:
        count = ratings.user_sums(np.ones(len(ratings.user)))
        error = metrics.as_float(ratings.target) - metrics.as_float(ratings.said)
        found["rmse"] = bootstrap.root(bootstrap.ratio(ratings.user_sums(error**2), count))
        found["mae"] = bootstrap.ratio(ratings.user_sums(np.abs(error)), count)
    if (clicks := rows.clicks()) is not None:
        target, click, user, users = clicks
        count = clicks.user_sums(np.ones(len(user)))
        found["auc"] = bootstrap.auc(target, click, user)
        values, weight = metrics.user_auc(target, click, user, users=users)
        found["gauc"] = bootstrap.ratio(values * weight, weight)
        losses = metrics.row_log_loss(target, click)
        found["log_loss"] = bootstrap.ratio(clicks.user_sums(losses), count)
        said, clicked = click >= 0.5, target > 0
        right = clicks.user_sums(said == clicked)
        hits, said, clicked = (clicks.user_sums(a) for a in (said & clicked, said, clicked))
        found["accuracy"] = bootstrap.ratio(right, count)
        found["precision"] = bootstrap.ratio(hits, said)
        found["recall"] = bootstrap.ratio(hits, clicked)
        found["f1"] = bootstrap.ratio(2 * hits, said + clicked)
        found["ece"] = bootstrap.calibration_error(target, click, user, users)
        shown_clicks, shown = metrics.user_ctr(target, click, user, k, users=users)
        found[f"ctr@{k}"] = bootstrap.ratio(shown_clicks, shown)
    return found


def rank_values(rank: np.ndarray, k: int) -> dict[str, float]:
    """Return the ranking metrics of relevant items; `rank` is float [n]."""
    return {
        f"recall@{k}": ranking_metrics.recall_at_k(rank, k),
        f"ndcg@{k}": ranking_metrics.ndcg_at_k(rank, k),
        f"mrr@{k}": ranking_metrics.mrr_at_k(rank, k),
    }


def rank_statistics(
    rank: np.ndarray, user: np.ndarray, users: int, k: int
) -> Mapping[str, Statistic]:
    """Return the metrics of `rank_values` as functions of how often each user is drawn."""
    inside = ranking_metrics.within(rank, k)
    gains = {
        f"recall@{k}": inside.astype(np.float64),
        f"ndcg@{k}": np.where(inside, 1 / np.log2(1 + rank), 0),
        f"mrr@{k}": np.where(inside, 1 / rank, 0),
    }
    count = np.bincount(user, minlength=users).astype(np.float64)
    return {
        name: bootstrap.ratio(np.bincount(user, weights=gain, minlength=users), count)
        for name, gain in gains.items()
    }
