"""User and item bias."""

from __future__ import annotations

import itertools

import numpy as np

from ssrec_tf.baselines.base import Baseline, Events
from ssrec_tf.biases import biases

_GRID = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)


class Bias(Baseline):
    """mean + user bias + item bias, each shrunk towards 0 by a damping of its own.

    See `biases`. The dampings are chosen on the valid rows, from a grid, by RMSE; without valid
    rows both are 5.

    Attributes:
        damping: Chosen for users and for items.
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
        shape = len(self._users), len(self._items)
        self._mean = float(train.rating.mean())
        above = train.rating - self._mean
        user_bias, item_bias = biases(train.user, train.item, above, shape=shape, damping=damping)
        # The last place is where -1 points: no bias.
        self._user_bias, self._item_bias = np.append(user_bias, 0.0), np.append(item_bias, 0.0)

    def _raw(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        return self._bias(user, item)

    def _bias(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Score codes by the biases alone: what a subclass adds to."""
        found: np.ndarray = self._mean + self._user_bias[user] + self._item_bias[item]
        return found
