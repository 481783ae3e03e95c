"""Matrix factorization of ratings, from the library scikit-surprise."""

from __future__ import annotations

from abc import abstractmethod
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy import sparse

from ssrec_tf.baselines.base import Events
from ssrec_tf.baselines.blocks import ByUser
from ssrec_tf.baselines.optional import library
from ssrec_tf.search_space import Range


class _Factors(ByUser):
    """mean + user bias + item bias + p_u q_i, learnt by stochastic gradient descent.

    The penalty is chosen on valid rows, by RMSE; without valid rows it is the last of
    `penalties`. Users and items that train never saw have a bias and factors of 0.

    Attributes:
        penalty: Chosen, for biases and factors alike.
    """

    penalties: ClassVar[tuple[float, ...]]
    space = MappingProxyType(
        {
            "factors": Range(20, 200, log=True),
            "epochs": Range(20, 120),
            "rate": Range(0.002, 0.02, log=True),
        }
    )

    def __init__(self, factors: int, epochs: int, rate: float, seed: int) -> None:
        """Make an unfitted baseline.

        Args:
            factors: Length of a user's and an item's vector.
            epochs: Passes over the train rows.
            rate: Learning rate.
            seed: Of the first factors.
        """
        super().__init__()
        self._options = {"n_factors": factors, "n_epochs": epochs, "lr_all": rate}
        self._options["random_state"] = seed
        self.penalty = self.penalties[-1]

    def _fit(self, train: Events, valid: Events) -> None:
        surprise = library("surprise")
        frame = pd.DataFrame({"user": train.user, "item": train.item, "rating": train.rating})
        reader = surprise.Reader(rating_scale=(train.rating.min(), train.rating.max()))
        self._rows_of = surprise.Dataset.load_from_df(frame, reader).build_full_trainset()
        if len(valid.rating):
            errors = {}
            for penalty in self.penalties:
                self._learn(train, penalty)
                rating = self._clip(self._raw(valid.user, valid.item))
                errors[penalty] = float(np.mean((valid.rating - rating) ** 2))
            self.penalty = min(self.penalties, key=lambda penalty: errors[penalty])
            if self.penalty == self.penalties[-1]:
                return  # it was learnt last
        self._learn(train, self.penalty)

    def _learn(self, train: Events, penalty: float) -> None:
        model = self._model({**self._options, "reg_all": penalty})
        model.fit(self._rows_of)
        # The library numbers users and items as they come; here they are numbered by code.
        users = [self._rows_of.to_raw_uid(row) for row in range(self._rows_of.n_users)]
        items = [self._rows_of.to_raw_iid(row) for row in range(self._rows_of.n_items)]
        self._mean = float(self._rows_of.global_mean)
        self._user_bias = _placed(model.bu, users, len(self._users))
        self._item_bias = _placed(model.bi, items, len(self._items))
        self._item_factors = _placed(model.qi, items, len(self._items))
        factors = _placed(model.pu, users, len(self._users))
        self._user_factors = factors + self._implicit(model, items, train)

    @abstractmethod
    def _model(self, options: dict[str, Any]) -> Any:
        """Make the library's unfitted model."""

    def _implicit(self, model: Any, items: list[int], train: Events) -> np.ndarray | float:
        """Return what a user's items add to the user's factors: float [users + 1, factors]."""
        return 0.0

    def _rows(self, users: np.ndarray) -> np.ndarray:
        bias = self._mean + self._user_bias[users, None] + self._item_bias
        found: np.ndarray = bias + self._user_factors[users] @ self._item_factors.T
        return found


class SVD(_Factors):
    """mean + b_u + b_i + p_u q_i; see `_Factors`.

    Reference:
        Koren, Bell and Volinsky 2009, "Matrix factorization techniques for recommender systems".
    """

    name = "svd"
    penalties = (0.07, 0.14, 0.1)

    def __init__(
        self, factors: int = 100, epochs: int = 100, rate: float = 0.005, seed: int = 0
    ) -> None:
        """See `_Factors`."""
        super().__init__(factors, epochs, rate, seed)

    def _model(self, options: dict[str, Any]) -> Any:
        return library("surprise").SVD(**options)


class SVDpp(_Factors):
    """SVD++: to a user's factors come those of the items rated, whatever the rating.

    The user's vector is p_u + sum y_j / sqrt(n), over the n items j of the user.

    Reference:
        Koren 2008, "Factorization meets the neighborhood", equation 15.
    """

    name = "svdpp"
    penalties = (0.07, 0.1)

    def __init__(
        self, factors: int = 50, epochs: int = 60, rate: float = 0.007, seed: int = 0
    ) -> None:
        """See `_Factors`."""
        super().__init__(factors, epochs, rate, seed)

    def _model(self, options: dict[str, Any]) -> Any:
        return library("surprise").SVDpp(**options, cache_ratings=True)

    def _implicit(self, model: Any, items: list[int], train: Events) -> np.ndarray | float:
        shape = len(self._users) + 1, len(self._items) + 1
        times = sparse.coo_array((np.ones(len(train.user)), (train.user, train.item)), shape)
        sums: np.ndarray = times.tocsr() @ _placed(model.yj, items, len(self._items))
        rows = np.bincount(train.user, minlength=shape[0])
        return sums / np.sqrt(np.maximum(rows, 1))[:, None]


def _placed(values: np.ndarray, codes: list[int], size: int) -> np.ndarray:
    """Put rows where their codes say; the others, and the last for -1, are 0."""
    found = np.zeros((size + 1, *values.shape[1:]))
    found[codes] = values
    return found
