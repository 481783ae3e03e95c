"""Variational autoencoder of a user's items."""

from __future__ import annotations

from types import MappingProxyType

import keras
import numpy as np
from scipy import sparse

from ssrec_tf.baselines.base import Events
from ssrec_tf.baselines.blocks import ByUser, occurrence_matrix
from ssrec_tf.baselines.networks import Schedule, apply_network, hold_out, train_network
from ssrec_tf.search_space import Range

_USERS = 2_000  # scored at a time


class VariationalAutoencoder(ByUser):
    """Mult-VAE: the items of a user, squeezed through a normal code, foretell themselves.

    Learns from which items a user has in train, and predicts no rating. The score is the
    log-probability of an item plus the logarithm of the number of items: 0 is an even
    chance, and what an item outside the catalogue gets. A user train never saw has no
    items. A twentieth of the train rows is hidden from the input, and how well it is
    foretold tells when to stop. Needs memory for users x items while it is fitted.

    Reference:
        Liang, Krishnan, Hoffman and Jebara 2018, "Variational autoencoders for collaborative
        filtering", arXiv:1802.05814.
    """

    name = "vae"
    needs_rating = False
    space = MappingProxyType(
        {
            "code": Range(16, 256, log=True),
            "dropout": Range(0.1, 0.8),
            "divergence": Range(0.0, 1.0),
            "learning_rate": Range(3e-4, 3e-3, log=True),
        }
    )

    def __init__(
        self,
        code: int = 200,
        hidden: int = 600,
        dropout: float = 0.5,
        divergence: float = 0.2,
        learning_rate: float = 1e-3,
        epochs: int = 200,
        seed: int = 0,
    ) -> None:
        """Make an unfitted baseline.

        Args:
            code: Length of the code.
            hidden: Width of the layer before it and of the one after it.
            dropout: Share of a user's items hidden at each step.
            divergence: Weight of the code's divergence from a standard normal one, reached
                in the first half of the steps.
            learning_rate: Of Adam.
            epochs: At most so many passes over the users.
            seed: Of the first weights, every draw, and what is kept out.
        """
        super().__init__()
        self._schedule = Schedule(epochs, 64, learning_rate, patience=10, seed=seed)
        self._code, self._hidden, self._dropout = code, hidden, dropout
        self._divergence, self._seed = divergence, seed

    def _fit(self, train: Events, valid: Events) -> None:
        shape = len(self._users), len(self._items)
        pairs = occurrence_matrix(train.user[train.relevant], train.item[train.relevant], shape)
        user, item = pairs.nonzero()
        kept, held = hold_out(len(user), self._schedule)
        known = occurrence_matrix(user[kept], item[kept], shape)
        steps = self._schedule.epochs * -(-shape[0] // self._schedule.batch_size)
        self._network = self._build(shape[1], steps)
        x = known.toarray().astype(np.float32)  # [users, items]
        hidden = occurrence_matrix(user[held], item[held], shape).toarray().astype(np.float32)
        judges = hidden.any(axis=1)
        train_network(
            self._network,
            ({"items": x}, x),
            ({"items": x[judges]}, (hidden - x)[judges]) if judges.any() else None,
            self._schedule,
            loss=multinomial_loss,
        )
        self._history = sparse.vstack([pairs, sparse.csr_array((1, shape[1]))]).tocsr()

    def _build(self, items: int, steps: int) -> keras.Model:
        """Make the network: 1 for each of a user's items -> logits, float [batch, items]."""
        seed = self._seed
        x = keras.Input((items,), name="items")
        h = keras.layers.UnitNormalization()(x)
        h = keras.layers.Dropout(self._dropout, seed=seed)(h)
        h = keras.layers.Dense(self._hidden, "tanh", kernel_initializer=_glorot(seed + 1))(h)
        mean = keras.layers.Dense(self._code, kernel_initializer=_glorot(seed + 2))(h)
        log_variance = keras.layers.Dense(self._code, kernel_initializer=_glorot(seed + 3))(h)
        code = NormalCode(self._divergence, max(1, steps // 2), seed)([mean, log_variance])
        h = keras.layers.Dense(self._hidden, "tanh", kernel_initializer=_glorot(seed + 4))(code)
        logits = keras.layers.Dense(items, kernel_initializer=_glorot(seed + 5))(h)
        return keras.Model({"items": x}, logits)

    def _rows(self, users: np.ndarray) -> np.ndarray:
        starts = range(0, len(users), _USERS)
        rows = (self._history[users[at : at + _USERS]].toarray() for at in starts)
        logits = apply_network(self._network, ({"items": row.astype(np.float32)} for row in rows))
        return even_chance(logits.astype(np.float64))


class NormalCode(keras.layers.Layer):
    """Draw a code in training; without, its mean. Adds the divergence to the loss.

    Args:
        divergence: Weight of KL(N(mean, variance) || N(0, 1)).
        steps: The weight rises evenly from 0 over so many steps.
        seed: Of the draws.
    """

    def __init__(self, divergence: float, steps: int, seed: int) -> None:
        super().__init__()
        self._divergence, self._steps = divergence, steps
        self._draws = keras.random.SeedGenerator(seed)

    def build(self, input_shape: object) -> None:
        """Make the count of steps."""
        self._done = self.add_weight((), initializer="zeros", trainable=False, name="steps")

    def call(self, inputs: list[keras.KerasTensor], training: bool = False) -> keras.KerasTensor:
        """Return a code, float [batch, code], of mean and log-variance of that shape."""
        mean, log_variance = inputs
        variance = keras.ops.exp(log_variance)
        parts = keras.ops.square(mean) + variance - 1.0 - log_variance
        rise = keras.ops.minimum(self._done / self._steps, 1.0)
        divergence = keras.ops.mean(keras.ops.sum(parts, axis=-1)) / 2.0
        self.add_loss(self._divergence * rise * divergence)
        if not training:
            return mean
        self._done.assign_add(1.0)
        noise = keras.random.normal(keras.ops.shape(mean), seed=self._draws)
        return mean + keras.ops.sqrt(variance) * noise


def multinomial_loss(wanted: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Minus the log-probability of the wanted items, summed: float [batch].

    Args:
        wanted: float [batch, items]: 1 for an item to foretell, 0 for another candidate,
            -1 for one that is none, as the user is known to have it.
        logits: float [batch, items].
    """
    candidates = keras.ops.where(wanted < 0, -1e9, logits)
    chances = keras.ops.log_softmax(candidates, axis=-1)
    return -keras.ops.sum(keras.ops.where(wanted > 0, chances, 0.0), axis=-1)


def even_chance(logits: np.ndarray) -> np.ndarray:
    """Return log(p * items), and 0 for an item outside: [n, items] -> [n, items + 1]."""
    top = logits.max(axis=1, keepdims=True)
    total = top + np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    return np.pad(logits - total + np.log(logits.shape[1]), ((0, 0), (0, 1)))


def _glorot(seed: int) -> keras.initializers.Initializer:
    return keras.initializers.GlorotUniform(seed)
