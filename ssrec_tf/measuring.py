"""All metrics that apply to some rows, and the same metrics as statistics to resample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ssrec_tf import bootstrap, metrics, ranking_metrics
from ssrec_tf.bootstrap import Statistic


@dataclass(frozen=True)
class Rows:
    """Evaluated rows: what happened, and what a model said.

    Attributes:
        user: int [n], codes from 0.
        users: Number of codes.
        target_rating: float [n], or None.
        target_click: 0 or 1 [n], or None.
        rating: float [n], a model's; None when it says none.
        click: float [n], a model's probability; None when it says none.
    """

    user: np.ndarray
    users: int
    target_rating: np.ndarray | None
    target_click: np.ndarray | None
    rating: np.ndarray | None = None
    click: np.ndarray | None = None

    def user_sums(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of `values` [n] over each user's rows: float [users]."""
        return np.bincount(self.user, weights=values, minlength=self.users)

    def take(self, wanted: np.ndarray) -> Rows:
        """Return the rows where `wanted`, bool [n], is true."""
        arrays = (self.target_rating, self.target_click, self.rating, self.click)
        parts = [None if array is None else array[wanted] for array in arrays]
        return Rows(self.user[wanted], self.users, *parts)


def row_values(rows: Rows, k: int) -> dict[str, float]:
    """Return every rating and click metric that applies."""
    found: dict[str, float] = {}
    if rows.target_rating is not None and rows.rating is not None:
        found["rmse"] = metrics.rmse(rows.target_rating, rows.rating)
        found["mae"] = metrics.mae(rows.target_rating, rows.rating)
    if rows.target_click is not None and rows.click is not None:
        target, click, user = rows.target_click, rows.click, rows.user
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
    count = rows.user_sums(np.ones(len(rows.user)))
    if rows.target_rating is not None and rows.rating is not None:
        error = metrics.as_float(rows.target_rating) - metrics.as_float(rows.rating)
        found["rmse"] = bootstrap.root(bootstrap.ratio(rows.user_sums(error**2), count))
        found["mae"] = bootstrap.ratio(rows.user_sums(np.abs(error)), count)
    if rows.target_click is not None and rows.click is not None:
        target, click, user = rows.target_click, rows.click, rows.user
        found["auc"] = bootstrap.auc(target, click, user)
        values, weight = metrics.user_auc(target, click, user, users=rows.users)
        found["gauc"] = bootstrap.ratio(values * weight, weight)
        losses = metrics.row_log_loss(target, click)
        found["log_loss"] = bootstrap.ratio(rows.user_sums(losses), count)
        said, clicked = click >= 0.5, target > 0
        right = rows.user_sums(said == clicked)
        hits, said, clicked = (rows.user_sums(a) for a in (said & clicked, said, clicked))
        found["accuracy"] = bootstrap.ratio(right, count)
        found["precision"] = bootstrap.ratio(hits, said)
        found["recall"] = bootstrap.ratio(hits, clicked)
        found["f1"] = bootstrap.ratio(2 * hits, said + clicked)
        found["ece"] = bootstrap.calibration_error(target, click, user, rows.users)
        clicks, shown = metrics.user_ctr(target, click, user, k, users=rows.users)
        found[f"ctr@{k}"] = bootstrap.ratio(clicks, shown)
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
