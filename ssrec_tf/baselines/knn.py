"""Neighbours: of users and of items by ratings, of items by who had them."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy import sparse

from ssrec_tf.baselines.base import Events
from ssrec_tf.baselines.bias import Bias
from ssrec_tf.baselines.blocks import mean_matrix
from ssrec_tf.baselines.ranker import Linear, Option

_SHRINKS = (10.0, 30.0, 100.0, 300.0)
_NEIGHBOURS = (10, 20, 40, 80)


class _Neighbours(Bias):
    """Bias, and the mean of what it leaves of the neighbours' ratings.

    score = bias(u, i) + sum s r / sum s, over the k nearest among those that rated the same
    thing, where r is a neighbour's rating less its bias. The similarity s is the cosine of
    two rows of such rests where both have one, times n / (n + shrink) for n of these; below
    0 it counts as 0. The shrinkage and k are chosen on the valid rows, by RMSE; without
    valid rows they are 30 and 40. Needs memory for all pairs of neighbours.

    Attributes:
        shrink: Chosen.
        k: Chosen.

    Reference:
        Koren 2010, "Factor in the neighbors", sections 2.2 and 3 (equations 2 and 3).
    """

    def __init__(self) -> None:
        """Make an unfitted baseline."""
        super().__init__()
        self.shrink, self.k = 30.0, 40

    @abstractmethod
    def _roles(self, user: np.ndarray, item: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return whose neighbours are looked for, and among whose raters (or ratings)."""

    def _fit(self, train: Events, valid: Events) -> None:
        super()._fit(train, valid)
        one, other = self._roles(np.arange(len(self._users)), np.arange(len(self._items)))
        rest = train.rating - self._bias(train.user, train.item)
        rests = mean_matrix(*self._roles(train.user, train.item), rest, (len(one), len(other)))
        self._given = rests.tocsc()  # by column: who may be a neighbour, and the rest
        cosine, common = _cosine(rests)
        if len(valid.rating):
            errors = {}
            for shrink in _SHRINKS:
                self._similarity = _shrunk(cosine, common, shrink)
                added = self._added(valid.user, valid.item, _NEIGHBOURS)
                for k, more in zip(_NEIGHBOURS, added, strict=True):
                    rating = self._clip(self._bias(valid.user, valid.item) + more)
                    errors[shrink, k] = float(np.mean((valid.rating - rating) ** 2))
            self.shrink, self.k = min(errors, key=lambda chosen: (errors[chosen], chosen))
        self._similarity = _shrunk(cosine, common, self.shrink)

    def _raw(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        added = self._added(user.ravel(), item.ravel(), (self.k,))[0]
        found: np.ndarray = self._bias(user, item) + added.reshape(user.shape)
        return found

    def _added(self, user: np.ndarray, item: np.ndarray, ks: tuple[int, ...]) -> np.ndarray:
        """Return what the neighbours add: int [n], int [n] -> float64 [ks, n]."""
        target, column = self._roles(user, item)
        found = np.zeros((len(ks), len(target)))
        order = np.argsort(column, kind="stable")
        order = order[(column[order] >= 0) & (target[order] >= 0)]
        starts = np.flatnonzero(np.diff(column[order], prepend=-1))
        for rows in np.split(order, starts[1:]):
            if len(rows):
                part = slice(*self._given.indptr[column[rows[0]] :][:2])
                near = self._similarity[target[rows, None], self._given.indices[part]]
                found[:, rows] = _nearest(near, self._given.data[part], ks)
        return found


class UserKNN(_Neighbours):
    """What similar users gave the item; see `_Neighbours` for the formula."""

    name = "user_knn"

    def _roles(self, user: np.ndarray, item: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return user, item


class ItemKNN(_Neighbours):
    """What the user gave similar items; see `_Neighbours` for the formula."""

    name = "item_knn"

    def _roles(self, user: np.ndarray, item: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return item, user


class ImplicitItemKNN(Linear):
    """How similar an item is to those the user has in train, summed over them; no rating.

    s_ij = n_ij / (sqrt(n_i n_j) + shrink), where n counts the users that have the item, or
    both; of each item's similarities to others the k highest count, and what equals the k-th.
    Both constants are chosen on valid rows. Needs memory for items x items.

    Reference:
        Deshpande and Karypis 2004, "Item-based top-N recommendation algorithms".
    """

    name = "implicit_item_knn"
    grid: ClassVar[tuple[Option, ...]] = (
        (20.0, 100.0),
        *((shrink, k) for shrink in (0.0, 20.0, 100.0) for k in (20.0, 50.0, 100.0, 200.0)),
    )

    def _learn(self, option: Option) -> None:
        shrink, k = option[0], int(option[1])
        both = (self._history.T @ self._history).toarray()
        root = np.sqrt(np.diag(both))
        divisor = np.outer(root, root) + shrink
        found = np.divide(both, divisor, out=np.zeros_like(both), where=both > 0)
        np.fill_diagonal(found, 0.0)
        if k < len(found):
            found[found < np.partition(found, -k, axis=0)[-k]] = 0.0
        self._weights = found


class RecentItemKNN(ImplicitItemKNN):
    """`ImplicitItemKNN`, in which the newest events of a user say most.

    score(u, j) = sum over what u has of exp(-n / span) s_ij, where n counts the events of u
    in train that came after i. The span is chosen together with the constants of s, on valid
    rows.

    Reference:
        Ludewig and Jannach 2018, "Evaluation of Session-based Recommendation Algorithms",
        arXiv:1803.09587 (neighbours of sessions, with weights that decay).
    """

    name = "recent_item_knn"
    grid: ClassVar[tuple[Option, ...]] = tuple(
        (shrink, k, span)
        for shrink in (20.0, 0.0, 100.0)
        for k in (100.0, 200.0, 500.0)
        for span in (10.0, 3.0, 5.0, 20.0, 50.0)
    )

    def _fit(self, train: Events, valid: Events) -> None:
        log = pd.DataFrame({"user": train.user, "item": train.item, "order": train.order})
        log = log[train.relevant].sort_values("order", ascending=False)
        log["later"] = log.groupby("user").cumcount()
        self._newest = log.drop_duplicates(["user", "item"])  # the newest event of each pair
        self._similarity_of: Option = ()
        super()._fit(train, valid)

    def _learn(self, option: Option) -> None:
        if option[:2] != self._similarity_of:
            super()._learn(option)
            self._similarity_of = option[:2]
        counts = np.exp(-self._newest["later"].to_numpy() / option[2])
        places = self._newest["user"].to_numpy(), self._newest["item"].to_numpy()
        self._recent = sparse.csr_array((counts, places), self._history.shape)

    def _counted(self) -> sparse.csr_array:
        return self._recent


def _cosine(rests: sparse.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosine of rows where both have values, and the number of these.

    Args:
        rests: float64 [n, m], sparse.

    Returns:
        float32 [n, n] each; 0 for a row and itself, which is no neighbour.
    """
    has, squares = rests.copy(), rests.multiply(rests)
    has.data = np.ones_like(has.data)
    product = (rests @ rests.T).toarray()
    norm = (squares @ has.T).toarray()  # of the row, over what it has in common with another
    norm = np.sqrt(norm * norm.T)
    cosine = np.divide(product, norm, out=np.zeros_like(norm), where=norm > 0)
    np.fill_diagonal(cosine, 0.0)
    return cosine.astype(np.float32), (has @ has.T).toarray().astype(np.float32)


def _shrunk(cosine: np.ndarray, common: np.ndarray, shrink: float) -> np.ndarray:
    return np.maximum(cosine * (common / (common + shrink)), 0.0)


def _nearest(near: np.ndarray, rest: np.ndarray, ks: tuple[int, ...]) -> np.ndarray:
    """Average the rests of the k most similar: [n, m], [m] -> float64 [ks, n]."""
    if near.shape[1] > max(ks):
        chosen = np.argpartition(-near, max(ks) - 1, axis=1)[:, : max(ks)]
    else:
        chosen = np.broadcast_to(np.arange(near.shape[1]), near.shape)
    weight = np.take_along_axis(near, chosen, axis=1)
    if len(ks) > 1:
        order = np.argsort(-weight, axis=1)
        chosen = np.take_along_axis(chosen, order, axis=1)
        weight = np.take_along_axis(weight, order, axis=1)
    weight = weight.astype(np.float64)
    found = np.zeros((len(ks), len(near)))
    for row, k in enumerate(ks):
        whole = weight[:, :k].sum(axis=1)
        total = (weight[:, :k] * rest[chosen[:, :k]]).sum(axis=1)
        np.divide(total, whole, out=found[row], where=whole > 0)
    return found
