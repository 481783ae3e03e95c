"""A factorization that reads: Bayesian user factors, solved from the history in the graph.

An item's factors are the sum of what its id, its words and its co-occurrence vector say;
a user has none of his own: they are the posterior mean of a linear regression of his
ratings on the factors of the items he rated, around a prior that his profile and the mere
choice of items give. So a new user, or one with a rating more than yesterday, is read like
any other, and an item known by its text only has factors too.

References:
    Mnih & Salakhutdinov 2008, "Probabilistic Matrix Factorization" (the constrained kind:
        what a user chose shifts the prior).
    Koren 2008, "Factorization meets the neighborhood" (the same, as SVD++).
    Bishop 2006, "Pattern Recognition and Machine Learning", section 3.3 (the posterior).
    Bertinetto et al. 2019, arXiv:1805.08136 (learning through a ridge regression).
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from ssrec_tf.config import FactorConfig
from ssrec_tf.recommenders.base import normal
from ssrec_tf.text_table import TextTable

# Prior precisions beside that of the noise, by what an entry is: a loading and a shift of
# the prior may be one of many; levels are few and well known.
_LEVEL_PRECISION, _USER_PRECISION = 0.3, 0.3
# A co-occurrence vector is dense: each of its entries speaks for every item at once.
_BEHAVIOUR_PRECISION = 10.0
_BIAS_PRECISION = 3.0  # of a user's bias in the regression, in variances of the noise


class Factors(keras.layers.Layer):
    """Item factors and the regression on them; k is `config.width`.

    An item's row, float32 [2 k + 2], holds k loadings, its level, and k + 1 shifts that
    its choice gives to a user's prior. A user's weights, float32 [k + 1], are a bias and k
    factors.

    Args:
        text: the catalogue's tokens and users' tokens.
        common: float32 [words], 1 for the words that speak for items.
        config: sizes and the prior's precision.
    """

    def __init__(self, text: TextTable, common: np.ndarray, config: FactorConfig) -> None:
        """Make all weights; a name with `factor_` is held by its prior, not by weight decay."""
        super().__init__(name="factors")
        self.config = config
        self.rows = 2 * config.width + 2
        words = len(text.vocabulary.words)
        self._common = tf.constant(common, tf.float32)  # [words]
        count, behaviour = len(text.item_tokens), config.behaviour_width
        self.of_id = self._table("factor_of_id", count)
        self.of_word = self._table("factor_of_word", words)
        self.of_behaviour = self._table("factor_of_behaviour", behaviour)
        self.of_user_word = self.add_weight(
            shape=(words, config.width + 1), initializer="zeros", name="factor_of_user_word"
        )
        self.start = self.add_weight(
            shape=(config.width + 1,), initializer="zeros", name="factor_start"
        )
        self.behaviour = self.add_weight(
            shape=(count, behaviour), initializer="zeros", trainable=False, name="behaviour"
        )
        self.precisions = tf.constant(  # [2 k + 2]
            [1.0] * config.width + [_LEVEL_PRECISION] + [1.0] * (config.width + 1)
        )
        self.built = True

    def _table(self, name: str, rows: int) -> keras.Variable:
        """Loadings start as draws, the rest at 0: float32 [rows, 2 k + 2]."""
        draw, width = normal(), self.config.width

        def initial(shape: tuple[int, int], dtype: str) -> tf.Tensor:
            return tf.concat(
                [draw((rows, width), dtype), tf.zeros((rows, shape[1] - width), dtype)], axis=1
            )

        return self.add_weight(shape=(rows, self.rows), initializer=initial, name=name)

    def store(self, vectors: np.ndarray) -> None:
        """Keep the co-occurrence vectors: float32 [items + 1, `behaviour_width`]."""
        self.behaviour.assign(vectors)

    def read(self, refs: tf.Tensor, words: tf.Tensor, speaks: tf.Tensor) -> tf.Tensor:
        """Make items' rows.

        Args:
            refs: int32 [...], 0 for an item known by its text only.
            words: int32 [..., item width].
            speaks: float32 [...], 0 switches off what is known of the item beside its text.

        Returns:
            float32 [..., 2 k + 2].
        """
        known = tf.gather(self.of_id, refs)  # [..., 2 k + 2]
        met = tf.gather(self.behaviour, refs)  # [..., behaviour width]
        known += tf.einsum("...d,dr->...r", met, tf.convert_to_tensor(self.of_behaviour))
        there = tf.gather(self._common, words) * tf.cast(words != 0, tf.float32)
        said = tf.gather(self.of_word, words)  # [..., item width, 2 k + 2]
        return known * speaks[..., None] + tf.einsum("...n,...nr->...r", there, said)

    def posterior(
        self, rows: tf.Tensor, stars: tf.Tensor, mask: tf.Tensor, user: tf.Tensor
    ) -> tf.Tensor:
        """Regress ratings on the items' loadings.

        Args:
            rows: float32 [batch, history, 2 k + 2], of `read`.
            stars: float32 [batch, history], standardized ratings, NaN where there is none.
            mask: float32 [batch, history], 0 is padding.
            user: int32 [batch, user width], words of the user's text.

        Returns:
            Weights, float32 [batch, k + 1].
        """
        loadings, level, shift = self._split(rows)
        rated = mask * tf.cast(~tf.math.is_nan(stars), tf.float32)  # [batch, history]
        above = tf.where(rated > 0, stars - level, 0.0)
        design = _with_bias(loadings) * rated[..., None]  # [batch, history, k + 1]
        events = tf.maximum(tf.reduce_sum(mask, axis=1, keepdims=True), 1.0)
        chosen = tf.einsum("bh,bhk->bk", mask, shift) * tf.math.rsqrt(events)
        profile = tf.gather(self.of_user_word, user)  # [batch, user width, k + 1]
        profile *= tf.cast(user != 0, tf.float32)[..., None]
        prior = self.start + tf.reduce_sum(profile, axis=1) + chosen  # [batch, k + 1]
        precision = tf.constant([_BIAS_PRECISION] + [1.0] * self.config.width)
        normal_matrix = tf.matmul(design, design, transpose_a=True) + tf.linalg.diag(precision)
        target = tf.einsum("bhk,bh->bk", design, above) + precision * prior
        factor = tf.linalg.cholesky(normal_matrix)  # [batch, k + 1, k + 1]
        return tf.linalg.cholesky_solve(factor, target[..., None])[..., 0]

    def score(self, weights: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Ratings above the mean, in deviations.

        Args:
            weights: float32 [batch, k + 1], of `posterior`.
            rows: float32 [batch, targets, 2 k + 2], of `read`.

        Returns:
            float32 [batch, targets].
        """
        loadings, level, _ = self._split(rows)
        return level + tf.einsum("btk,bk->bt", _with_bias(loadings), weights)

    def prior_loss(self) -> tf.Tensor:
        """Negative log prior of all weights, in variances of the noise: float32 []."""
        held = ((self.of_id, 1.0), (self.of_word, 1.0), (self.of_behaviour, _BEHAVIOUR_PRECISION))
        total = tf.add_n([p * tf.reduce_sum(w**2 * self.precisions) for w, p in held])
        total += _USER_PRECISION * tf.reduce_sum(self.of_user_word**2)
        return self.config.precision * total

    def _split(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Loadings [..., k], level [...], shifts [..., k + 1]."""
        width = self.config.width
        return rows[..., :width], rows[..., width], rows[..., width + 1 :]


def _with_bias(loadings: tf.Tensor) -> tf.Tensor:
    """Put a 1 before the loadings: [..., k] to [..., k + 1]."""
    return tf.concat([tf.ones_like(loadings[..., :1]), loadings], axis=-1)
