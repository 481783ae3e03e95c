"""The figures of a full ranking: every relevant item against the whole catalogue.

No candidates are sampled: sampled figures can order models the wrong way round
(Krichene and Rendle 2020, "On sampled metrics for item recommendation").
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ssrec_tf.metrics import mean_of

_CELLS = 4_000_000  # cells of a [users, items] block worked on at a time


def ranks(
    scores: np.ndarray, users: np.ndarray, items: np.ndarray, seen: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Rank each relevant item among its user's candidates, 1 for the best.

    rank = 1 + #(candidates with a higher score) + #(others with the same score) / 2, where
    the candidates are all items but those seen and the user's other relevant items.

    Args:
        scores: float [users, items].
        users: int [n], row of `scores` of each relevant pair; pairs occur once.
        items: int [n], column of each pair; not among the user's seen items.
        seen: Rows and columns of `scores` that are no candidates, int [m] each.

    Returns:
        float [n], in steps of a half.
    """
    found = np.empty(len(users))
    for block, inside, masked in _blocks(scores, seen, users):
        rows, columns = users[inside] - block, items[inside]
        own = masked[rows, columns]  # [pairs]
        masked[rows, columns] = np.nan  # NaN is neither greater nor equal
        higher = np.empty(len(rows))
        tied = np.empty(len(rows))
        step = max(1, _CELLS // scores.shape[1])
        for at in range(0, len(rows), step):
            part = slice(at, at + step)
            others, mine = masked[rows[part]], own[part, None]
            higher[part] = (others > mine).sum(axis=1)
            tied[part] = (others == mine).sum(axis=1)
        found[inside] = 1 + higher + tied / 2
    return found


def within(rank: np.ndarray, k: int) -> np.ndarray:
    """Tell which ranks are within the cutoff: fewer than k before them, ties counted half."""
    inside: np.ndarray = rank < k + 1
    return inside


def recall_at_k(rank: np.ndarray, k: int) -> float:
    """Share of relevant items ranked within k (also: hit rate)."""
    return mean_of(within(rank, k))


def ndcg_at_k(rank: np.ndarray, k: int) -> float:
    """Mean of 1 / log2(1 + rank) within k, else 0; the ideal of a lone item is 1.

    Reference:
        Järvelin and Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques".
    """
    return mean_of(np.where(within(rank, k), 1 / np.log2(1 + rank), 0))


def mrr_at_k(rank: np.ndarray, k: int) -> float:
    """Mean of 1 / rank within k, else 0."""
    return mean_of(np.where(within(rank, k), 1 / rank, 0))


def top_k(scores: np.ndarray, seen: tuple[np.ndarray, np.ndarray], k: int) -> np.ndarray:
    """Tell which unseen items are among each user's k best; equal scores in item order.

    Args:
        scores: float [users, items].
        seen: Rows and columns that are no candidates, int [m] each.
        k: How many; fewer where a user has fewer candidates.

    Returns:
        bool [users, items].
    """
    chosen = np.zeros(scores.shape, bool)
    k = min(k, scores.shape[1])
    for block, _, masked in _blocks(scores, seen, np.empty(0, np.int64)):
        values = np.where(np.isnan(masked), -np.inf, masked)
        last = np.partition(values, -k, axis=1)[:, -k, None]
        better, equal = values > last, values == last
        room = k - better.sum(axis=1, keepdims=True)
        best = better | (equal & (np.cumsum(equal, axis=1) <= room))
        chosen[block : block + len(values)] = best & ~np.isnan(masked)
    return chosen


def coverage_at_k(scores: np.ndarray, seen: tuple[np.ndarray, np.ndarray], k: int) -> float:
    """Share of the catalogue that stands in the top k of at least one user."""
    if not scores.size:
        return math.nan
    return float(top_k(scores, seen, k).any(axis=0).mean())


def _blocks(
    scores: np.ndarray, seen: tuple[np.ndarray, np.ndarray], users: np.ndarray
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Cut `scores` into blocks of users small enough to work on.

    Yields:
        First user; the places of its `users` [pairs of the block]; a float copy of the
        block [users of the block, items] with NaN at what was seen.
    """
    step = max(1, _CELLS // max(scores.shape[1], 1))
    for block in range(0, len(scores), step):
        masked = scores[block : block + step].astype(np.float64)
        hidden = (seen[0] >= block) & (seen[0] < block + step)
        masked[seen[0][hidden] - block, seen[1][hidden]] = np.nan
        yield block, np.flatnonzero((users >= block) & (users < block + step)), masked
