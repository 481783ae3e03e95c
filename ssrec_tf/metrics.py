"""The rating and click figures of a report, as plain functions of numpy arrays.

A figure that does not exist for its input (the AUC of a single class, the mean of no rows)
is NaN, never a guess.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

LOWER_IS_BETTER = frozenset({"rmse", "mae", "log_loss", "ece"})
_EPSILON = 1e-7  # float32 probabilities closer to 0 or 1 are rounding, not knowledge


def rmse(target: np.ndarray, rating: np.ndarray) -> float:
    """Root mean squared error: sqrt(mean((target - rating)^2)); both float [n]."""
    return float(np.sqrt(mean_of((as_float(target) - as_float(rating)) ** 2)))


def mae(target: np.ndarray, rating: np.ndarray) -> float:
    """Mean absolute error: mean(|target - rating|); both float [n]."""
    return mean_of(np.abs(as_float(target) - as_float(rating)))


def auc(click: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve: P(score of a click > score of none) + P(equal) / 2.

    Args:
        click: 0 or 1, [n].
        score: float [n], higher for a likelier click.

    Reference:
        Fawcett 2006, "An introduction to ROC analysis".
    """
    return gauc(click, score, np.zeros(len(click), np.int64))


def gauc(click: np.ndarray, score: np.ndarray, user: np.ndarray) -> float:
    """AUC within each user, averaged with the users' row counts as weights.

    Users whose rows are all clicks or all none are left out.

    Args:
        click: 0 or 1, [n].
        score: float [n].
        user: int [n], codes from 0.

    Reference:
        Zhou et al. 2018, arXiv:1706.06978, section 6.2 (weighted by rows as there).
    """
    values, rows = user_auc(click, score, user)
    return float(values @ rows / rows.sum()) if rows.sum() else math.nan


