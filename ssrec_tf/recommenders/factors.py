"""A factorization that reads: Bayesian user factors, solved from the history in the graph.

An item's factors are the sum of what its id, its words and its co-occurrence vector say,
and beside them stand the leading directions of the encoder's frozen vectors of the texts;
a user has none of his own: they are the posterior mean of a linear regression of his
ratings on the factors of the items he rated, around a prior that his profile and the mere
choice of items give. So a new user, or one with a rating more than yesterday, is read like
any other, and an item known by its text only has factors too. Moods pass: a user's bias
drifts as a Gaussian process in time, so the events near a moment say most about it.

Training asks of every target what all but itself would have said, in closed form: it reads
as much as serving does, where a log parted into what is read and what is asked reads less.
Members that start from other draws (`starts`) stand side by side; their mean is served.

References:
    Mnih & Salakhutdinov 2008, "Probabilistic Matrix Factorization".
    Bertinetto et al. 2019, arXiv:1805.08136 (learning through a ridge regression).
    Koren 2009, "Collaborative filtering with temporal dynamics" (biases that drift).
    Lakshminarayanan et al. 2017, arXiv:1612.01474 (members from other starts).
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from ssrec_tf.config import FactorConfig
from ssrec_tf.cooccurrence import leading_axes
from ssrec_tf.recommenders.base import normal
from ssrec_tf.recommenders.moments import PACES, frequencies, waves_of
from ssrec_tf.recommenders.nearby import SHARPNESS
from ssrec_tf.recommenders.priors import WeightPrior
from ssrec_tf.recommenders.reading import Events, joined, rated_events, with_bias
from ssrec_tf.recommenders.regression import left_out, observe, posterior_mean
from ssrec_tf.recommenders.unmet import UnmetItems
from ssrec_tf.recommenders.user_prior import UserPrior
from ssrec_tf.text_table import TextTable

# What counts of a rating until it is settled: level, bias, taste, and what near items tell.
SHARES = (1.0, 1.0, 1.0, 0.0)
BIAS_PRECISION = 3.0  # of a user's bias in the regression, in variances of the noise
_AT_ONCE = 4096  # items whose rows are read at once


class Factors(keras.layers.Layer):
    """Item factors and the regression on them.

    With k for `config.width` and t for `config.text_width`, an item's row holds k learnt
    loadings, its level, k + 1 shifts that its choice gives to a user's prior, its stray (see
    `strays`), and t loadings of its text: float32 [members, 2 k + 3 + t]. A user's weights are
    a bias, k factors, t factors of texts and w of the bias' drift: float32
    [members, 1 + k + t + w].

    Args:
        text: the catalogue's tokens and users' tokens.
        encoder_width: length of the texts' vectors.
        common: int64 [words], how many train items hold a word, 0 if it speaks for none, as
            padding.
        config: sizes and the prior's precision.
        ids: whether ids speak at all; if not, words learn to do without from the start.
    """

    def __init__(
        self,
        text: TextTable,
        encoder_width: int,
        common: np.ndarray,
        config: FactorConfig,
        *,
        ids: bool = True,
    ) -> None:
        """Make all weights; a name with `factor_` is held by its prior, not by weight decay."""
        super().__init__(name="factors")
        self.config = config
        self.rows = 2 * config.width + 3
        words, members = len(text.vocabulary.words), config.starts
        self._common = tf.cast(common > 0, tf.float32)  # [words]
        count, behaviour = len(text.item_tokens), config.behaviour_width
        self.of_id = self._table("of_id", count)
        self.of_word = self._table("of_word", words)
        self.of_behaviour = self._table("of_behaviour", behaviour)
        self.user_prior = UserPrior(words, config)
        self.drift = self._weight("drift", (members, len(PACES)), 0.3)
        self.text_scale = self._weight("text_scale", (members, 1), 0.3)
        for name, shape, value in (
            ("behaviour", (count, behaviour), "zeros"),
            ("text_axes", (encoder_width, config.text_width), "zeros"),
        ):
            kept = self.add_weight(shape=shape, initializer=value, trainable=False, name=name)
            setattr(self, name, kept)
        for name, start in (("shares", SHARES), ("sharpness", SHARPNESS[0])):  # met, unmet
            settled = self.add_weight((2, 4), initializer="zeros", trainable=False, name=name)
            settled.assign([start, start])
            setattr(self, name, settled)
        self._frequencies = tf.constant(frequencies(config.waves))  # [paces, waves]
        self._prior = WeightPrior(config, text.item_counts)
        weights = config.width + config.text_width + 2 * len(PACES) * config.waves
        self._precision = tf.constant([BIAS_PRECISION] + [1.0] * weights)  # [1 + k + t + w]
        shape = (members, self.rows)
        self.unmet = UnmetItems(common, config, shape) if ids else None
        self.built = True

    def _weight(self, name: str, shape: tuple[int, ...], start: float) -> keras.Variable:
        value = keras.initializers.Constant(start)
        return self.add_weight(shape=shape, initializer=value, name=f"factor_{name}")

    def _table(self, name: str, rows: int) -> keras.Variable:
        """Loadings start as draws, the rest at 0: float32 [rows, members, 2 k + 3]."""
        draw, width = normal(), self.config.width

        def initial(shape: tuple[int, ...], dtype: str) -> tf.Tensor:
            drawn = draw((*shape[:-1], width), dtype)
            return tf.concat([drawn, tf.zeros((*shape[:-1], shape[-1] - width), dtype)], axis=-1)

        shape = (rows, self.config.starts, self.rows)
        return self.add_weight(shape=shape, initializer=initial, name=f"factor_{name}")

    def store(self, vectors: np.ndarray, directions: np.ndarray) -> None:
        """Keep the co-occurrence vectors, and the axes along which texts differ most.

        Args:
            vectors: float32 [items + 1, `behaviour_width`].
            directions: float32 [train items, encoder width], of their texts.
        """
        self.behaviour.assign(vectors)
        self.text_axes.assign(leading_axes(directions, self.config.text_width))

    def assign_levels(self, levels: np.ndarray) -> None:
        """Set what ids say of levels, in deviations: float32 [items + 1, members or 1]."""
        table = self.of_id.numpy()  # [items + 1, members, 2 k + 3]
        table[..., self.config.width] = levels
        self.of_id.assign(table)

    def settle(
        self, refs: np.ndarray, words: np.ndarray, directions: np.ndarray, counts: np.ndarray
    ) -> None:
        """Solve anew what texts tell of items that nobody met, by what is learnt of the others.

        Args:
            refs: int32 [items], of those that were met.
            words: int32 [items, item width].
            directions: float32 [items, encoder width], texts' vectors of length 1.
            counts: int [items], how often each was met.
        """
        if self.unmet is None or len(refs) < 2:
            return
        parts = [slice(i, i + _AT_ONCE) for i in range(0, len(refs), _AT_ONCE)]
        speaks = np.ones(len(refs), np.float32)
        rows = [self._learnt(refs[i], words[i], speaks[i]) for i in parts]
        along = directions @ self.text_axes.numpy()
        self.unmet.fit(words, along, np.concatenate(rows), counts)

    def read(
        self,
        refs: tf.Tensor,
        words: tf.Tensor,
        directions: tf.Tensor,
        speaks: tf.Tensor,
        *,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Make items' rows, and those that their texts alone would give them.

        Args:
            refs: int32 [...], 0 for an item known by its text only.
            words: int32 [..., item width].
            directions: float32 [..., encoder width], texts' vectors of length 1.
            speaks: float32 [...], 0 switches off what is known of the item beside its text,
                which then tells where it stands among the others.
            training: whether all items were met, padding apart.

        Returns:
            float32 [..., members, 2 k + 3 + t] each.
        """
        along = tf.tensordot(directions, tf.convert_to_tensor(self.text_axes), 1)  # [..., t]
        rows = by_text = self._learnt(refs, words, speaks)
        if self.unmet is not None:
            by_text = self.unmet.read(words, along)
            if not training:
                rows = tf.where(speaks[..., None, None] > 0, rows, by_text)
        # [..., 1, t] by [members, 1]: each member trusts texts as far as it has learnt to.
        texts = along[..., None, :] * self.text_scale
        return tf.concat([rows, texts], axis=-1), tf.concat([by_text, texts], axis=-1)

    def _learnt(self, refs: tf.Tensor, words: tf.Tensor, speaks: tf.Tensor) -> tf.Tensor:
        """What ids, words and co-occurrence say, as `read` has it: [..., members, 2 k + 3]."""
        known = tf.gather(self.of_id, refs)  # [..., members, 2 k + 3]
        met = tf.gather(self.behaviour, refs)  # [..., behaviour width]
        known += tf.tensordot(met, tf.convert_to_tensor(self.of_behaviour), 1)
        there = tf.gather(self._common, words)[..., None, None]  # [..., item width, 1, 1]
        said = tf.gather(self.of_word, words)  # [..., item width, members, 2 k + 3]
        return known * speaks[..., None, None] + tf.reduce_sum(there * said, axis=-3)

    def waves(self, times: tf.Tensor, moment: tf.Tensor) -> tf.Tensor:
        """Features of moments, see `moments.waves_of`: float32 [batch, n, w].

        How much of each pace is felt, `drift`, each member says where it uses them.
        """
        return waves_of(times, moment, self._frequencies)

    def posterior(self, history: Events, user: tf.Tensor) -> tf.Tensor:
        """Regress ratings on the items' loadings and the waves of their moments.

        Args:
            history: of [batch, history].
            user: int32 [batch, user width], words of the user's text.

        Returns:
            Weights: float32 [batch, members, 1 + k + t + w].
        """
        design, above = self._known(history)
        prior = self.user_prior.of(history, self._split(history.rows)[2], user)
        seen = observe(design, above, self._precision)
        return posterior_mean(seen, self._precision, self._padded(prior))

    def left_out(self, history: Events, targets: Events, user: tf.Tensor) -> tf.Tensor:
        """Score each event of the history and each target by all but itself.

        Args:
            history: of [batch, history].
            targets: of [batch, targets]; one of mask 0 is asked, but tells the others nothing.
            user: int32 [batch, user width], words of the user's text.

        Returns:
            Ratings above the mean, in deviations: float32 [batch, history + targets, members].
        """
        every = joined(history, targets)
        design, above = self._known(every)
        prior = self.user_prior.left_out(every, self._split(every.rows)[2], user)
        prior = tf.transpose(prior, [0, 2, 1, 3])  # [batch, members, n, k + 1]
        found = left_out(
            observe(design, above, self._precision),
            self._precision,
            self._padded(prior),  # [batch, members, n, 1 + k + t + w]
            self._design(every.rows, every.waves),
            above,
            tf.cast(tf.reduce_any(design != 0, axis=-1), tf.float32),
        )
        level = self._split(every.rows)[1]
        return level + tf.transpose(found, [0, 2, 1])  # [batch, n, members]

    def residuals(self, history: Events, weights: tf.Tensor) -> tf.Tensor:
        """What `weights` leave of the ratings, 0 where there is none: [batch, members, n]."""
        design, above = self._known(history)
        return above - tf.linalg.matvec(design, weights)

    def score(
        self,
        weights: tf.Tensor,
        rows: tf.Tensor,
        waves: tf.Tensor,
        nearby: tf.Tensor,
        shares: tf.Tensor,
    ) -> tf.Tensor:
        """Ratings above the mean, in deviations; each part counts by its share, see `settling`.

        Args:
            weights: float32 [batch, members, 1 + k + t + w], of `posterior`.
            rows: float32 [batch, targets, members, 2 k + 3 + t], of `read`.
            waves: float32 [batch, targets or 1, w], of the moments of the targets.
            nearby: float32 [batch, targets, members], of `nearby.told_nearby`.
            shares: float32 [4], of `self.shares`.

        Returns:
            float32 [batch, targets, members].
        """
        loadings, level, _ = self._split(rows)
        cut = 1 + loadings.shape[-1]
        drift = tf.einsum("btw,mw,bmw->btm", waves, self._scales(), weights[..., cut:])
        bias = weights[:, None, :, 0] + drift  # [batch, targets, members]
        taste = tf.einsum("btmk,bmk->btm", loadings, weights[..., 1:cut])
        of_level, of_bias, of_taste, of_nearby = tf.unstack(shares)
        return of_level * level + of_bias * bias + of_taste * taste + of_nearby * nearby

    def loadings(self, rows: tf.Tensor) -> tf.Tensor:
        """What regressions are on, a 1 before them: [..., members, 1 + k + t] of `read`'s rows."""
        return with_bias(self._split(rows)[0])

    def own_strays(self, rows: tf.Tensor) -> tf.Tensor:
        """How items' clicks stray from their ratings: [..., members] of `read`'s rows."""
        return rows[..., self.rows - 1]

    def _known(self, events: Events) -> tuple[tf.Tensor, tf.Tensor]:
        """Rows of the design, zeros where there is no rating, and ratings above the level.

        float32 [batch, members, n, 1 + k + t + w], [batch, members, n].
        """
        rated = rated_events(events)  # [batch, n]
        design = self._design(events.rows, events.waves) * rated[:, None, :, None]
        level = tf.transpose(self._split(events.rows)[1], [0, 2, 1])  # [batch, members, n]
        rated = rated[:, None, :]
        return design, tf.where(rated > 0, events.stars[:, None, :] - level, 0.0)

    def _design(self, rows: tf.Tensor, waves: tf.Tensor) -> tf.Tensor:
        """Float32 [batch, members, n, 1 + k + t + w]."""
        loadings = tf.transpose(with_bias(self._split(rows)[0]), [0, 2, 1, 3])
        felt = waves[:, None] * self._scales()[:, None, :]  # [batch, members, n, w]
        return tf.concat([loadings, felt], axis=-1)

    def _scales(self) -> tf.Tensor:
        """How much of each wave is felt: float32 [members, w]."""
        return tf.repeat(self.drift, 2 * self.config.waves, axis=1)

    def _padded(self, prior: tf.Tensor) -> tf.Tensor:
        """Prior means of all weights, 0 for texts and waves: [..., k + 1] to [..., 1+k+t+w]."""
        rest = len(self._precision) - (self.config.width + 1)
        return tf.concat([prior, tf.zeros_like(prior[..., :1]) + tf.zeros([rest])], axis=-1)

    def prior_loss(self) -> tf.Tensor:
        """Negative log prior of all weights, see `WeightPrior`: float32 []."""
        return self._prior.loss(
            self.of_id, self.of_word, self.of_behaviour, self.user_prior.of_word
        )

    def _split(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Loadings [..., k + t], level [...], shifts [..., k + 1]."""
        width, end = self.config.width, self.rows
        loadings = tf.concat([rows[..., :width], rows[..., end:]], axis=-1)
        return loadings, rows[..., width], rows[..., width + 1 : end - 1]
