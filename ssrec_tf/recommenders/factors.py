"""A factorization that reads: Bayesian user factors, solved from the history in the graph.

An item's factors are the sum of what its id, its words and its co-occurrence vector say,
and beside them stand the leading directions of the encoder's frozen vectors of the texts;
a user has none of his own: they are the posterior mean of a linear regression of his
ratings on the factors of the items he rated, around a prior that his profile and the mere
choice of items give. So a new user, or one with a rating more than yesterday, is read like
any other, and an item known by its text only has factors too. Moods pass: a user's bias
drifts as a Gaussian process in time, so the events near a moment say most about it.

References:
    Mnih & Salakhutdinov 2008, "Probabilistic Matrix Factorization" (the constrained kind:
        what a user chose shifts the prior).
    Koren 2008, "Factorization meets the neighborhood" (the same, as SVD++).
    Bishop 2006, "Pattern Recognition and Machine Learning", section 3.3 (the posterior).
    Bertinetto et al. 2019, arXiv:1805.08136 (learning through a ridge regression).
    Koren 2009, "Collaborative filtering with temporal dynamics" (biases that drift).
    Rahimi & Recht 2007, "Random Features for Large-Scale Kernel Machines" (the waves).
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
# Paces at which a bias drifts, in days: minutes, a sitting, from day to day, over a season.
_PACES = (0.003, 0.02, 1.0, 30.0)
_DAY = 86_400.0


class Factors(keras.layers.Layer):
    """Item factors and the regression on them.

    With k for `config.width` and t for `config.text_width`, an item's row holds k learnt
    loadings, its level, k + 1 shifts that its choice gives to a user's prior, and t loadings
    of its text: float32 [2 k + 2 + t]. A user's weights are a bias, k factors, t factors of
    texts and w of the bias' drift: float32 [1 + k + t + w].

    Args:
        text: the catalogue's tokens and users' tokens.
        encoder_width: length of the texts' vectors.
        common: float32 [words], 1 for the words that speak for items.
        config: sizes and the prior's precision.
    """

    def __init__(
        self, text: TextTable, encoder_width: int, common: np.ndarray, config: FactorConfig
    ) -> None:
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
        self.drift = self.add_weight(
            shape=(len(_PACES),),
            initializer=keras.initializers.Constant(0.3),
            name="factor_drift",
        )
        self.behaviour = self.add_weight(
            shape=(count, behaviour), initializer="zeros", trainable=False, name="behaviour"
        )
        self.text_axes = self.add_weight(
            shape=(encoder_width, config.text_width),
            initializer="zeros",
            trainable=False,
            name="text_axes",
        )
        self.text_scale = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(0.3), name="factor_text_scale"
        )
        self._frequencies = tf.constant(_frequencies(config.waves))  # [paces, waves]
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

    def store(self, vectors: np.ndarray, directions: np.ndarray) -> None:
        """Keep the co-occurrence vectors, and the axes along which texts differ most.

        Args:
            vectors: float32 [items + 1, `behaviour_width`].
            directions: float32 [train items, encoder width].
        """
        self.behaviour.assign(vectors)
        kept = min(self.config.text_width, *directions.shape)
        if kept:
            _, values, axes = np.linalg.svd(directions, full_matrices=False)
            length = np.sqrt(np.sum(values[:kept] ** 2) / len(directions))
            wide = np.zeros(self.text_axes.shape, np.float32)
            wide[:, :kept] = axes[:kept].T / max(length, 1e-9)
            self.text_axes.assign(wide)

    def read(
        self, refs: tf.Tensor, words: tf.Tensor, directions: tf.Tensor, speaks: tf.Tensor
    ) -> tf.Tensor:
        """Make items' rows.

        Args:
            refs: int32 [...], 0 for an item known by its text only.
            words: int32 [..., item width].
            directions: float32 [..., encoder width], texts' vectors of length 1.
            speaks: float32 [...], 0 switches off what is known of the item beside its text.

        Returns:
            float32 [..., 2 k + 2 + t].
        """
        known = tf.gather(self.of_id, refs)  # [..., 2 k + 2]
        met = tf.gather(self.behaviour, refs)  # [..., behaviour width]
        known += tf.einsum("...d,dr->...r", met, tf.convert_to_tensor(self.of_behaviour))
        there = tf.gather(self._common, words) * tf.cast(words != 0, tf.float32)
        said = tf.gather(self.of_word, words)  # [..., item width, 2 k + 2]
        learnt = known * speaks[..., None] + tf.einsum("...n,...nr->...r", there, said)
        axes = self.text_scale * tf.convert_to_tensor(self.text_axes)  # [encoder width, t]
        return tf.concat([learnt, tf.einsum("...e,et->...t", directions, axes)], axis=-1)

    def waves(self, times: tf.Tensor, moment: tf.Tensor) -> tf.Tensor:
        """Features of moments, whose inner product falls off with the time between them.

        Args:
            times: int64 [batch, n], in seconds, 0 where unknown: nothing is felt then.
            moment: int64 [batch, 1], what times are counted from; any will do.

        Returns:
            float32 [batch, n, w].
        """
        days = tf.cast(times - moment, tf.float32) / _DAY  # [batch, n]
        angles = days[:, :, None, None] * self._frequencies  # [batch, n, paces, waves]
        both = tf.concat([tf.cos(angles), tf.sin(angles)], axis=-1)
        both *= self.drift[:, None] * float(max(self.config.waves, 1)) ** -0.5
        both *= tf.cast(times > 0, tf.float32)[:, :, None, None]
        shape = tf.shape(times)
        return tf.reshape(both, [shape[0], shape[1], both.shape[2] * both.shape[3]])  # [b, n, w]

    def posterior(
        self, rows: tf.Tensor, waves: tf.Tensor, stars: tf.Tensor, mask: tf.Tensor, user: tf.Tensor
    ) -> tf.Tensor:
        """Regress ratings on the items' loadings and the waves of their moments.

        Args:
            rows: float32 [batch, history, 2 k + 2 + t], of `read`.
            waves: float32 [batch, history, w], of `waves`.
            stars: float32 [batch, history], standardized ratings, NaN where there is none.
            mask: float32 [batch, history], 0 is padding.
            user: int32 [batch, user width], words of the user's text.

        Returns:
            Weights, float32 [batch, 1 + k + t + w].
        """
        loadings, level, _ = self._split(rows)
        rated = mask * tf.cast(~tf.math.is_nan(stars), tf.float32)  # [batch, history]
        above = tf.where(rated > 0, stars - level, 0.0)
        design = tf.concat([_with_bias(loadings), waves], axis=-1) * rated[..., None]
        width = design.shape[-1]  # of [batch, history, 1 + k + t + w]
        precision = tf.constant([_BIAS_PRECISION] + [1.0] * (width - 1))
        normal_matrix = tf.matmul(design, design, transpose_a=True) + tf.linalg.diag(precision)
        prior = self._prior(rows, mask, user)  # of bias and factors; of the rest it is 0
        prior = tf.pad(prior, [[0, 0], [0, width - prior.shape[-1]]])
        target = tf.einsum("bhk,bh->bk", design, above) + precision * prior
        factor = tf.linalg.cholesky(normal_matrix)  # [batch, width, width]
        return tf.linalg.cholesky_solve(factor, target[..., None])[..., 0]

    def _prior(self, rows: tf.Tensor, mask: tf.Tensor, user: tf.Tensor) -> tf.Tensor:
        """Prior mean, by profile and by what was chosen, rated or not: float32 [batch, k + 1]."""
        shift = self._split(rows)[2]
        events = tf.maximum(tf.reduce_sum(mask, axis=1, keepdims=True), 1.0)
        chosen = tf.einsum("bh,bhk->bk", mask, shift) * tf.math.rsqrt(events)
        profile = tf.gather(self.of_user_word, user)  # [batch, user width, k + 1]
        profile *= tf.cast(user != 0, tf.float32)[..., None]
        return self.start + tf.reduce_sum(profile, axis=1) + chosen

    def score(self, weights: tf.Tensor, rows: tf.Tensor, waves: tf.Tensor) -> tf.Tensor:
        """Ratings above the mean, in deviations.

        Args:
            weights: float32 [batch, 1 + k + t + w], of `posterior`.
            rows: float32 [batch, targets, 2 k + 2 + t], of `read`.
            waves: float32 [batch, targets or 1, w], of the moments of the targets.

        Returns:
            float32 [batch, targets].
        """
        loadings, level, _ = self._split(rows)
        cut = 1 + loadings.shape[-1]
        drift = tf.einsum("btw,bw->bt", waves, weights[:, cut:])  # [batch, targets or 1]
        return level + drift + tf.einsum("btk,bk->bt", _with_bias(loadings), weights[:, :cut])

    def prior_loss(self) -> tf.Tensor:
        """Negative log prior of all weights, in variances of the noise: float32 []."""
        held = ((self.of_id, 1.0), (self.of_word, 1.0), (self.of_behaviour, _BEHAVIOUR_PRECISION))
        total = tf.add_n([p * tf.reduce_sum(w**2 * self.precisions) for w, p in held])
        total += _USER_PRECISION * tf.reduce_sum(self.of_user_word**2)
        return self.config.precision * total

    def _split(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Loadings [..., k + t], level [...], shifts [..., k + 1]."""
        width, end = self.config.width, self.rows
        loadings = tf.concat([rows[..., :width], rows[..., end:]], axis=-1)
        return loadings, rows[..., width], rows[..., width + 1 : end]


def _with_bias(loadings: tf.Tensor) -> tf.Tensor:
    """Put a 1 before the loadings: [..., k] to [..., k + 1]."""
    return tf.concat([tf.ones_like(loadings[..., :1]), loadings], axis=-1)


def _frequencies(waves: int) -> np.ndarray:
    """Angles a day, float32 [paces, waves]: quantiles of the spectrum of exp(-|t| / pace)."""
    quantiles = (np.arange(waves) + 0.5) / max(waves, 1)
    spectrum = np.tan(0.5 * np.pi * quantiles)  # of a half Cauchy distribution
    found: np.ndarray = spectrum / np.array(_PACES)[:, None]
    return found.astype(np.float32)