def user_auc(
    click: np.ndarray, score: np.ndarray, user: np.ndarray, *, users: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return each user's AUC and weight, by the rank-sum formula with mean ranks for ties.

    Args:
        click: 0 or 1, [n].
        score: float [n].
        user: int [n], codes from 0.
        users: Number of codes; by default one more than the highest.

    Returns:
        AUC, float [users], 0 where there is none; weight, float [users]: rows of users
        that have both labels, else 0.
    """
    size = users if users is not None else _codes(user)
    total = np.bincount(user, minlength=size)
    clicks = np.bincount(user, weights=click, minlength=size)
    others = total - clicks
    first = np.cumsum(total) - total  # where the user's rows begin, once sorted
    order, tie, ends = _tied_groups(user, score)
    starts = np.concatenate(([0], ends[:-1])) if len(ends) else ends
    rank = ((starts + ends + 1) / 2)[tie] - first[user[order]]  # 1-based within the user
    sums = np.bincount(user[order], weights=rank * click[order], minlength=size)
    pairs = clicks * others
    values = np.divide(sums - clicks * (clicks + 1) / 2, pairs, out=np.zeros(size), where=pairs > 0)
    return values, np.where(pairs > 0, total, 0).astype(np.float64)


def row_log_loss(click: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Return -log of the probability given to what happened: float [n]."""
    p = np.clip(as_float(probability), _EPSILON, 1 - _EPSILON)
    losses: np.ndarray = -np.where(click > 0, np.log(p), np.log1p(-p))
    return losses


def log_loss(click: np.ndarray, probability: np.ndarray) -> float:
    """Mean cross-entropy, natural logarithm; probabilities kept 1e-7 off 0 and 1."""
    return mean_of(row_log_loss(click, probability))


def accuracy(click: np.ndarray, probability: np.ndarray) -> float:
    """Share of rows on the right side of 0.5 (0.5 itself counts as a click)."""
    return mean_of((probability >= 0.5) == (click > 0))


def precision(click: np.ndarray, probability: np.ndarray) -> float:
    """Share of clicks among the rows given 0.5 or more; 0 when there are none."""
    said = probability >= 0.5
    return _ratio(float((said & (click > 0)).sum()), float(said.sum()))


def recall(click: np.ndarray, probability: np.ndarray) -> float:
    """Share of the clicks that were given 0.5 or more; 0 when there are none."""
    clicked = click > 0
    return _ratio(float((clicked & (probability >= 0.5)).sum()), float(clicked.sum()))


def f1(click: np.ndarray, probability: np.ndarray) -> float:
    """Harmonic mean of precision and recall; 0 when both are."""
    p, r = precision(click, probability), recall(click, probability)
    return _ratio(2 * p * r, p + r)


@dataclass(frozen=True)
class CalibrationBin:
    """Rows whose probability fell into one bin: how many, the mean said, the share clicked."""

    rows: int
    predicted: float
    clicked: float


def calibration_bin(probability: np.ndarray, bins: int) -> np.ndarray:
    """Return the equal-width bin of each probability: int [n], 1.0 in the last."""
    return np.minimum((as_float(probability) * bins).astype(np.int64), bins - 1)


def calibration(
    click: np.ndarray, probability: np.ndarray, *, bins: int = 15
) -> tuple[CalibrationBin, ...]:
    """Compare what was said with what happened, in equal-width bins; empty ones left out."""
    where = calibration_bin(probability, bins)
    rows = np.bincount(where, minlength=bins)
    said = np.bincount(where, weights=probability, minlength=bins)
    happened = np.bincount(where, weights=click, minlength=bins)
    return tuple(
        CalibrationBin(int(rows[i]), float(said[i] / rows[i]), float(happened[i] / rows[i]))
        for i in np.flatnonzero(rows)
    )


def expected_calibration_error(
    click: np.ndarray, probability: np.ndarray, *, bins: int = 15
) -> float:
    """Mean over rows of |mean probability - share clicked| of the row's bin.

    Reference:
        Guo et al. 2017, arXiv:1706.04599, equation 3 (15 equal-width bins).
    """
    found = calibration(click, probability, bins=bins)
    rows = sum(one.rows for one in found)
    if not rows:
        return math.nan
    return sum(one.rows * abs(one.predicted - one.clicked) for one in found) / rows


def user_ctr(
    click: np.ndarray,
    score: np.ndarray,
    user: np.ndarray,
    k: int,
    *,
    users: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return each user's clicks and impressions when the k best scored rows are shown.

    Rows tied across the cutoff are shown in random order: the expected clicks count.

    Args:
        click: 0 or 1, [n].
        score: float [n].
        user: int [n], codes from 0.
        k: How many rows a user is shown at most.
        users: Number of codes; by default one more than the highest.

    Returns:
        Clicks and impressions, float [users].
    """
    size = users if users is not None else _codes(user)
    order, tie, ends = _tied_groups(user, -as_float(score))
    total = np.bincount(user, minlength=size)
    first = np.cumsum(total) - total
    place = np.arange(len(user)) - first[user[order]]
    count = np.diff(ends, prepend=0)
    share = np.bincount(tie, weights=click[order], minlength=len(ends)) / np.maximum(count, 1)
    shown = place < k
    clicks = np.bincount(user[order], weights=share[tie] * shown, minlength=size)
    return clicks, np.minimum(total, k).astype(np.float64)


def ctr_at_k(click: np.ndarray, score: np.ndarray, user: np.ndarray, k: int) -> float:
    """Click-through rate: clicks / impressions when each user is shown the k best rows."""
    clicks, shown = user_ctr(click, score, user, k)
    return float(clicks.sum() / shown.sum()) if len(shown) else math.nan


def _tied_groups(user: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort by user, then score, and find the groups of equal ones.

    Returns:
        Order, int [n]; group of each sorted row, int [n]; end of each group, int [groups].
    """
    order = np.lexsort((score, user))
    if not len(order):
        return order, order, order
    new = (np.diff(user[order]) != 0) | (np.diff(score[order]) != 0)
    tie = np.concatenate(([0], np.cumsum(new)))
    return order, tie, np.append(np.flatnonzero(new) + 1, len(order))


def as_float(values: np.ndarray) -> np.ndarray:
    """Return the values as float64, in which differences and sums are exact enough."""
    return np.asarray(values, np.float64)


def mean_of(values: np.ndarray) -> float:
    """Return the mean; NaN of no values."""
    return float(np.mean(values)) if len(values) else math.nan


def _codes(user: np.ndarray) -> int:
    return int(user.max()) + 1 if len(user) else 0


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
