"""What a user is taken for before any of his ratings is read.

References:
    Mnih & Salakhutdinov 2008, "Probabilistic Matrix Factorization" (the constrained kind: what a
        user chose, rated or not, shifts the prior).
    Koren 2008, "Factorization meets the neighborhood" (the same, as SVD++).
"""

from __future__ import annotations

import keras
import tensorflow as tf

from ssrec_tf.config import FactorConfig
from ssrec_tf.recommenders.reading import Events


class UserPrior(keras.layers.Layer):
    """Means of a user's bias and k factors, by his profile and by the mere choice of items.

    Args:
        words: how many words there are, padding included.
        config: sizes; k is `config.width`.
    """

    def __init__(self, words: int, config: FactorConfig) -> None:
        """Make all weights, zeros; a name with `factor_` is held by its prior, not by decay."""
        super().__init__(name="user_prior")
        shape = (config.starts, config.width + 1)
        self.of_word = self.add_weight((words, *shape), "zeros", name="factor_of_user_word")
        self.start = self.add_weight(shape, "zeros", name="factor_start")
        self.built = True

    def of(self, history: Events, shifts: tf.Tensor, user: tf.Tensor) -> tf.Tensor:
        """Say what users are taken for.

        Args:
            history: of [batch, history].
            shifts: float32 [batch, history, members, k + 1], what each item's choice gives.
            user: int32 [batch, user width], words of the user's text.

        Returns:
            float32 [batch, members, k + 1].
        """
        return self._profile(user) + _shift(*_chosen(history, shifts))

    def left_out(self, events: Events, shifts: tf.Tensor, user: tf.Tensor) -> tf.Tensor:
        """Say what users are taken for without the choice of each event, in turn.

        Args:
            events: of [batch, n].
            shifts: float32 [batch, n, members, k + 1].
            user: int32 [batch, user width].

        Returns:
            float32 [batch, n, members, k + 1].
        """
        total, count = _chosen(events, shifts)
        own = events.mask[..., None, None] * shifts
        shift = _shift(total[:, None] - own, count[:, None] - events.mask)
        return self._profile(user)[:, None] + shift

    def _profile(self, user: tf.Tensor) -> tf.Tensor:
        """By profile alone: float32 [batch, members, k + 1]."""
        said = tf.gather(self.of_word, user)  # [batch, user width, members, k + 1]
        said *= tf.cast(user != 0, tf.float32)[..., None, None]
        return self.start + tf.reduce_sum(said, axis=1)


def _chosen(events: Events, shifts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sum of the shifts of what was chosen, [batch, members, k + 1], and how many: [batch]."""
    return tf.einsum("bn,bnmk->bmk", events.mask, shifts), tf.reduce_sum(events.mask, axis=1)


def _shift(total: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Shift of the prior: [..., members, k + 1] by [...], the same."""
    return total * tf.math.rsqrt(tf.maximum(count, 1.0))[..., None, None]
