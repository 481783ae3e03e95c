"""Two-level reading: the encoder reads each item's text, attention reads the behaviour.

An item's vector is its text's vector plus an id embedding, dropped at random in training
and absent for an item that training never saw. A user is read from the history alone,
so a new user needs no row anywhere. Item vectors can be stored: many candidates cost
one reading of the behaviour.

A pair is scored by a network (`neural_head`), by a factorization (`factor_head`), or by both.

What comes next is found in several ways, added up: by what is learnt of texts, ids and their
age, by what followed what in train, by what went together, and by a linear autoencoder of the
log (`cooccurrence`), which is silent in training: it knows each train row by heart.

Reference:
    Kang & McAuley 2018, arXiv:1808.09781 (the next item, from the history in order).
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ssrec_tf.batching import Batch
from ssrec_tf.errors import ConfigError
from ssrec_tf.recommenders.base import Behaviour, Outputs, PairScores, normal
from ssrec_tf.recommenders.factor_head import FactorHead, FactorReading
from ssrec_tf.recommenders.indexed import Indexed
from ssrec_tf.recommenders.items import ItemVectors
from ssrec_tf.recommenders.neural_head import NeuralHead, built_dense
from ssrec_tf.recommenders.reading import Items, NeuralReading, fading_weights, pool_events

# What is learnt, what follows, what goes together, the autoencoder, popularity: as trained.
_BALANCE = (1.0, 1.0, 1.0, 0.0, 1.0)
# How much what tells the next item counts, and where it starts.
_SOURCE_SCALES = (
    ("next_scale", 3.0),
    ("order_scale", 2.0),  # of an exponential
    ("companion_scale", 1.0),  # the same
    ("companion_growth", 0.25),  # by the log of how many events there are
    ("popularity", 0.5),  # of a log share, once something is known of a user
    ("order_keep", 1.5),  # of a sigmoid: an event counts 0.8 of the one after it
)


class Reading(NamedTuple):
    """A behaviour read once, for any number of candidates.

    Attributes:
        query: float32 [batch, width + s + c + a + 1], for the next item, scaled.
        factors: of the factorization, None where there is none.
        neural: of the neural head, None where there is none.
    """

    query: tf.Tensor
    factors: FactorReading | None
    neural: NeuralReading | None


class TwoLevel(Indexed):
    """See the module's docstring."""

    def build_layers(self) -> None:
        """Make all layers and weights, so that a checkpoint can be read before a step.

        Raises:
            ConfigError: a factorization is asked for and the data have no ratings.
        """
        width, config = self.config.width, self.config
        rated = self.statistics.has_rating
        pair_head = config.pair_head_of(rated=rated)
        if pair_head != "neural" and not rated:
            raise ConfigError(
                f"train.pair_head is {pair_head!r} but the data have no ratings: "
                "give 'neural', or a rating column"
            )
        labelled = self.statistics.has_rating or self.statistics.has_click
        self.items = ItemVectors(
            self.encoder.width,
            self.text,
            config,
            labelled=labelled,
            factorized=pair_head != "neural",
        )
        self.factor_head = None
        if self.items.factors is not None:
            self.factor_head = FactorHead(self.items.factors, self._counted_widths)
        self.head = None
        # Fresh weights are drawn in the order of making: another order, other weights.
        if pair_head != "factorization":
            self.head = NeuralHead(
                config,
                encoder_width=self.encoder.width,
                ratings=len(self.text.vocabulary.ratings),
                factorized=self.items.factors is not None,
            )
        self.recency_embedding = self.add_weight(
            shape=(12, width), initializer=normal(), name="recency_embedding"
        )
        for name, start in (("click_slope", 1.5), ("stray_slope", 0.3), *_SOURCE_SCALES):
            value = keras.initializers.Constant(start)
            setattr(self, name, self.add_weight(shape=(), initializer=value, name=f"scale_{name}"))
        self.balance = self.add_weight(
            shape=(len(_BALANCE),),
            initializer=lambda shape, dtype: tf.constant(_BALANCE, dtype),
            trainable=False,
            name="source_balance",
        )
        if self.head is not None:
            self.head.add_reading_layers()
        self.next_query = built_dense("next_query", 2 * width, width, activation="gelu")
        self.next_output = built_dense("next_output", width, width)
        if self.head is not None:
            self.head.add_scoring_layers()
        self.built = True

    @property
    def source_widths(self) -> list[int]:
        """See `Indexed.source_widths`; in the order of `balance`."""
        return [self.config.width, *self._counted_widths, 1]

    @property
    def _counted_widths(self) -> list[int]:
        """Lengths s, c and a of what is counted in train."""
        config = self.config
        return [config.successor_width, config.companion_width, config.autoencoder_width]

    @property
    def source_readings(self) -> list[keras.Variable]:
        """See `Indexed.source_readings`."""
        return [self.companion_growth, self.order_keep]

    # Behaviours

    def read(self, behaviour: Behaviour, history: Items, training: bool = False) -> Reading:
        """Read behaviours: `history` holds [batch, history] items."""
        stars = self.stars(behaviour.ratings)  # [batch, history]
        factors = None
        if self.factor_head is not None:
            labels = stars, self.strays(behaviour.ratings), behaviour.mask
            factors = self.factor_head.read(history, behaviour.times, behaviour.user, labels)
        return Reading(
            query=self._next_query(history, behaviour.mask),
            factors=factors,
            neural=self._neural(behaviour, history, stars, training),
        )

    def _neural(
        self, behaviour: Behaviour, history: Items, stars: tf.Tensor, training: bool
    ) -> NeuralReading | None:
        """What the neural head reads, None where there is none."""
        if self.head is None:
            return None
        _, user_text = self.encoder(self.assembler.item(behaviour.user), training=training)
        user_text = tf.stop_gradient(user_text)  # a profile is read, not fitted to
        rated = tf.cast(~tf.math.is_nan(stars), tf.float32)  # [batch, history]
        steps = self.rating_steps(behaviour.ratings, rated)
        found: NeuralReading = self.head.read(
            history, stars, steps, behaviour.mask, user_text, training
        )
        return found

    def _next_query(self, history: Items, mask: tf.Tensor) -> tf.Tensor:
        """Query of the next item, the newest events weigh most: [batch, width + s + c + a + 1].

        Its last entry weighs an item's popularity, which says all there is to say of a user
        of whom nothing is known, and less the more is: companions are popular themselves.
        """
        states, recency = history.next_states, tf.convert_to_tensor(self.recency_embedding)
        pooled, mean = pool_events(states, mask, recency)
        hidden = self.next_query(tf.concat([pooled, mean], axis=1))
        query = (pooled + self.next_output(hidden)) / self.config.width
        kept = tf.sigmoid(self.order_keep), tf.constant(1.0)
        weights = tf.stack([*(fading_weights(mask, keep) for keep in kept), mask], axis=1)
        # All by all weights, [batch, 3, s + c + a]: to part the vectors first would copy them.
        counted = tf.split(tf.matmul(weights, history.as_met), self._counted_widths, axis=-1)
        follows, together, linked = (part[:, i] for i, part in enumerate(counted))
        events = tf.reduce_sum(mask, axis=1, keepdims=True)  # [batch, 1]
        growth = self.companion_growth * tf.math.log1p(events)
        learnt, order, beside, auto, popular = tf.unstack(self.balance)
        parts = [
            query * tf.nn.softplus(self.next_scale) * learnt,
            follows * tf.exp(self.order_scale) * order,
            together * tf.exp(self.companion_scale + growth) * beside,
            linked * auto,
            tf.where(events > 0, self.popularity * popular, 1.0),
        ]
        return tf.concat(parts, axis=1)

    def vectors_of(self, items: Items) -> tf.Tensor:
        """See `Indexed.vectors_of`: float32 [..., width + s + c + a + 1]."""
        parts = [items.next_states, items.as_found, items.next_level[..., None]]
        return tf.concat(parts, axis=-1)

    def store_order(self, *vectors: np.ndarray) -> None:
        """Keep what came before, after and together with what, in train.

        Args:
            *vectors: float32 [items + 1, n] each: two of `cooccurrence.successor_vectors`, one
                of `companion_vectors`, two of `autoencoder_vectors`.
        """
        self.items.store_order(np.concatenate(vectors, axis=1))

    # Pairs

    def score(
        self, reading: Reading, candidates: Items, now: tf.Tensor, training: bool = False
    ) -> PairScores:
        """Score candidates [batch, targets] against behaviours read once.

        `now` int64 [batch, targets or 1]: when the candidates are met, in seconds since
        1970, 0 where that is unknown.
        """
        told = tf.zeros([1, 1, 1]), tf.zeros([1, 1, 1])
        if self.factor_head is not None and reading.factors is not None:
            told = self.factor_head.score(reading.factors, candidates, now)
        return self._pair_scores(reading, candidates, told, training)

    def score_batch(
        self, reading: Reading, candidates: Items, batch: Batch, training: bool
    ) -> tuple[PairScores, PairScores | None]:
        """See `Indexed.score_batch`; a factorization learns of each rating what all others say."""
        if not training or self.factor_head is None or reading.factors is None:
            return super().score_batch(reading, candidates, batch, training)
        ratings = batch["target_ratings"]
        labels = self.stars(ratings), self.strays(ratings), batch["target_peers"]
        of_history, of_targets = self.factor_head.left_out(
            reading.factors, candidates, batch["target_times"], labels
        )
        scores = self._pair_scores(reading, candidates, of_targets, training)
        return scores, self._rated(*of_history)

    def _pair_scores(
        self,
        reading: Reading,
        candidates: Items,
        told: tuple[tf.Tensor, tf.Tensor],
        training: bool,
    ) -> PairScores:
        """Scores by the levels and strays of a factorization's members, [batch, n, members]."""
        alone = self._rated(*told)
        if self.head is None or reading.neural is None:
            return alone
        level = self.stars(alone.rating)  # [batch, targets]
        level, click = self.head.score(reading.neural, candidates, level, training)
        both = self._rated(level[..., None], told[1])
        return PairScores(both.rating, both.click_logit + click, alone.spread + 0.0 * level)

    def _rated(self, levels: tf.Tensor, strays: tf.Tensor) -> PairScores:
        """Scores by members' ratings above the mean and strays: [batch, n, members] each."""
        level = tf.reduce_mean(levels, axis=-1)  # [batch, n]
        click = tf.nn.softplus(self.click_slope) * level
        click += tf.nn.softplus(self.stray_slope) * tf.reduce_mean(strays, axis=-1)
        return PairScores(
            rating=self.statistics.mean + self.statistics.deviation * level,
            click_logit=click + self.logit_of_share(),
            spread=tf.math.reduce_variance(levels, axis=-1),
        )

    def strays(self, ratings: tf.Tensor) -> tf.Tensor:
        """What ratings say of clicks beyond a straight line, 0 for NaN: float32, same shape."""
        rated = tf.cast(~tf.math.is_nan(ratings), tf.float32)
        # Before them stand two rows of what is no step.
        table = tf.constant([0.0, 0.0, *self.statistics.click_beyond_rating])  # [steps + 2]
        return tf.gather(table, self.rating_steps(ratings, rated))

    def task_losses(
        self, outputs: Outputs, batch: Batch, *, training: bool
    ) -> dict[str, tf.Tensor]:
        """See `Recommender.task_losses`; in training the factors' prior is one of them."""
        losses = super().task_losses(outputs, batch, training=training)
        if self.items.factors is not None and training:
            rows = max(1, int(self.text.item_counts.sum()))
            losses["prior_loss"] = self.items.factors.prior_loss() / rows
        return losses

    def full_query(self, reading: Reading) -> tf.Tensor:
        """See `Indexed.full_query`."""
        return reading.query
