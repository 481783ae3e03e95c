"""What a user likes in the words of the items."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeCV

from ssrec_tf.baselines.base import Events
from ssrec_tf.baselines.bias import Bias
from ssrec_tf.baselines.blocks import by_user

if TYPE_CHECKING:
    from ssrec_tf.tables import Tables

_PENALTIES = (10.0, 1.0, 3.0, 30.0, 100.0)


class Content(Bias):
    """Bias, and a linear taste of each user's over the TF-IDF of the items' texts.

    A user's weights are the ridge regression, on the texts of the items the user rated, of
    what the biases leave of the ratings. An item without train rows is scored by its text:
    its bias is foretold by a ridge regression of the other items' biases, weighted by their
    rows. The users' penalty is chosen on valid rows, by RMSE; without valid rows it is 10.

    Attributes:
        penalty: Chosen.

    Reference:
        Pazzani and Billsus 2007, "Content-based recommendation systems", section 10.7.
    """

    name = "content"

    def __init__(self) -> None:
        """Make an unfitted baseline."""
        super().__init__()
        self.penalty = _PENALTIES[0]

    def _fit(self, train: Events, valid: Events) -> None:
        super()._fit(train, valid)
        self._texts = self._features()
        self._foretell_biases(np.bincount(train.item, minlength=len(self._items)))
        rest = train.rating - self._bias(train.user, train.item)
        if len(valid.rating):
            errors = {}
            for penalty in _PENALTIES:
                self._learn(train, rest, penalty)
                rating = self._clip(self._raw(valid.user, valid.item))
                errors[penalty] = float(np.mean((valid.rating - rating) ** 2))
            self.penalty = min(_PENALTIES, key=lambda penalty: errors[penalty])
        self._learn(train, rest, self.penalty)

    def _features(self) -> sparse.csr_array:
        """Return the texts' TF-IDF: float64 [items, words], rows of length 1 or 0."""
        texts = item_texts(self._tables)
        if not any(text.strip() for text in texts):
            return sparse.csr_array((len(texts), 1))
        return sparse.csr_array(TfidfVectorizer(analyzer=words_of).fit_transform(texts))

    def _foretell_biases(self, rows: np.ndarray) -> None:
        """Give items without train rows the bias their text makes likely."""
        known, biases = rows > 0, self._item_bias[:-1]
        if known.all() or not self._texts.nnz:
            return
        model = RidgeCV(alphas=np.logspace(0, 4, 9))
        model.fit(self._texts[known], biases[known], sample_weight=rows[known])
        biases[~known] = model.predict(self._texts[~known])

    def _learn(self, train: Events, rest: np.ndarray, penalty: float) -> None:
        """Solve each user's ridge in its dual form: a weight for each of the user's rows."""
        order = np.argsort(train.user, kind="stable")
        weights = np.empty(len(order))
        for rows in np.split(order, np.flatnonzero(np.diff(train.user[order])) + 1):
            texts = self._texts[train.item[rows]]
            kernel = (texts @ texts.T).toarray()
            kernel[np.diag_indices_from(kernel)] += penalty
            weights[rows] = np.linalg.solve(kernel, rest[rows])
        shape = len(self._users) + 1, len(self._items)  # the last row for an unknown user
        dual = sparse.coo_array((weights, (train.user, train.item)), shape)
        self._tastes = sparse.csr_array(dual.tocsr() @ self._texts)  # [users + 1, words]

    def _raw(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        liking = by_user(user, item, len(self._items), self._liking)
        found: np.ndarray = self._bias(user, item) + liking
        return found

    def _liking(self, users: np.ndarray) -> np.ndarray:
        users = np.where(users < 0, len(self._users), users)
        liking: np.ndarray = (self._tastes[users] @ self._texts.T).toarray()
        return np.pad(liking, ((0, 0), (0, 1)))


def item_texts(tables: Tables) -> list[str]:
    """Return each item's texts and categories, joined by blanks: str [items]."""
    items = tables.items
    columns = [items[name] for name in items if pd.api.types.is_string_dtype(items[name])]
    if not columns:
        return [""] * len(items)
    return [" ".join(str(v) for v in row if pd.notna(v)) for row in zip(*columns, strict=True)]


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, in their order."""
    return re.findall(r"\w+", text.lower())
