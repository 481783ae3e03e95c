"""Two-level reading: the encoder reads each item's text, attention reads the behaviour.

An item's vector is its text's vector plus an id embedding, dropped at random in training
and absent for an item that training never saw. A user is read from the history alone,
so a new user needs no row anywhere. Item vectors can be stored: many candidates cost
one reading of the behaviour.

References:
    Koren 2008, "Factorization meets the neighborhood" (the history as user factors).
    Kang & McAuley 2018, arXiv:1808.09781 (self-attention over the history).
    Zhou et al. 2018, arXiv:1706.06978 (the candidate attends to the history).
"""

from __future__ import annotations

import keras
import tensorflow as tf

from ssrec_tf.batching import Batch
from ssrec_tf.errors import ConfigError
from ssrec_tf.recommenders.base import Behaviour, Outputs, PairScores, dense, normal
from ssrec_tf.recommenders.indexed import Indexed
from ssrec_tf.recommenders.items import ItemVectors
from ssrec_tf.recommenders.reading import (
    HEADS,
    Items,
    Reading,
    attend,
    pool_events,
    residual_of_alike,
)


class TwoLevel(Indexed):
    """See the module's docstring."""

    def build_layers(self) -> None:
        """Make all layers and weights, so that a checkpoint can be read before a step.

        Raises:
            ConfigError: a factorization is asked for and the data have no ratings.
        """
        width, config = self.config.width, self.config
        if config.pair_head != "neural" and not self.statistics.has_rating:
            raise ConfigError(
                f"train.pair_head is {config.pair_head!r} but the data have no ratings: "
                "give 'neural', or a rating column"
            )
        labelled = self.statistics.has_rating or self.statistics.has_click
        self.items = ItemVectors(
            self.encoder.width,
            self.text,
            config,
            labelled=labelled,
            factorized=config.pair_head != "neural",
        )
        ratings = len(self.text.vocabulary.ratings) + 2  # padding row, no rating, the steps
        self.rating_embedding = self.add_weight(
            shape=(ratings, width), initializer=normal(), name="rating_embedding"
        )
        self.residual_direction = self.add_weight(
            shape=(width,), initializer=normal(), name="residual_direction"
        )
        self.recency_embedding = self.add_weight(
            shape=(12, width), initializer=normal(), name="recency_embedding"
        )
        scalars = {"shrinkage": 5.0, "click_slope": 1.5, "next_scale": 3.0}
        scalars |= {"alike_sharpness": 8.0, "alike_shrinkage": 10.0, "alike_weight": 0.3}
        for name, start in scalars.items():
            value = keras.initializers.Constant(start)
            setattr(self, name, self.add_weight(shape=(), initializer=value, name=f"scale_{name}"))
        self.dropout = keras.layers.Dropout(config.dropout)
        self._build_dense(width)
        self.built = True

    def _build_dense(self, width: int) -> None:
        """Name, then build, each dense layer with its input width."""
        encoded, zeros = self.encoder.width, "zeros"
        feature_width = 5 * width + HEADS + 6 + (self.items.factors is not None)
        plan = {
            "user_projection": (dense(width), encoded),
            "user_bias": (dense(1, kernel_initializer=zeros), encoded),
            "attention_query": (dense(width), width),
            "attention_key": (dense(width), width),
            "attention_value": (dense(width), width),
            "factor_query": (dense(width, use_bias=False), width),
            "factor_rated": (dense(width, use_bias=False), width),
            "factor_seen": (dense(width, use_bias=False), width),
            "next_query": (dense(width, activation="gelu"), 2 * width),
            "next_output": (dense(width), width),
            "hidden_1": (dense(2 * width, activation="gelu"), feature_width),
            "hidden_2": (dense(width, activation="gelu"), 2 * width),
            "output_layer": (dense(2, kernel_initializer=zeros), width),
        }
        for name, (layer, inputs) in plan.items():
            layer.name = name
            layer.build((None, inputs))
            setattr(self, name, layer)

    # Behaviours

    def read(self, behaviour: Behaviour, history: Items, training: bool = False) -> Reading:
        """Read behaviours: `history` holds [batch, history] items."""
        mask = behaviour.mask
        rated = mask * tf.cast(~tf.math.is_nan(behaviour.ratings), tf.float32)
        stars = self.standardized(behaviour.ratings)  # [batch, history]
        _, user_text = self.encoder(self.assembler.item(behaviour.user), training=training)
        user_text = tf.stop_gradient(user_text)  # a profile is read, not fitted to
        prior = self.user_bias(user_text)[:, 0]  # [batch]
        count = tf.reduce_sum(rated, axis=1)  # [batch]
        shrinkage = tf.nn.softplus(self.shrinkage)
        above = (stars - history.level - prior[:, None]) * rated  # [batch, history]
        bias = tf.reduce_sum(above, axis=1) / (count + shrinkage) + prior
        residuals = (stars - history.level - bias[:, None]) * rated
        spread = tf.sqrt((tf.reduce_sum(residuals**2, axis=1) + 5.0) / (count + 5.0))
        events = tf.reduce_sum(mask, axis=1)  # [batch]
        values = history.states + self._event_embedding(behaviour, residuals, rated)
        values = self.dropout(values, training=training)
        scale = tf.math.rsqrt(events + 1.0)[:, None]  # [batch, 1]
        user = scale * (
            tf.einsum("bh,bhd->bd", residuals, self.factor_rated(history.states))
            + tf.einsum("bh,bhd->bd", mask, self.factor_seen(history.states))
        )
        facts = tf.stack([bias, tf.math.log(events + 1.0) / 5.0, spread], axis=-1)
        return Reading(
            keys=self.attention_key(history.states),
            values=self.attention_value(values),
            directions=history.directions,
            residuals=residuals,
            mask=mask,
            user=user + self.user_projection(user_text),
            bias=bias,
            facts=facts,
            query=self._next_query(history.next_states, mask),
            weights=self._weights(behaviour, history),
            moment=tf.reduce_max(behaviour.times, axis=1),
        )

    def _weights(self, behaviour: Behaviour, history: Items) -> tf.Tensor:
        """The user's factors: float32 [batch, n]."""
        if self.items.factors is None:
            return history.factors[:, 0, :0]  # [batch, 0]
        stars = (behaviour.ratings - self.statistics.mean) / self.statistics.deviation
        moment = tf.reduce_max(behaviour.times, axis=1)  # [batch]
        waves = self.items.factors.waves(behaviour.times, moment[:, None])
        found: tf.Tensor = self.items.factors.posterior(
            history.factors, waves, stars, behaviour.mask, behaviour.user
        )
        return found

    def _event_embedding(
        self, behaviour: Behaviour, residuals: tf.Tensor, rated: tf.Tensor
    ) -> tf.Tensor:
        """What happened, beside which item: float32 [batch, history, width]."""
        step = self.rating_steps(behaviour.ratings, rated)
        embedded = tf.gather(self.rating_embedding, step)  # [batch, history, width]
        return embedded + residuals[..., None] * self.residual_direction

    def _next_query(self, states: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Query of the next item: the newest events weigh most: float32 [batch, width]."""
        recency = tf.convert_to_tensor(self.recency_embedding)
        pooled, mean = pool_events(states, mask, recency)
        hidden = self.next_query(tf.concat([pooled, mean], axis=1))
        return pooled + self.next_output(hidden)

    # Pairs

    def score(
        self, reading: Reading, candidates: Items, now: tf.Tensor, training: bool = False
    ) -> PairScores:
        """Score candidates [batch, targets] against behaviours read once.

        `now` int64 [batch, targets or 1]: when the candidates are met, in seconds since
        1970, 0 where that is unknown.
        """
        level, click = tf.constant(0.0), tf.constant(0.0)
        if self.items.factors is not None:
            waves = self.items.factors.waves(now, reading.moment[:, None])
            level = self.items.factors.score(reading.weights, candidates.factors, waves)
        if self.config.pair_head != "factorization":
            level, click = self._neural(reading, candidates, level, training)
        rating = self.statistics.mean + self.statistics.deviation * level
        click += tf.nn.softplus(self.click_slope) * level + self.logit_of_share()
        return PairScores(rating, click)

    def _neural(
        self, reading: Reading, candidates: Items, level: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Level of the rating, and what a click has beyond it: float32 [batch, targets].

        `level` is what the factorization says, which is then set right; or 0.
        """
        states = candidates.states
        attended, above = attend(reading, self.attention_query(states))
        user = reading.user[:, None, :]  # [batch, 1, width]
        factor = tf.reduce_sum(self.factor_query(states) * user, axis=-1)  # [batch, targets]
        alike = residual_of_alike(
            reading,
            candidates.directions,
            tf.nn.softplus(self.alike_sharpness),
            tf.nn.softplus(self.alike_shrinkage),
        )
        targets = tf.shape(states)[1]
        features = tf.concat(
            [
                states,
                attended,
                states * attended,
                states * user,
                tf.repeat(user, targets, axis=1),
                above,
                factor[..., None],
                alike[..., None],
                candidates.level[..., None],
                tf.repeat(reading.facts[:, None, :], targets, axis=1),
                *([] if self.items.factors is None else [level[..., None]]),
            ],
            axis=-1,
        )
        hidden = self.hidden_1(self.dropout(features, training=training))
        out = self.output_layer(self.hidden_2(self.dropout(hidden, training=training)))
        if self.items.factors is None:
            level = candidates.level + reading.bias[:, None] + factor
        return level + self.alike_weight * alike + out[..., 0], out[..., 1]

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
        query = reading.query * tf.nn.softplus(self.next_scale) / self.config.width
        return tf.concat([query, tf.ones_like(query[:, :1])], axis=1)
