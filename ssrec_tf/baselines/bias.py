"""User and item bias."""

from __future__ import annotations

import itertools

import numpy as np

from ssrec_tf.baselines.base import Baseline, Events

_GRID = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
_ROUNDS = 10


class Bias(Baseline):
    """mean + user bias + item bias, each shrunk towards 0 by a damping of its own.

    The biases minimise sum (r - mean - b_u - b_i)^2 + damping_u sum b_u^2 + damping_i sum
    b_i^2 (found by turns, as each has a closed form given the other). The dampings are
    chosen on the valid rows, from a grid, by RMSE; without valid rows both are 5.

    Attributes:
        damping: Chosen for users and for items.

    Reference:
        Koren 2010, "Factor in the neighbors", section 2.1.
    """

    name = "bias"

    def __init__(self) -> None:
        """Make an unfitted baseline."""
        super().__init__()
        self.damping = (5.0, 5.0)

    def _fit(self, train: Events, valid: Events) -> None:
        if len(valid.rating):
            errors = {}
            for damping in itertools.product(_GRID, _GRID):
                self._solve(train, damping)
                rating = self._clip(self._bias(valid.user, valid.item))
                errors[damping] = float(np.mean((valid.rating - rating) ** 2))
            self.damping = min(errors, key=lambda damping: (errors[damping], damping))
        self._solve(train, self.damping)

    def _solve(self, train: Events, damping: tuple[float, float]) -> None:
        users, items = len(self._users), len(self._items)
        self._mean = float(train.rating.mean())
        rest = train.rating - self._mean
        user_rows = np.bincount(train.user, minlength=users) + damping[0]
        item_rows = np.bincount(train.item, minlength=items) + damping[1]
        user_bias = np.zeros(users)
        for _ in range(_ROUNDS):
            left = rest - user_bias[train.user]
            item_bias = np.bincount(train.item, weights=left, minlength=items) / item_rows
            left = rest - item_bias[train.item]
            user_bias = np.bincount(train.user, weights=left, minlength=users) / user_rows
        # The last place is where -1 points: no bias.
        self._user_bias, self._item_bias = np.append(user_bias, 0.0), np.append(item_bias, 0.0)

    def _raw(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        return self._bias(user, item)

    def _bias(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Score codes by the biases alone: what a subclass adds to."""
        found: np.ndarray = self._mean + self._user_bias[user] + self._item_bias[item]
        return found
