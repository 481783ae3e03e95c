"""Matrix factorization of ratings, in Keras."""

from __future__ import annotations

from types import MappingProxyType

import keras
import numpy as np

from ssrec_tf.baselines.networks import Schedule
from ssrec_tf.baselines.rating_network import RatingNetwork, id_embedding
from ssrec_tf.search_space import Range


class MatrixFactorization(RatingNetwork):
    """mean + b_u + b_i + p_u q_i, by Adam, biases and factors penalised alike.

    Minimises the mean over ratings of (r - score)^2 + penalty (b_u^2 + b_i^2 + |p_u|^2 +
    |q_i|^2).

    Reference:
        Koren, Bell and Volinsky 2009, "Matrix factorization techniques for recommender systems".
    """

    name = "mf"
    space = MappingProxyType(
        {
            "factors": Range(16, 128, log=True),
            "penalty": Range(0.02, 0.5, log=True),
            "learning_rate": Range(1e-3, 1e-2, log=True),
        }
    )

    def __init__(
        self,
        factors: int = 64,
        penalty: float = 0.1,
        learning_rate: float = 0.003,
        epochs: int = 60,
        seed: int = 0,
    ) -> None:
        """Make an unfitted baseline.

        Args:
            factors: Length of a user's and an item's vector.
            penalty: On what one rating's user and item have, squared.
            learning_rate: Of Adam.
            epochs: At most so many passes over the train rows.
            seed: Of the first factors, the shuffles and the rows kept out.
        """
        super().__init__(Schedule(epochs, 1024, learning_rate, seed=seed))
        self._factors, self._penalty, self._seed = factors, penalty, seed

    def _build(self) -> keras.Model:
        user = keras.Input((), dtype="int32", name="user")
        item = keras.Input((), dtype="int32", name="item")
        tables = [
            id_embedding(name, len(ids), width, seed=seed, penalty=self._penalty, scale=scale)
            for name, ids, width, seed, scale in (
                ("user_factors", self._users, self._factors, self._seed, 0.05),
                ("item_factors", self._items, self._factors, self._seed + 1, 0.05),
                ("user_bias", self._users, 1, self._seed, 0.0),
                ("item_bias", self._items, 1, self._seed, 0.0),
            )
        ]
        p, q, user_bias, item_bias = (
            table(code) for table, code in zip(tables, (user, item, user, item), strict=True)
        )  # [batch, factors] twice, [batch, 1] twice
        liking = keras.layers.Dot(axes=1)([p, q])  # [batch, 1]
        rating = keras.layers.Add()([liking, user_bias, item_bias])
        return keras.Model({"user": user, "item": item}, rating)

    def _raw(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        p, q, user_bias, item_bias = (
            self._network.get_layer(name).embeddings.numpy().astype(np.float64)
            for name in ("user_factors", "item_factors", "user_bias", "item_bias")
        )
        u, i = self._user_row[user], self._item_row[item]
        liking = np.einsum("...f,...f->...", p[u], q[i])
        found: np.ndarray = self._mean + liking + user_bias[u, 0] + item_bias[i, 0]
        return found
