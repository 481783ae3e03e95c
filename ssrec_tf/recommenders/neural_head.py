"""The neural pair head: candidates attend to a behaviour, and a network scores what they see.

References:
    Koren 2008, "Factorization meets the neighborhood" (the history as user factors).
    Zhou et al. 2018, arXiv:1706.06978 (the candidate attends to the history).
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from ssrec_tf.config import TrainConfig
from ssrec_tf.recommenders.base import dense, normal
from ssrec_tf.recommenders.reading import HEADS, Items, NeuralReading, attend, residual_of_alike


class NeuralHead(keras.layers.Layer):
    """Reads behaviours, then scores candidates against them.

    Made in three steps, `__init__`, `add_reading_layers` and `add_scoring_layers`, because
    fresh weights are drawn in the order of making, and the next item's lie between them.

    Args:
        config: `width` and `dropout`.
        encoder_width: length of the encoder's vectors.
        ratings: steps of the rating scale.
        factorized: whether `score` sets a factorization right, rather than biases.
    """

    def __init__(
        self, config: TrainConfig, *, encoder_width: int, ratings: int, factorized: bool
    ) -> None:
        """Make the weights of events."""
        super().__init__(name="neural_head")
        self.width, self.encoder_width, self.factorized = config.width, encoder_width, factorized
        self.rating_embedding = self.add_weight(  # padding row, no rating, the steps
            shape=(ratings + 2, self.width), initializer=normal(), name="rating_embedding"
        )
        self.residual_direction = self.add_weight(
            shape=(self.width,), initializer=normal(), name="residual_direction"
        )
        scalars = {"shrinkage": 5.0}
        scalars |= {"alike_sharpness": 8.0, "alike_shrinkage": 10.0, "alike_weight": 0.3}
        for name, start in scalars.items():
            value = keras.initializers.Constant(start)
            setattr(self, name, self.add_weight(shape=(), initializer=value, name=f"scale_{name}"))
        self._dropout_rate = config.dropout
        self.built = True

    def add_reading_layers(self) -> None:
        """Make what reads the history, and the candidates' queries to it."""
        encoded, width = self.encoder_width, self.width
        self.dropout = keras.layers.Dropout(self._dropout_rate)
        self.user_projection = built_dense("user_projection", encoded, width)
        self.user_bias = built_dense("user_bias", encoded, 1, kernel_initializer="zeros")
        for name in ("attention_query", "attention_key", "attention_value"):
            setattr(self, name, built_dense(name, width, width))
        for name in ("factor_query", "factor_rated", "factor_seen"):
            setattr(self, name, built_dense(name, width, width, use_bias=False))

    def add_scoring_layers(self) -> None:
        """Make the network that scores."""
        width, features = self.width, 5 * self.width + HEADS + 6 + self.factorized
        self.hidden_1 = built_dense("hidden_1", features, 2 * width, activation="gelu")
        self.hidden_2 = built_dense("hidden_2", 2 * width, width, activation="gelu")
        self.output_layer = built_dense("output_layer", width, 2, kernel_initializer="zeros")

    def read(
        self,
        history: Items,
        stars: tf.Tensor,
        steps: tf.Tensor,
        mask: tf.Tensor,
        user_text: tf.Tensor,
        training: bool = False,
    ) -> NeuralReading:
        """Read behaviours.

        Args:
            history: items of the events, [batch, history].
            stars: float32 [batch, history], standardized ratings, NaN where there is none.
            steps: int32 [batch, history], rows of the rating embedding.
            mask: float32 [batch, history], 0 is padding.
            user_text: float32 [batch, encoder width], vectors of the users' texts.
            training: whether dropout is on.
        """
        rated = mask * tf.cast(~tf.math.is_nan(stars), tf.float32)  # [batch, history]
        stars = tf.where(tf.math.is_nan(stars), 0.0, stars)
        bias = self._bias(history, stars, rated, user_text)  # [batch]
        residuals = (stars - history.level - bias[:, None]) * rated
        count, events = tf.reduce_sum(rated, axis=1), tf.reduce_sum(mask, axis=1)  # [batch]
        spread = tf.sqrt((tf.reduce_sum(residuals**2, axis=1) + 5.0) / (count + 5.0))
        happened = tf.gather(self.rating_embedding, steps)  # [batch, history, width]
        happened += residuals[..., None] * self.residual_direction
        values = self.dropout(history.states + happened, training=training)
        user = tf.math.rsqrt(events + 1.0)[:, None] * (
            tf.einsum("bh,bhd->bd", residuals, self.factor_rated(history.states))
            + tf.einsum("bh,bhd->bd", mask, self.factor_seen(history.states))
        )
        return NeuralReading(
            keys=self.attention_key(history.states),
            values=self.attention_value(values),
            directions=history.directions,
            residuals=residuals,
            mask=mask,
            user=user + self.user_projection(user_text),
            bias=bias,
            facts=tf.stack([bias, tf.math.log(events + 1.0) / 5.0, spread], axis=-1),
        )

    def _bias(
        self, history: Items, stars: tf.Tensor, rated: tf.Tensor, user_text: tf.Tensor
    ) -> tf.Tensor:
        """Users' mean above the items' levels, shrunk to what the profile says: [batch]."""
        prior = self.user_bias(user_text)[:, 0]  # [batch]
        above = (stars - history.level - prior[:, None]) * rated  # [batch, history]
        count = tf.reduce_sum(rated, axis=1)  # [batch]
        return tf.reduce_sum(above, axis=1) / (count + tf.nn.softplus(self.shrinkage)) + prior

    def score(
        self, reading: NeuralReading, candidates: Items, level: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Score candidates against behaviours read once.

        Args:
            reading: of `read`.
            candidates: [batch, targets].
            level: float32 [batch, targets], what a factorization says, which is then set
                right; not read where there is none.
            training: whether dropout is on.

        Returns:
            Level of the rating, in deviations above the mean, and what a click's logit has
            beyond it: float32 [batch, targets] each.
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
        features = [
            *(states, attended, states * attended, states * user),
            tf.repeat(user, targets, axis=1),  # [batch, targets, width]
            above,
            *(factor[..., None], alike[..., None], candidates.level[..., None]),
            tf.repeat(reading.facts[:, None, :], targets, axis=1),  # [batch, targets, 3]
            *([level[..., None]] if self.factorized else []),
        ]
        hidden = self.dropout(tf.concat(features, axis=-1), training=training)
        hidden = self.dropout(self.hidden_1(hidden), training=training)
        out = self.output_layer(self.hidden_2(hidden))  # [batch, targets, 2]
        if not self.factorized:
            level = candidates.level + reading.bias[:, None] + factor
        return level + self.alike_weight * alike + out[..., 0], out[..., 1]


def built_dense(name: str, inputs: int, units: int, **options: Any) -> keras.layers.Dense:
    """Make a dense layer and its weights."""
    layer = dense(units, name=name, **options)
    layer.build((None, inputs))
    return layer
