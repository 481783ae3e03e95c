"""What networks that predict a rating from a pair have in common."""

from __future__ import annotations

from abc import abstractmethod

import keras
import numpy as np

from ssrec_tf.baselines.base import Baseline, Events
from ssrec_tf.baselines.networks import Arrays, Schedule, apply_network, hold_out, train_network

_UNKNOWN_SHARE = 0.05  # of the rows, shown again without the user, and without the item
_PAIRS = 65_536  # scored at a time


class RatingNetwork(Baseline):
    """The mean rating plus what a network makes of a user and an item; squared error.

    Ids are rows of embeddings from 1 on. Row 0 is an id train never saw: one train row in
    twenty is shown a second time with its user hidden, and another with its item, so that
    row 0 is learnt. A twentieth of the train rows is kept out and tells when to stop; the
    valid rows scale clicks only.
    """

    def __init__(self, schedule: Schedule) -> None:
        """Make an unfitted baseline."""
        super().__init__()
        self._schedule = schedule

    @abstractmethod
    def _build(self) -> keras.Model:
        """Make the network: what `_inputs` gives -> float [batch, 1], rating less the mean."""

    def _inputs(self, user: np.ndarray, item: np.ndarray) -> dict[str, np.ndarray]:
        """Turn codes, int [n], into the network's inputs, [n, ...] each."""
        return {"user": self._user_row[user], "item": self._item_row[item]}

    def _fit(self, train: Events, valid: Events) -> None:
        self._mean = float(train.rating.mean())
        self._user_row = _embedding_rows(train.user, len(self._users))
        self._item_row = _embedding_rows(train.item, len(self._items))
        self._network = self._build()
        inputs = self._inputs(train.user, train.item)
        target = (train.rating - self._mean).astype(np.float32)[:, None]  # [rows, 1]
        kept, held = hold_out(len(target), self._schedule)
        shown, wanted = self._with_unknown(
            {name: array[kept] for name, array in inputs.items()}, target[kept]
        )
        judged = ({name: array[held] for name, array in inputs.items()}, target[held])
        train_network(
            self._network,
            (shown, wanted),
            judged if held.any() else None,
            self._schedule,
            loss=keras.losses.mean_squared_error,
        )

    def _with_unknown(self, inputs: Arrays, target: np.ndarray) -> tuple[Arrays, np.ndarray]:
        """Show some rows again with an id hidden."""
        rng = np.random.default_rng([self._schedule.seed, 1])
        size = round(len(target) * _UNKNOWN_SHARE)
        parts, targets = [inputs], [target]
        for hidden in ("user", "item"):
            if hidden in inputs:
                rows = rng.permutation(len(target))[:size]
                again = {name: array[rows] for name, array in inputs.items()}
                parts.append({**again, hidden: np.zeros_like(again[hidden])})
                targets.append(target[rows])
        joined = {name: np.concatenate([part[name] for part in parts]) for name in inputs}
        return joined, np.concatenate(targets)

    def _raw(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        users, items = np.ravel(user), np.ravel(item)
        starts = range(0, users.size, _PAIRS)
        parts = (self._inputs(users[at : at + _PAIRS], items[at : at + _PAIRS]) for at in starts)
        found = apply_network(self._network, parts).astype(np.float64)  # [pairs, 1]
        return self._mean + found.reshape(np.shape(user))


def id_embedding(
    name: str, ids: int, width: int, *, seed: int, penalty: float = 0.0, scale: float = 0.05
) -> keras.layers.Embedding:
    """Make a table of vectors of ids, row 0 for an unknown one.

    Args:
        name: Of the layer.
        ids: How many there are, without the unknown one.
        width: Length of a vector.
        seed: Of the first values.
        penalty: Times the square of each vector of a batch: counted by ratings, not by ids.
        scale: Standard deviation of the first values.
    """
    return keras.layers.Embedding(
        ids + 1,
        width,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=scale, seed=seed),
        activity_regularizer=keras.regularizers.L2(penalty) if penalty else None,
        name=name,
    )


def dense_stack(
    x: keras.KerasTensor, widths: tuple[int, ...], dropout: float, seed: int
) -> keras.KerasTensor:
    """Put fully connected ReLU layers on `x`, dropout before each."""
    for place, width in enumerate(widths):
        x = keras.layers.Dropout(dropout, seed=seed + place)(x)
        start = keras.initializers.GlorotUniform(seed + place)
        x = keras.layers.Dense(width, "relu", kernel_initializer=start)(x)  # [batch, width]
    return x


def _embedding_rows(codes: np.ndarray, size: int) -> np.ndarray:
    """Return the embedding row of each code: 0 for what train never saw, and, last, for -1."""
    rows = np.arange(1, size + 1, dtype=np.int32)
    rows[np.bincount(codes, minlength=size) == 0] = 0
    return np.append(rows, np.int32(0))
