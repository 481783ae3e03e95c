"""Intervals by resampling users: a user's rows stand or fall together.

Rows of one user are not independent, so whole users are drawn with replacement. Every
statistic is written as a function of how often each user was drawn, so that a thousand
samples cost a few matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from scipy import sparse

from ssrec_tf.metrics import calibration_bin

Statistic = Callable[[np.ndarray], np.ndarray]
"""How often each user was drawn, float [samples, users] -> value, float [samples]."""

_CELLS = 4_000_000


def draw_users(users: int, samples: int, seed: int, block: int) -> Iterator[np.ndarray]:
    """Draw `users` of `users` with replacement, `samples` times.

    Args:
        users: How many there are.
        samples: How often.
        seed: The same one gives the same draws, whatever `block` is.
        block: At most so many samples at a time.

    Yields:
        How often each user was drawn: float [at most block, users].
    """
    rng = np.random.default_rng(seed)
    for start in range(0, samples, block):
        size = min(block, samples - start)
        drawn = rng.integers(0, users, (size, users)) + users * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * users)
        yield counts.reshape(size, users).astype(np.float64)


def resample(
    statistics: Mapping[str, Statistic], *, users: int, rows: int, samples: int, seed: int
) -> dict[str, np.ndarray]:
    """Evaluate every statistic on the same resamples of users.

    Two models measured with the same `users`, `samples` and `seed` are paired: sample i
    holds the same users for both.

    Args:
        statistics: By name.
        users: How many there are.
        rows: The most values a statistic spreads a sample over; bounds the memory.
        samples: Number of resamples.
        seed: Of the draws.

    Returns:
        float [samples] by name; NaN where a sample has no value.

    Reference:
        Efron and Tibshirani 1993, "An introduction to the bootstrap", chapter 8.
    """
    found: dict[str, list[np.ndarray]] = {name: [] for name in statistics}
    block = max(1, _CELLS // max(users, rows, 1))
    for drawn in draw_users(users, samples, seed, block):
        for name, statistic in statistics.items():
            found[name].append(statistic(drawn))
    return {name: np.concatenate(parts or [np.empty(0)]) for name, parts in found.items()}


def ratio(part: np.ndarray, whole: np.ndarray) -> Statistic:
    """Sum of `part` over sum of `whole`; both float [users], sums over a user's rows."""

    def value(drawn: np.ndarray) -> np.ndarray:
        return _divide(drawn @ part, drawn @ whole)

    return value


def root(statistic: Statistic) -> Statistic:
    """Square root of another statistic."""
    return lambda drawn: np.sqrt(statistic(drawn))


def auc(click: np.ndarray, score: np.ndarray, user: np.ndarray) -> Statistic:
    """AUC over all rows, ties counted half.

    Args:
        click: 0 or 1, [n].
        score: float [n].
        user: int [n], codes of the users drawn.
    """
    clicked = click > 0
    others = np.flatnonzero(~clicked)
    others = others[np.argsort(score[others], kind="stable")]
    lower = np.searchsorted(score[others], score[clicked], "left")
    upper = np.searchsorted(score[others], score[clicked], "right")
    users, other_users = user[clicked], user[others]

    def value(drawn: np.ndarray) -> np.ndarray:
        below = np.zeros((len(drawn), len(others) + 1))
        np.cumsum(drawn[:, other_users], axis=1, out=below[:, 1:])
        weights = drawn[:, users]  # [samples, clicks]
        wins = (weights * (below[:, lower] + below[:, upper])).sum(axis=1) / 2
        return _divide(wins, weights.sum(axis=1) * below[:, -1])

    return value


def calibration_error(
    click: np.ndarray, probability: np.ndarray, user: np.ndarray, users: int, bins: int = 15
) -> Statistic:
    """Expected calibration error: sum over bins of |said - happened| over all rows."""
    cell = user * bins + calibration_bin(probability, bins)
    excess = np.bincount(cell, weights=probability - click, minlength=users * bins)
    gaps = excess.reshape(users, bins)
    rows = np.bincount(user, minlength=users).astype(np.float64)
    return lambda drawn: _divide(np.abs(drawn @ gaps).sum(axis=1), drawn @ rows)


def coverage(top: np.ndarray, user: np.ndarray) -> Statistic:
    """Share of items in the top k of at least one user drawn.

    Args:
        top: bool [ranked users, items].
        user: int [ranked users], codes of the users drawn.
    """
    listed = sparse.csr_matrix(top.T.astype(np.float32))  # [items, ranked users]

    def value(drawn: np.ndarray) -> np.ndarray:
        present = (drawn[:, user] > 0).astype(np.float32)  # [samples, ranked users]
        shown: np.ndarray = (listed @ present.T) > 0  # [items, samples]
        share: np.ndarray = shown.mean(axis=0)
        return share

    return value


def percentile_interval(samples: np.ndarray) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentile of the samples that have a value."""
    known = samples[np.isfinite(samples)]
    if not len(known):
        return math.nan, math.nan
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def centred_interval(value: float, samples: np.ndarray) -> tuple[float, float]:
    """Return value -+ 1.96 standard deviations of the samples, kept within 0 to 1.

    For figures a resample is biased on: a sample holds fewer distinct users, so its
    coverage is always lower, and its calibration error higher, than the real one.
    """
    known = samples[np.isfinite(samples)]
    if not len(known):
        return math.nan, math.nan
    spread = 1.96 * float(np.std(known))
    return max(value - spread, 0.0), min(value + spread, 1.0)


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole != 0)
    return found
