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
import numpy as np
import tensorflow as tf

from ssrec_tf.batching import Batch
from ssrec_tf.recommenders.base import Behaviour, PairScores, Recommender, dense
from ssrec_tf.recommenders.reading import HEADS, Items, Reading, attend

_ENCODE_BATCH = 256


class TwoLevel(Recommender):
    """See the module's docstring."""

    def build_layers(self) -> None:
        """Make all layers and weights, so that a checkpoint can be read before a step."""
        width, config, count = self.config.width, self.config, len(self.text.item_tokens)
        self._known = known = tf.cast(self.text.known_items, tf.float32)  # [items + 1]
        # Ids that are always dropped are never trained, and must not speak later.
        self._has_id = known if config.id_dropout < 1.0 else tf.zeros_like(known)
        # Text vectors of the whole catalogue, once the encoder stands still.
        self.stored = self.add_weight(
            shape=(count, self.encoder.width), initializer="zeros", trainable=False, name="stored"
        )
        # A mean of states is much the same for all texts: what differs gets one scale.
        for name, initial in (("text_mean", "zeros"), ("text_deviation", "ones")):
            value = self.add_weight(
                shape=(self.encoder.width,), initializer=initial, trainable=False, name=name
            )
            setattr(self, name, value)
        self.id_embedding = self.add_weight(
            shape=(count, width), initializer=_normal(), name="id_embedding"
        )
        self.id_bias = self.add_weight(shape=(count,), initializer="zeros", name="id_bias")
        # The next item's log share starts at its popularity: the rest is learnt beyond it.
        share = np.log((self.text.item_counts + 1.0) / (self.text.item_counts.sum() + count))
        self._rarest = float(share.min())
        self.next_bias = self.add_weight(
            shape=(count,), initializer=lambda shape, dtype: tf.cast(share, dtype), name="next_bias"
        )
        self.next_embedding = self.add_weight(
            shape=(count, width), initializer=_normal(), name="next_embedding"
        )
        ratings = len(self.text.vocabulary.ratings) + 2  # padding row, no rating, the steps
        self.rating_embedding = self.add_weight(
            shape=(ratings, width), initializer=_normal(), name="rating_embedding"
        )
        self.residual_direction = self.add_weight(
            shape=(width,), initializer=_normal(), name="residual_direction"
        )
        self.recency_embedding = self.add_weight(
            shape=(12, width), initializer=_normal(), name="recency_embedding"
        )
        scalars = {"shrinkage": 5.0, "click_slope": 1.5, "next_scale": 3.0}
        for name, start in scalars.items():
            value = keras.initializers.Constant(start)
            setattr(self, name, self.add_weight(shape=(), initializer=value, name=f"scale_{name}"))
        self.dropout = keras.layers.Dropout(config.dropout)
        self._build_dense(width)
        self.built = True

    def _build_dense(self, width: int) -> None:
        """Name, then build, each dense layer with its input width."""
        encoded, zeros = self.encoder.width, "zeros"
        feature_width = 5 * width + HEADS + 5
        plan = {
            "text_projection": (dense(width), encoded),
            "text_bias": (dense(1, use_bias=False, kernel_initializer=zeros), encoded),
            "user_projection": (dense(width), encoded),
            "user_bias": (dense(1, kernel_initializer=zeros), encoded),
            "attention_query": (dense(width), width),
            "attention_key": (dense(width), width),
            "attention_value": (dense(width), width),
            "factor_query": (dense(width, use_bias=False), width),
            "factor_rated": (dense(width, use_bias=False), width),
            "factor_seen": (dense(width, use_bias=False), width),
            "next_item": (dense(width, use_bias=False), width),
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
        self.item_norm = keras.layers.LayerNormalization(name="item_norm")
        self.item_norm.build((None, width))

    # Items

    def encode_text(self, words: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Vectors of texts: int32 [n, item width] to float32 [n, encoder width]."""
        _, pooled = self.encoder(self.assembler.item(words), training=training)
        return pooled

    def store_items(self) -> None:
        """Encode the whole catalogue once, into `stored`."""
        encode = tf.function(self.encode_text, reduce_retracing=True)
        tokens = self.text.item_tokens
        parts = [
            encode(tf.constant(tokens[i : i + _ENCODE_BATCH]))
            for i in range(0, len(tokens), _ENCODE_BATCH)
        ]
        self.stored.assign(tf.concat(parts, axis=0))
        seen = self.stored.numpy()[self.text.known_items]  # [train items, encoder width]
        if len(seen):
            self.text_mean.assign(seen.mean(axis=0))
            self.text_deviation.assign(np.maximum(seen.std(axis=0), 1e-3))

    def items(
        self, text_vectors: tf.Tensor, refs: tf.Tensor, keep: tf.Tensor, training: bool = False
    ) -> Items:
        """Vectors of items.

        Args:
            text_vectors: float32 [..., encoder width].
            refs: int32 [...], 0 for an item known by its text only.
            keep: float32 [items + 1], 0 switches an item's id off.
            training: whether dropout is on.
        """
        keep = tf.gather(keep * self._has_id, refs)  # [...]
        ids = tf.gather(self.id_embedding, refs) * keep[..., None]  # [..., width]
        text = (text_vectors - self.text_mean) / self.text_deviation
        projected = self.text_projection(self.dropout(text, training=training))
        bias = tf.gather(self.id_bias, refs) * keep + self.text_bias(text)[..., 0]
        states = self.item_norm(projected + ids)
        # What comes next is learnt beside the ratings, not at their expense.
        labelled = self.statistics.has_rating or self.statistics.has_click
        shared = tf.stop_gradient(states) if labelled else states
        next_ids = tf.gather(self.next_embedding, refs) * keep[..., None]  # [..., width]
        return Items(states, bias, self.next_item(shared) + next_ids)

    # Behaviours

    def read(self, behaviour: Behaviour, history: Items, training: bool = False) -> Reading:
        """Read behaviours: `history` holds [batch, history] items."""
        mask = behaviour.mask
        rated = mask * tf.cast(~tf.math.is_nan(behaviour.ratings), tf.float32)
        stars = self._standardized(behaviour.ratings)  # [batch, history]
        _, user_text = self.encoder(self.assembler.item(behaviour.user), training=training)
        user_text = tf.stop_gradient(user_text)  # a profile is read, not fitted to
        prior = self.user_bias(user_text)[:, 0]  # [batch]
        count = tf.reduce_sum(rated, axis=1)  # [batch]
        shrinkage = tf.nn.softplus(self.shrinkage)
        above = (stars - history.bias - prior[:, None]) * rated  # [batch, history]
        bias = tf.reduce_sum(above, axis=1) / (count + shrinkage) + prior
        residuals = (stars - history.bias - bias[:, None]) * rated
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
            residuals=residuals,
            mask=mask,
            user=user + self.user_projection(user_text),
            bias=bias,
            facts=facts,
            query=self._next_query(history.next_states, mask),
        )

    def _standardized(self, ratings: tf.Tensor) -> tf.Tensor:
        zero = tf.where(tf.math.is_nan(ratings), self.statistics.mean, ratings)
        return (zero - self.statistics.mean) / self.statistics.deviation

    def _event_embedding(
        self, behaviour: Behaviour, residuals: tf.Tensor, rated: tf.Tensor
    ) -> tf.Tensor:
        """What happened, beside which item: float32 [batch, history, width]."""
        vocabulary = self.text.vocabulary
        step = self.assembler.rating_tokens(behaviour.ratings) - vocabulary.first_rating_id
        step = tf.where(rated > 0, step + 2, 1)  # 1 is "no rating"
        embedded = tf.gather(self.rating_embedding, step)  # [batch, history, width]
        return embedded + residuals[..., None] * self.residual_direction

    def _next_query(self, states: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Query of the next item: the newest events weigh most: float32 [batch, width]."""
        age = tf.reduce_sum(mask, axis=1, keepdims=True) - tf.cumsum(mask, axis=1)  # 0 = newest
        bucket = tf.cast(tf.math.log(tf.maximum(age, 0.0) + 1.0) / np.log(2.0), tf.int32)
        recent = tf.gather(self.recency_embedding, tf.minimum(bucket, 11))
        # One score an event: how much its age and its item say about what comes next.
        score = tf.reduce_sum(recent * (1.0 + states), axis=-1) * 4.0 + (mask - 1.0) * 1e9
        weight = tf.nn.softmax(score, axis=1) * mask  # [batch, history]
        pooled = tf.einsum("bh,bhd->bd", weight, states)
        total = tf.maximum(tf.reduce_sum(mask, axis=1, keepdims=True), 1.0)
        mean = tf.einsum("bh,bhd->bd", mask, states) / total
        hidden = self.next_query(tf.concat([pooled, mean], axis=1))
        return pooled + self.next_output(hidden)

    # Pairs

    def score(self, reading: Reading, candidates: Items, training: bool = False) -> PairScores:
        """Score candidates [batch, targets] against behaviours read once."""
        states = candidates.states
        attended, above = attend(reading, self.attention_query(states))
        user = reading.user[:, None, :]  # [batch, 1, width]
        factor = tf.reduce_sum(self.factor_query(states) * user, axis=-1)  # [batch, targets]
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
                candidates.bias[..., None],
                tf.repeat(reading.facts[:, None, :], targets, axis=1),
            ],
            axis=-1,
        )
        hidden = self.hidden_1(self.dropout(features, training=training))
        out = self.output_layer(self.hidden_2(self.dropout(hidden, training=training)))
        level = candidates.bias + reading.bias[:, None] + factor + out[..., 0]
        rating = self.statistics.mean + self.statistics.deviation * level
        click = tf.nn.softplus(self.click_slope) * level + self.logit_of_share() + out[..., 1]
        return PairScores(rating, click)

    # Batches

    def losses_of(self, batch: Batch, *, seed: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """See `Recommender.losses_of`."""
        keep = tf.ones_like(self._known)
        if training:
            draw = tf.random.stateless_uniform(tf.shape(keep), seed)  # [items + 1]
            keep = tf.cast(draw >= self.config.id_dropout, tf.float32)
        reading, candidates = self._batch_items(batch, keep, training)
        scores = self.score(reading, candidates, training=training)
        losses = self.pair_losses(scores, batch)
        if self.config.next_item_weight > 0:
            losses["next_item_loss"] = self._next_item_loss(reading, batch, keep)
            losses["loss"] += self.config.next_item_weight * losses["next_item_loss"]
        return losses

    def scores_of(self, batch: Batch) -> PairScores:
        """See `Recommender.scores_of`."""
        keep = tf.ones_like(self._known)
        return self.score(*self._batch_items(batch, keep, training=False))

    def query_of(self, batch: Batch) -> tf.Tensor:
        """Queries of the next item: float32 [batch, width + 1], to multiply with `index`."""
        keep = tf.ones_like(self._known)
        reading, _ = self._batch_items(batch, keep, training=False)
        return self.full_query(reading)

    def full_query(self, reading: Reading) -> tf.Tensor:
        """Scaled query with a 1 for the bias: float32 [batch, width + 1]."""
        query = reading.query * tf.nn.softplus(self.next_scale) / self.config.width
        return tf.concat([query, tf.ones_like(query[:, :1])], axis=1)

    def index(self, keep: tf.Tensor | None = None) -> tf.Tensor:
        """Vectors of all items with their bias: float32 [items + 1, width + 1]."""
        keep = tf.ones_like(self._known) if keep is None else keep
        # While the encoder trains these lag behind; encoding all at every step costs more.
        refs = tf.range(tf.shape(self.stored)[0])
        states = self.items(tf.convert_to_tensor(self.stored), refs, keep).next_states
        # An item that training never saw counts as the rarest, and is found by its text.
        bias = tf.where(self._known > 0, tf.convert_to_tensor(self.next_bias), self._rarest)
        return tf.concat([states, bias[:, None]], axis=1)

    def _batch_items(self, batch: Batch, keep: tf.Tensor, training: bool) -> tuple[Reading, Items]:
        behaviour = self.behaviour_of(batch)
        refs = tf.concat([behaviour.items, batch["target_items"]], axis=1)
        vectors = self._text_vectors(refs, training)
        items = self.items(vectors, refs, keep, training=training)
        cut = behaviour.items.shape[1]
        history = Items(*(part[:, :cut] for part in items))
        candidates = Items(*(part[:, cut:] for part in items))
        return self.read(behaviour, history, training=training), candidates

    def _text_vectors(self, refs: tf.Tensor, training: bool) -> tf.Tensor:
        """Vectors of a batch's texts: int32 [batch, n] to float32 [batch, n, encoder width].

        Stored ones, unless the encoder is being trained: then each distinct item is
        encoded once, however often it is mentioned.
        """
        if not self.encoder.trainable:
            return tf.gather(self.stored, refs)
        distinct, place = tf.unique(tf.reshape(refs, [-1]))  # [distinct], [batch * n]
        encoded = self.encode_text(tf.gather(self._item_tokens, distinct), training=training)
        return tf.gather(encoded, tf.reshape(place, tf.shape(refs)))

    def _next_item_loss(self, reading: Reading, batch: Batch, keep: tf.Tensor) -> tf.Tensor:
        """Cross-entropy of the targets among all items (full softmax)."""
        logits = tf.matmul(self.full_query(reading), self.index(keep), transpose_b=True)
        logits = tf.concat([tf.fill(tf.shape(logits[:, :1]), -1e9), logits[:, 1:]], axis=1)
        log_share = tf.nn.log_softmax(logits)  # [batch, items + 1]
        targets = batch["target_items"]
        found = tf.gather(log_share, targets, batch_dims=1)  # [batch, targets]
        weight = tf.cast(targets != 0, tf.float32)
        return -tf.reduce_sum(found * weight) / tf.maximum(tf.reduce_sum(weight), 1.0)


def _normal() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=0.05)
