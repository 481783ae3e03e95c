"""A fully connected network over one-hot features."""

from __future__ import annotations

from types import MappingProxyType

import keras
import numpy as np
import pandas as pd

from ssrec_tf.baselines.base import Events
from ssrec_tf.baselines.blocks import shared_values
from ssrec_tf.baselines.networks import Schedule
from ssrec_tf.baselines.rating_network import RatingNetwork, dense_stack, id_embedding
from ssrec_tf.search_space import Range


class MultilayerPerceptron(RatingNetwork):
    """Fully connected layers over the user's and the item's id and attributes, one-hot.

    Each value that at least two users (or items) have is a feature; a number is brought to
    mean 0 and deviation 1, and 0 where it is missing. The first layer over a one-hot id is
    the row of a table, so it is looked up. A user or an item train never saw has attributes
    but no id; of a user train never saw they are not read.

    Reference:
        Covington, Adams and Sargin 2016, "Deep neural networks for YouTube recommendations",
        section 3: the tower of ReLU layers, here over one pair and with squared error.
    """

    name = "mlp"
    space = MappingProxyType(
        {
            "width": Range(16, 128, log=True),
            "penalty": Range(0.001, 0.1, log=True),
            "dropout": Range(0.0, 0.5),
            "learning_rate": Range(3e-4, 1e-2, log=True),
        }
    )

    def __init__(
        self,
        width: int = 64,
        penalty: float = 0.01,
        dropout: float = 0.2,
        learning_rate: float = 0.002,
        epochs: int = 40,
        seed: int = 0,
    ) -> None:
        """Make an unfitted baseline.

        Args:
            width: Of the first layer; the next two are a half and a quarter of it.
            penalty: On the squares of the ids' rows of one rating.
            dropout: Before each layer but the first.
            learning_rate: Of Adam.
            epochs: At most so many passes over the train rows.
            seed: Of the first weights, dropout, the shuffles and the rows kept out.
        """
        super().__init__(Schedule(epochs, 1024, learning_rate, seed=seed))
        self._width, self._penalty = width, penalty
        self._dropout, self._seed = dropout, seed

    def _fit(self, train: Events, valid: Events) -> None:
        self._user_side = attribute_features(self._tables.users.reindex(self._users))
        self._item_side = attribute_features(self._tables.items)
        super()._fit(train, valid)

    def _inputs(self, user: np.ndarray, item: np.ndarray) -> dict[str, np.ndarray]:
        sides = {"user_side": self._user_side[user], "item_side": self._item_side[item]}
        return {**super()._inputs(user, item), **sides}

    def _build(self) -> keras.Model:
        seed, width = self._seed, self._width
        inputs, parts = {}, []
        for place, (name, ids, side) in enumerate(
            (("user", self._users, self._user_side), ("item", self._items, self._item_side))
        ):
            code = inputs[name] = keras.Input((), dtype="int32", name=name)
            known = inputs[f"{name}_side"] = keras.Input(side.shape[1:], name=f"{name}_side")
            table = id_embedding(
                f"{name}_id", len(ids), width, seed=seed + place, penalty=self._penalty
            )
            start = keras.initializers.GlorotUniform(seed + place)
            parts += [table(code), keras.layers.Dense(width, kernel_initializer=start)(known)]
        # The sum is one layer over all features side by side.
        x = keras.layers.ReLU()(keras.layers.Add()(parts))  # [batch, width]
        x = dense_stack(x, (width // 2, width // 4), self._dropout, seed)
        start = keras.initializers.GlorotUniform(seed)
        return keras.Model(inputs, keras.layers.Dense(1, kernel_initializer=start)(x))


def attribute_features(frame: pd.DataFrame) -> np.ndarray:
    """Turn attributes into numbers.

    Args:
        frame: A row an id; columns of text, of categories joined by ', ', and of numbers.

    Returns:
        float32 [ids + 1, features]: the last row, for an unknown id, is 0; so is a last
        column, which keeps the array from being empty.
    """
    parts = [np.zeros((len(frame), 1), np.float32)]
    for name in frame:
        values = shared_values(frame[name])
        if values is not None:
            parts.insert(0, values.toarray().astype(np.float32))
        elif pd.api.types.is_numeric_dtype(frame[name]):
            parts.insert(0, _standard(frame[name].to_numpy(np.float64)))
    return np.pad(np.hstack(parts), ((0, 1), (0, 0)))


def _standard(values: np.ndarray) -> np.ndarray:
    """Bring to mean 0 and deviation 1, missing ones to 0: float32 [ids, 1]."""
    known = values[np.isfinite(values)]
    if not known.size:
        return np.zeros((len(values), 1), np.float32)
    scaled: np.ndarray = (values - known.mean()) / (known.std() or 1.0)
    found: np.ndarray = np.nan_to_num(scaled).astype(np.float32)[:, None]
    return found
