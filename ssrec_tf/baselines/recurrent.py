"""Recurrent networks over a user's items in the order of time."""

from __future__ import annotations

from itertools import pairwise
from types import MappingProxyType
from typing import ClassVar

import keras
import numpy as np
from scipy.special import softmax

from ssrec_tf.baselines.base import Events
from ssrec_tf.baselines.blocks import ByUser
from ssrec_tf.baselines.networks import Schedule, apply_network, hold_out, train_network
from ssrec_tf.search_space import Range

_WINDOWS = 128  # read at a time
_FLOOR = 1e-12  # keeps the logarithm of a chance finite


class Recurrent(ByUser):
    """What comes next, by a recurrent network and a softmax over all items; no rating.

    A user's train rows, oldest first, are cut into windows from the newest back. Each is
    read from a start row, and after every row the next item is foretold. A twentieth of the
    windows tells when to stop. Where the rows to score come after all of train (splits by
    time, leave one out), an item's score is its chance after the newest row. Where they lie
    between train rows (a random split) it may have come after any of them: the score is the
    mean chance over all places. It is given as log(chance * items): 0 is an even chance,
    and what an item outside the catalogue gets. A user train never saw is at the start.

    References:
        Hidasi, Karatzoglou, Baltrunas and Tikk 2016, "Session-based recommendations with
        recurrent neural networks", arXiv:1511.06939; here with a full softmax in place of
        sampled ranking losses, and windows padded in place of parallel sessions.
    """

    needs_rating = False
    space = MappingProxyType(
        {
            "width": Range(32, 128, log=True),
            "dropout": Range(0.0, 0.5),
            "learning_rate": Range(1e-3, 1e-2, log=True),
        }
    )
    cell: ClassVar[type[keras.layers.Layer]]

    def __init__(
        self,
        width: int = 64,
        dropout: float = 0.3,
        learning_rate: float = 0.004,
        window: int = 50,
        epochs: int = 40,
        seed: int = 0,
    ) -> None:
        """Make an unfitted baseline.

        Args:
            width: Of an item's vector and of the state.
            dropout: Of items' vectors and of the state before the softmax.
            learning_rate: Of Adam.
            window: Rows read in one go.
            epochs: At most so many passes over the train rows.
            seed: Of the first weights, dropout, the shuffles and what is kept out.
        """
        super().__init__()
        self._schedule = Schedule(epochs, 32, learning_rate, seed=seed)
        self._width, self._dropout, self._window, self._seed = width, dropout, window, seed

    def _fit(self, train: Events, valid: Events) -> None:
        rows = np.flatnonzero(train.relevant)
        rows = rows[np.lexsort((train.order[rows], train.user[rows]))]
        self._read, wanted, self._owner = _windows(
            train.user[rows], train.item[rows] + 1, len(self._users), self._window
        )
        self._network = self._build(len(self._items))
        teach = wanted.any(axis=1)
        shown, wanted = self._read[teach], wanted[teach]  # [windows, window] each
        kept, held = hold_out(len(shown), self._schedule)
        train_network(
            self._network,
            ({"items": shown[kept]}, wanted[kept]),
            ({"items": shown[held]}, wanted[held]) if held.any() else None,
            self._schedule,
            loss=next_item_loss,
        )

    def _build(self, items: int) -> keras.Model:
        """Make the network: rows read, int [batch, places] -> logits [batch, places, items]."""
        seed, width = self._seed, self._width
        read = keras.Input((None,), dtype="int32", name="items")
        start = keras.initializers.RandomNormal(stddev=0.05, seed=seed)
        x = keras.layers.Embedding(items + 1, width, embeddings_initializer=start)(read)
        x = keras.layers.Dropout(self._dropout, seed=seed)(x)  # [batch, places, width]
        x = self.cell(
            width,
            return_sequences=True,
            kernel_initializer=keras.initializers.GlorotUniform(seed + 1),
            recurrent_initializer=keras.initializers.Orthogonal(seed=seed + 2),
        )(x)
        x = keras.layers.Dropout(self._dropout, seed=seed + 3)(x)
        last = keras.initializers.GlorotUniform(seed + 4)
        logits = keras.layers.Dense(items, kernel_initializer=last)(x)  # [batch, places, items]
        return keras.Model({"items": read}, logits)

    def _rows(self, users: np.ndarray) -> np.ndarray:
        user = np.where(users < 0, len(self._users), users)
        first, last = np.searchsorted(self._owner, [user, user + 1])
        if self._past_only:  # only the newest window is asked, after its last row
            first = last - 1
        owner = np.repeat(np.arange(len(user)), last - first)
        window = np.concatenate([np.arange(*pair) for pair in zip(first, last, strict=True)])
        chances = np.zeros((len(user), len(self._items)))
        places = np.zeros(len(user))
        for at in range(0, len(window), _WINDOWS):
            part = slice(at, at + _WINDOWS)
            sums, counts = self._chances(self._read[window[part]])
            np.add.at(chances, owner[part], sums)
            np.add.at(places, owner[part], counts)
        scores = np.log(chances / places[:, None] + _FLOOR) + np.log(len(self._items))
        return np.pad(scores, ((0, 0), (0, 1)))

    def _chances(self, read: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sum the items' chances over the places of windows that count.

        Args:
            read: int [windows, places].

        Returns:
            float [windows, items], and the number of places, int [windows].
        """
        counted = read > 0
        counted[:, 0] = True  # a start, or a row
        if self._past_only:
            counted &= np.cumsum(counted, axis=1) == counted.sum(axis=1, keepdims=True)
        logits = apply_network(self._network, [{"items": read}])
        chances = softmax(logits, axis=-1)  # [windows, places, items]
        return np.einsum("wpi,wp->wi", chances, counted), counted.sum(axis=1)


class GRU(Recurrent):
    """Gated recurrent units: GRU4Rec; see `Recurrent`.

    Reference:
        Hidasi, Karatzoglou, Baltrunas and Tikk 2016, arXiv:1511.06939.
    """

    name = "gru"
    cell = keras.layers.GRU


class LSTM(Recurrent):
    """Long short-term memory in place of GRU4Rec's units; see `Recurrent`.

    Reference:
        Hochreiter and Schmidhuber 1997, "Long short-term memory".
    """

    name = "lstm"
    cell = keras.layers.LSTM


def next_item_loss(wanted: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Cross-entropy of the items that came next, summed over places: float [batch].

    Args:
        wanted: [batch, places], code + 1 of an item; 0 where nothing came.
        logits: float [batch, places, items].
    """
    wanted = keras.ops.cast(wanted, "int32")
    code = keras.ops.maximum(wanted - 1, 0)
    losses = keras.ops.sparse_categorical_crossentropy(code, logits, from_logits=True)
    return keras.ops.sum(keras.ops.where(wanted > 0, losses, 0.0), axis=-1)


def _windows(
    user: np.ndarray, rows: np.ndarray, users: int, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut users' rows into windows, from the newest back.

    Args:
        user: int [n], sorted.
        rows: int [n], what is read (from 1), each user's oldest first.
        users: Number of users; one more, who has no rows, comes last.
        size: Rows of a window. Every user's first begins at the start row, 0.

    Returns:
        What is read and what comes next, int32 [windows, size], 0 for none; and whose the
        window is, int [windows], sorted.
    """
    read, wanted, owner = [], [], []
    bounds = np.searchsorted(user, np.arange(users + 2))
    for code, (first, last) in enumerate(pairwise(bounds)):
        whole = np.concatenate([[0], rows[first:last], [0]])  # start, rows, nothing came
        cuts = np.append(0, np.arange(len(whole) - 1, 0, -size)[::-1])
        for start, stop in pairwise(cuts):
            pad = (0, size - (stop - start))
            read.append(np.pad(whole[start:stop], pad))
            wanted.append(np.pad(whole[start + 1 : stop + 1], pad))
            owner.append(code)
    return np.stack(read).astype(np.int32), np.stack(wanted).astype(np.int32), np.array(owner)
