"""What models of the order have in common: histories, and a choice by recall."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from scipy import sparse

from ssrec_tf.baselines.base import Events
from ssrec_tf.baselines.blocks import ByUser, occurrence_matrix
from ssrec_tf.ranking_metrics import ranks, recall_at_k

_K = 10
_USERS = 2_000  # users ranked at a time
Option = tuple[float, ...]


class Ranker(ByUser):
    """A model that reads which items a user had in train, and predicts no rating.

    Its constants are those of `grid` with the highest recall@10 on the valid rows, the
    earlier of equal ones; without valid rows the first. A user train never saw counts as
    the mean of all users, an item train never saw scores 0.

    Attributes:
        chosen: The constants in use.
    """

    needs_rating = False
    grid: ClassVar[tuple[Option, ...]]

    def __init__(self) -> None:
        """Make an unfitted baseline."""
        super().__init__()
        self.chosen = self.grid[0]

    def _fit(self, train: Events, valid: Events) -> None:
        shape = len(self._users), len(self._items)
        user, item = train.user[train.relevant], train.item[train.relevant]
        self._history = occurrence_matrix(user, item, shape)  # [users, items]
        pairs = self._unseen(valid)
        if len(pairs):
            recalls = {}
            for option in self.grid:
                self._learn(option)
                recalls[option] = self._recall(pairs)
            self.chosen = max(self.grid, key=lambda option: recalls[option])
        self._learn(self.chosen)

    def _rows(self, users: np.ndarray) -> np.ndarray:
        return np.pad(self._score_items(users), ((0, 0), (0, 1)))

    @abstractmethod
    def _learn(self, option: Option) -> None:
        """Fit to `self._history` with these constants."""

    @abstractmethod
    def _score_items(self, users: np.ndarray) -> np.ndarray:
        """Score the catalogue: int [m], -1 for an unknown user -> float [m, items]."""

    def _unseen(self, valid: Events) -> np.ndarray:
        """Return the relevant pairs of known users that train lacks: int [pairs, 2], sorted."""
        wanted = valid.relevant & (valid.user >= 0)
        items = len(self._items)
        new = np.setdiff1d(
            valid.user[wanted] * items + valid.item[wanted],
            self._seen[0] * items + self._seen[1],
        )
        return np.stack([new // items, new % items], axis=1)

    def _recall(self, pairs: np.ndarray) -> float:
        users, place = np.unique(pairs[:, 0], return_inverse=True)
        found = []
        for start in range(0, len(users), _USERS):
            part = users[start : start + _USERS]
            inside = (place >= start) & (place < start + _USERS)
            at = np.searchsorted(part, self._seen[0])
            seen = part[np.minimum(at, len(part) - 1)] == self._seen[0]
            masked = (at[seen], self._seen[1][seen])
            scores = self._score_items(part)
            found.append(ranks(scores, place[inside] - start, pairs[inside, 1], masked))
        return recall_at_k(np.concatenate(found), _K)


class Linear(Ranker):
    """A ranker whose score is the user's history times a matrix of item weights."""

    _weights: np.ndarray  # [items, items], from an item of the history to a candidate

    def _fit(self, train: Events, valid: Events) -> None:
        self._mean: np.ndarray | None = None
        super()._fit(train, valid)
        self._mean = np.asarray(self._counted().mean(axis=0)) @ self._weights

    def _counted(self) -> sparse.csr_array:
        """How much each item of a user counts: float64 [users, items], sparse."""
        return self._history

    def _score_items(self, users: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._counted()[users] @ self._weights
        if self._mean is not None:  # while tuning, every user is known
            found[users < 0] = self._mean
        return found
