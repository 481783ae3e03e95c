"""The contract of a baseline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from ssrec_tf.baselines.platt import Platt
from ssrec_tf.evaluation import Scores
from ssrec_tf.search_space import Space
from ssrec_tf.splits import event_order

if TYPE_CHECKING:
    from ssrec_tf.splits import Split
    from ssrec_tf.tables import Tables


@dataclass(frozen=True)
class Events:
    """Rows as codes: `user` and `item` int [n], -1 for what train or catalogue lack.

    `rating` is float64 [n], and empty where the log has none. `relevant`, bool [n], tells
    which rows a ranking should find: the clicked ones of a log of clicks without ratings,
    of any other log all. `order`, int [n], is each row's place in time, 0 for the oldest.
    """

    user: np.ndarray
    item: np.ndarray
    rating: np.ndarray
    relevant: np.ndarray
    order: np.ndarray


class Baseline(ABC):
    """A model simple enough to be trusted, fitted on train rows, tuned on valid rows.

    A subclass fits in `_fit` and scores in `_raw`; ids, scale, clicks and seen items are
    this class's work. Users and items that train never saw get what the subclass knows
    without them.

    Attributes:
        name: What it is called.
        needs_rating: Whether it learns from ratings, and predicts them.
        streaming: Whether it is fitted on streaming splits alone.
        space: Arguments of the constructor that a search may set, where there are any; what a
            subclass chooses on valid rows by itself is not among them.
    """

    name: ClassVar[str]
    needs_rating: ClassVar[bool] = True
    streaming: ClassVar[bool] = False
    space: ClassVar[Space] = MappingProxyType({})
    _tables: Tables  # what `fit` was given: a subclass may read items and users, no test rows
    _valid_rows: np.ndarray  # of the valid part, what `_fit` sees of it
    _past_only: bool  # whether what is scored comes after all of a user's train rows

    @classmethod
    def can_learn_from(cls, tables: Tables) -> bool:
        """Whether the log has the ratings that this baseline needs, if it does."""
        return not cls.needs_rating or "rating" in tables.interactions

    def fit(self, tables: Tables, split: Split) -> None:
        """Learn from train rows; choose constants, and scale clicks, on valid rows.

        An event without a rating tells nothing to a baseline of ratings.

        Without valid rows constants keep their defaults and clicks are scaled on train.

        Raises:
            ValueError: The log has no ratings and this baseline needs them.
        """
        log = tables.interactions
        if not self.can_learn_from(tables):
            raise ValueError(f"{self.name} needs ratings, {tables.name} has none: see `available`")
        self._tables, self._past_only = tables, split.past_only
        train = log.iloc[split.train]
        self._users = pd.Index(train["user"].unique()).sort_values()
        self._items = tables.items.index
        events = self._events(train)
        order = np.argsort(events.user, kind="stable")  # so that a user's items lie together
        self._seen = (events.user[order], events.item[order])
        labelled = self._labelled(log, split.train)
        if len(labelled) < len(split.train):
            events = self._events(log.iloc[labelled])
        self._valid_rows = self._labelled(log, split.valid)
        self._fit(events, self._events(log.iloc[self._valid_rows]))
        self._platt: Platt | None = None
        if "click" in log:
            known = log["click"].notna().to_numpy()
            valid, train_rows = split.valid[known[split.valid]], split.train[known[split.train]]
            rows = valid if len(valid) else train_rows
            self._platt = Platt.fit(self._row_score(rows), log["click"].to_numpy()[rows])

    def _labelled(self, log: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        """Those of `rows` this baseline learns from: with a rating, where it needs one."""
        return rows[log["rating"].notna().to_numpy()[rows]] if self.needs_rating else rows

    def scores(self, users: np.ndarray, items: np.ndarray) -> Scores:
        """Score pairs.

        Args:
            users: str [n].
            items: str [n].

        Returns:
            Rating clipped to the scale (where the log has ratings and the baseline
            predicts them) and click probability (where it has clicks), float64 [n].
        """
        return self._as_scores(self._score(users, items))

    def row_scores(self, rows: np.ndarray) -> Scores:
        """Score rows of the log, int64 [n]: as pairs, unless a subclass reads their past."""
        return self._as_scores(self._row_score(rows))

    def _as_scores(self, score: np.ndarray) -> Scores:
        rating = self._clip(score) if self.needs_rating else None
        return Scores(rating, None if self._platt is None else self._platt(score))

    def rank(self, users: np.ndarray) -> np.ndarray:
        """Score the whole catalogue.

        Args:
            users: str [users].

        Returns:
            float32 [users, items], in the order of `tables.items.index`; what a user has
            in train is -inf.
        """
        codes = self._users.get_indexer(pd.Index(users))
        found = np.empty((len(codes), len(self._items)), np.float32)
        every = np.arange(len(self._items))
        step = max(1, 1_000_000 // max(len(every), 1))
        for start in range(0, len(codes), step):
            part = codes[start : start + step, None]
            found[start : start + step] = self._raw(*np.broadcast_arrays(part, every[None]))
        first, last = np.searchsorted(self._seen[0], [codes, codes + 1])
        for row in range(len(codes)):  # an unknown user's -1 .. 0 is empty
            found[row, self._seen[1][first[row] : last[row]]] = -np.inf
        return found

    @abstractmethod
    def _fit(self, train: Events, valid: Events) -> None:
        """Learn from `train`; choose constants on `valid`, which may be empty."""

    @abstractmethod
    def _raw(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Score codes of any one shape; -1 stands for what train or catalogue lack."""

    def _events(self, log: pd.DataFrame) -> Events:
        return Events(
            self._users.get_indexer(pd.Index(log["user"])),
            self._items.get_indexer(pd.Index(log["item"])),
            _ratings(log),
            _relevant(log),
            event_order(log),
        )

    def _score(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        user = self._users.get_indexer(pd.Index(users))
        return self._raw(user, self._items.get_indexer(pd.Index(items)))

    def _row_score(self, rows: np.ndarray) -> np.ndarray:
        log = self._tables.interactions.iloc[rows]
        return self._score(log["user"].to_numpy(), log["item"].to_numpy())

    def _clip(self, rating: np.ndarray) -> np.ndarray:
        if self._tables.rating_scale is None:
            return rating
        clipped: np.ndarray = np.clip(rating, *self._tables.rating_scale)
        return clipped


def _ratings(log: pd.DataFrame) -> np.ndarray:
    return log["rating"].to_numpy(np.float64) if "rating" in log else np.empty(0)


def _relevant(log: pd.DataFrame) -> np.ndarray:
    if "rating" in log or "click" not in log:
        return np.ones(len(log), bool)
    clicked: np.ndarray = log["click"].to_numpy() > 0
    return clicked
