"""Matrices of a log, and scores worked out user by user."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

from ssrec_tf.baselines.base import Baseline

_CELLS = 4_000_000  # scores held at a time


def mean_matrix(
    row: np.ndarray, column: np.ndarray, value: np.ndarray, shape: tuple[int, int]
) -> sparse.csr_array:
    """Return the mean value of each pair that occurs: float64 [shape], sparse.

    Args:
        row: int [n].
        column: int [n].
        value: float [n].
        shape: Number of rows and of columns.
    """
    sums = sparse.coo_array((value.astype(np.float64), (row, column)), shape).tocsr()
    times = sparse.coo_array((np.ones(len(row)), (row, column)), shape).tocsr()
    sums.data /= times.data  # both hold the same pairs, in the same order
    return sums


def occurrence_matrix(
    row: np.ndarray, column: np.ndarray, shape: tuple[int, int]
) -> sparse.csr_array:
    """Return 1 for each pair that occurs, however often: float64 [shape], sparse."""
    return mean_matrix(row, column, np.ones(len(row)), shape)


def shared_values(column: pd.Series) -> sparse.csr_array | None:
    """Return 1 where an id has a value that others have too: float64 [ids, values], sparse.

    Args:
        column: str [ids]; a cell may hold several values, joined by ', '.

    Returns:
        None where the column holds no text or no value is shared.
    """
    if not pd.api.types.is_string_dtype(column):
        return None
    counter = CountVectorizer(analyzer=lambda text: set(text.split(", ")) - {""}, min_df=2)
    try:
        return sparse.csr_array(counter.fit_transform(column.fillna("")), dtype=np.float64)
    except ValueError:  # no value is shared
        return None


def by_user(
    user: np.ndarray, item: np.ndarray, items: int, rows: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Look codes up in rows of scores, made for some users at a time.

    Args:
        user: int, any shape, -1 for an unknown one.
        item: int, the same shape.
        items: Number of items.
        rows: Takes users, int [m], each once; returns float [m, items + 1], the last
            column for an unknown item.

    Returns:
        float64 of the given shape.
    """
    known, place = np.unique(user.ravel(), return_inverse=True)
    order = np.argsort(place, kind="stable")
    flat = item.ravel()
    found = np.empty(flat.size)
    step = max(1, _CELLS // (items + 1))
    starts = np.arange(0, len(known), step)
    bounds = np.searchsorted(place[order], np.append(starts, len(known)))
    for start, first, last in zip(starts, bounds[:-1], bounds[1:], strict=True):
        inside = order[first:last]
        scores = rows(known[start : start + step])
        found[inside] = scores[place[inside] - start, flat[inside]]
    return found.reshape(user.shape)


class ByUser(Baseline):
    """A baseline that scores the whole catalogue for a user at once."""

    def _raw(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        return by_user(user, item, len(self._items), self._rows)

    @abstractmethod
    def _rows(self, users: np.ndarray) -> np.ndarray:
        """Score every item for users: int [m] -> float [m, items + 1], see `by_user`."""
