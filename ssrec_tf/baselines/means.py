"""The mean of all ratings, of the user's, of the item's."""

from __future__ import annotations

import numpy as np

from ssrec_tf.baselines.base import Baseline, Events


class GlobalMean(Baseline):
    """The mean rating of train, for everybody and everything."""

    name = "global_mean"

    def _fit(self, train: Events, valid: Events) -> None:
        self._mean = float(train.rating.mean())

    def _raw(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        return np.full(np.shape(user), self._mean)


class UserMean(Baseline):
    """The mean rating of the user; of all for a user train never saw."""

    name = "user_mean"

    def _fit(self, train: Events, valid: Events) -> None:
        self._means = _group_means(train.user, train.rating, len(self._users))

    def _raw(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._means[user]
        return found


class ItemMean(Baseline):
    """The mean rating of the item; of all for an item train never saw."""

    name = "item_mean"

    def _fit(self, train: Events, valid: Events) -> None:
        self._means = _group_means(train.item, train.rating, len(self._items))

    def _raw(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._means[item]
        return found


def _group_means(group: np.ndarray, rating: np.ndarray, groups: int) -> np.ndarray:
    """Return the mean of each group, and last (where -1 points) that of all rows."""
    rows = np.bincount(group, minlength=groups)
    sums = np.bincount(group, weights=rating, minlength=groups)
    mean = float(rating.mean())
    means = np.divide(sums, rows, out=np.full(groups, mean), where=rows > 0)
    return np.append(means, mean)
