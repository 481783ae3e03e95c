"""How often an item occurs in train."""

from __future__ import annotations

import numpy as np

from ssrec_tf.baselines.base import Baseline, Events


class Popularity(Baseline):
    """The logarithm of 1 + the item's train rows, the same for every user; no rating.

    The logarithm leaves the order as it is and makes a click's log-odds nearly linear.
    """

    name = "popularity"
    needs_rating = False

    def _fit(self, train: Events, valid: Events) -> None:
        rows = np.bincount(train.item, minlength=len(self._items))
        self._logs = np.append(np.log1p(rows), 0.0)  # the last for an unknown item

    def _raw(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._logs[item]
        return found
