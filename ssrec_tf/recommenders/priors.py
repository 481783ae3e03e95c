"""The Gaussian prior of a factorization's weights: how hard each is held at 0.

Precisions are in those of one rating's noise: what is held by n says half of what n ratings
would have it say.

References:
    Mnih & Salakhutdinov 2008, "Probabilistic Matrix Factorization".
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from ssrec_tf.config import FactorConfig

# Beside the precision of the loadings: a loading and a shift of the prior may be one of many, a
# stray and what a user's word says are few and well known.
_STRAY, _USER = 0.3, 0.3
# A co-occurrence vector is dense: each of its entries speaks for every item at once.
_BEHAVIOUR = 10.0


class WeightPrior:
    """Precisions of the weights of `Factors`, whose rows are of k loadings, level, shifts, stray.

    Args:
        config: sizes and precisions.
        item_counts: int [items + 1], how often train met each.
    """

    def __init__(self, config: FactorConfig, item_counts: np.ndarray) -> None:
        """Lay out what each entry of a row is held by."""
        loose, width, members = config.precision, config.width, config.starts
        row = [loose] * width + [config.level_precision] + [loose] * (width + 1) + [loose * _STRAY]
        self._row, self._members = tf.constant(row), members  # [2 k + 3]
        # What an id says of a user's taste is noise where few met the item.
        rare = 1.0 + config.rare_items / np.maximum(item_counts, 1.0)[:, None]  # [items + 1, 1]
        taste = np.ones(len(row), bool)
        taste[[width, -1]] = False
        held = np.where(taste, rare, 1.0)[:, None, :]  # [items + 1, 1, 2 k + 3]
        self._id_row = self._row * tf.constant(held, tf.float32)
        self._user = _USER * loose

    def loss(
        self, of_id: tf.Tensor, of_word: tf.Tensor, of_behaviour: tf.Tensor, of_user_word: tf.Tensor
    ) -> tf.Tensor:
        """Negative log prior, in variances of the noise; of several members its mean: [].

        Args:
            of_id: float32 [items + 1, members, 2 k + 3].
            of_word: float32 [words, members, 2 k + 3].
            of_behaviour: float32 [behaviour width, members, 2 k + 3].
            of_user_word: float32 [words, members, k + 1].
        """
        held = (
            (of_id, self._id_row),
            (of_word, self._row),
            (of_behaviour, _BEHAVIOUR * self._row),
            (of_user_word, self._user),
        )
        total = tf.add_n([tf.reduce_sum(w**2 * precision) for w, precision in held])
        return total / self._members
