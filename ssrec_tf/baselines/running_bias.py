"""User and item bias, kept up to date: of a stream, the past of every row counts."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ssrec_tf.baselines.base import Baseline, Events
from ssrec_tf.errors import ConfigError
from ssrec_tf.splits import STREAMING, event_order

if TYPE_CHECKING:
    from ssrec_tf.splits import Split
    from ssrec_tf.tables import Tables

_GRID = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0)


class RunningBias(Baseline):
    """mean + user bias + item bias, both of the rows before the one that is scored.

    With r the ratings above the train mean and sums over earlier rows by (time, row), of
    any part: item bias = sum r / (count + damping_i); user bias = sum (r - item bias as it
    was then) / (count + damping_u). A row costs two additions, as in a live service. The
    dampings are chosen on the valid rows, from a grid, by RMSE. A pair without a row, and a
    ranking, get the biases as they were at the end of train.

    Attributes:
        damping: Chosen for users and for items.

    Reference:
        Koren 2010, "Factor in the neighbors", section 2.1, its biases with running sums.
    """

    name = "running_bias"
    streaming = True

    def __init__(self) -> None:
        """Make an unfitted baseline."""
        super().__init__()
        self.damping = (5.0, 5.0)

    def fit(self, tables: Tables, split: Split) -> None:
        """See `Baseline.fit`; rows of all parts are read, each after it was scored.

        Raises:
            ConfigError: The split is not a streaming one.
        """
        if not split.streaming:
            raise ConfigError(
                f"{self.name} reads what was before every row, which split.kind={split.kind} "
                f"does not allow: give split.kind {' or '.join(STREAMING)}, or the model bias"
            )
        self._split = split
        super().fit(tables, split)

    def _fit(self, train: Events, valid: Events) -> None:
        self._mean = float(train.rating.mean())
        if len(valid.rating):
            errors = {}
            for damping in itertools.product(_GRID, _GRID):
                rating = self._clip(self._stream(damping)[self._valid_rows])
                errors[damping] = float(np.mean((valid.rating - rating) ** 2))
            self.damping = min(errors, key=lambda damping: (errors[damping], damping))
        self._scores = self._stream(self.damping)

    def _stream(self, damping: tuple[float, float]) -> np.ndarray:
        """Score every row of the log from those before it: float64 [rows]."""
        log = self._tables.interactions
        order = np.argsort(event_order(log))  # [rows], oldest first
        rest = log["rating"].to_numpy(np.float64)[order] - self._mean
        train = np.isin(order, self._split.train) & ~np.isnan(rest)
        item = self._items.get_indexer(pd.Index(log["item"]))[order]
        user, names = pd.factorize(log["user"].to_numpy()[order])
        items = _before(item, rest, damping[1])
        users = _before(user, rest - items, damping[0])
        self._item_bias = _bias(item[train], rest[train], damping[1], len(self._items))
        # In the order of `self._users`; the last place is where -1 points: no bias.
        own = _bias(user[train], (rest - items)[train], damping[0], len(names))
        self._user_bias = np.append(own[pd.Index(names).get_indexer(self._users)], 0.0)
        scores = np.empty(len(order))
        scores[order] = self._mean + items + users
        return scores

    def _row_score(self, rows: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._scores[rows]
        return found

    def _raw(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._mean + self._user_bias[user] + self._item_bias[item]
        return found


def _before(group: np.ndarray, values: np.ndarray, damping: float) -> np.ndarray:
    """Damped mean of the earlier values, NaN apart, of each row's group: float64 [rows]."""
    known = ~np.isnan(values)
    both = pd.DataFrame({"sum": np.where(known, values, 0.0), "count": known.astype(np.float64)})
    before = both.groupby(group).cumsum() - both
    return np.asarray(before["sum"] / (before["count"] + damping))


def _bias(group: np.ndarray, values: np.ndarray, damping: float, groups: int) -> np.ndarray:
    """Damped mean of each group, and 0 last: float64 [groups + 1]."""
    sums = np.bincount(group, weights=values, minlength=groups)
    return np.append(sums / (np.bincount(group, minlength=groups) + damping), 0.0)
