"""Two-level reading: the encoder reads each item's text, attention reads the behaviour.

An item's vector is its text's vector plus an id embedding, dropped at random in training
and absent for an item that training never saw. A user is read from the history alone,
so a new user needs no row anywhere. Item vectors can be stored: many candidates cost
one reading of the behaviour.

A pair is scored by a network (`neural_head`), by a factorization (`factors`), or by both.

Reference:
    Kang & McAuley 2018, arXiv:1808.09781 (the next item, from the history in order).
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from ssrec_tf.batching import Batch
from ssrec_tf.errors import ConfigError
from ssrec_tf.recommenders.base import Behaviour, PairScores, Recommender, normal
from ssrec_tf.recommenders.items import ItemVectors
from ssrec_tf.recommenders.neural_head import NeuralHead, built_dense
from ssrec_tf.recommenders.reading import Items, ItemTexts, Reading

_ENCODE_BATCH = 256


class TwoLevel(Recommender):
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
        self.items = ItemVectors(self.encoder.width, self.text, config, labelled=labelled)
        self.head = None
        # Fresh weights are drawn in the order of making: another order, other weights.
        if config.pair_head != "factorization":
            self.head = NeuralHead(
                config,
                encoder_width=self.encoder.width,
                ratings=len(self.text.vocabulary.ratings),
                factorized=self.items.factors is not None,
            )
        self.recency_embedding = self.add_weight(
            shape=(12, width), initializer=normal(), name="recency_embedding"
        )
        for name, start in {"click_slope": 1.5, "next_scale": 3.0}.items():
            value = keras.initializers.Constant(start)
            setattr(self, name, self.add_weight(shape=(), initializer=value, name=f"scale_{name}"))
        if self.head is not None:
            self.head.add_reading_layers()
        self.next_query = built_dense("next_query", 2 * width, width, activation="gelu")
        self.next_output = built_dense("next_output", width, width)
        if self.head is not None:
            self.head.add_scoring_layers()
        self.built = True

    # Items

    def encode_text(self, words: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Vectors of texts: int32 [n, item width] to float32 [n, encoder width]."""
        _, pooled = self.encoder(self.assembler.item(words), training=training)
        return pooled

    def store_items(self) -> None:
        """Encode the whole catalogue once, for `items`."""
        encode = tf.function(self.encode_text, reduce_retracing=True)
        tokens = self.text.item_tokens
        parts = [
            encode(tf.constant(tokens[i : i + _ENCODE_BATCH]))
            for i in range(0, len(tokens), _ENCODE_BATCH)
        ]
        self.items.store(tf.concat(parts, axis=0))

    # Behaviours

    def read(self, behaviour: Behaviour, history: Items, training: bool = False) -> Reading:
        """Read behaviours: `history` holds [batch, history] items."""
        neural = None
        if self.head is not None:
            _, user_text = self.encoder(self.assembler.item(behaviour.user), training=training)
            neural = self.head.read(
                history,
                self._standardized(behaviour.ratings),
                self._rating_steps(behaviour.ratings),
                behaviour.mask,
                tf.stop_gradient(user_text),  # a profile is read, not fitted to
                training,
            )
        moment = tf.maximum(tf.reduce_max(behaviour.times, axis=1), 0)  # no events have none
        return Reading(
            query=self._next_query(history.next_states, behaviour.mask),
            weights=self._weights(behaviour, history, moment),
            moment=moment,
            neural=neural,
        )

    def _weights(self, behaviour: Behaviour, history: Items, moment: tf.Tensor) -> tf.Tensor:
        """The user's factors: float32 [batch, n]."""
        if self.items.factors is None:
            return tf.reduce_sum(history.factors, axis=1)  # [batch, 0]
        waves = self.items.factors.waves(behaviour.times, moment[:, None])
        found: tf.Tensor = self.items.factors.posterior(
            history.factors,
            waves,
            self._standardized(behaviour.ratings),
            behaviour.mask,
            behaviour.user,
        )
        return found

    def _standardized(self, ratings: tf.Tensor) -> tf.Tensor:
        """Ratings above their mean, in deviations; NaN stays: float32, same shape."""
        return (ratings - self.statistics.mean) / self.statistics.deviation

    def _rating_steps(self, ratings: tf.Tensor) -> tf.Tensor:
        """Row of the rating embedding, 1 for no rating, then the steps: int32, same shape."""
        step = self.assembler.rating_tokens(ratings) - self.text.vocabulary.first_rating_id
        return tf.where(tf.math.is_nan(ratings), 1, step + 2)

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
        if self.head is not None and reading.neural is not None:
            level, click = self.head.score(reading.neural, candidates, level, training)
        rating = self.statistics.mean + self.statistics.deviation * level
        click += tf.nn.softplus(self.click_slope) * level + self.logit_of_share()
        return PairScores(rating, click)

    # Batches

    def losses_of(self, batch: Batch, *, seed: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """See `training.Trainable`."""
        keep = self.items.draw_keep(seed) if training else None
        reading, candidates = self._batch_items(batch, keep, training)
        scores = self.score(reading, candidates, batch["target_times"], training=training)
        losses = self.pair_losses(scores, batch)
        if self.config.next_item_weight > 0:
            losses["next_item_loss"] = self._next_item_loss(reading, batch, keep)
            losses["loss"] += self.config.next_item_weight * losses["next_item_loss"]
        if self.items.factors is not None and training:
            rows = max(1, int(self.text.item_counts.sum()))
            losses["prior_loss"] = self.items.factors.prior_loss() / rows
            losses["loss"] += self.config.rating_weight * losses["prior_loss"]
        return losses

    def scores_of(self, batch: Batch) -> PairScores:
        """See `Recommender.scores_of`."""
        return self.score(*self._batch_items(batch), batch["target_times"])

    def query_of(self, batch: Batch) -> tf.Tensor:
        """Queries of the next item: float32 [batch, width + 1], to multiply with `index`."""
        reading, _ = self._batch_items(batch)
        return self.full_query(reading)

    def full_query(self, reading: Reading) -> tf.Tensor:
        """Scaled query with a 1 for the bias: float32 [batch, width + 1]."""
        query = reading.query * tf.nn.softplus(self.next_scale) / self.config.width
        return tf.concat([query, tf.ones_like(query[:, :1])], axis=1)

    def _batch_items(
        self, batch: Batch, keep: tf.Tensor | None = None, training: bool = False
    ) -> tuple[Reading, Items]:
        """Read a batch's behaviours and look its candidates up."""
        behaviour = self.behaviour_of(batch)
        events, targets = behaviour.items, batch["target_items"]  # [batch, history], [.., targets]
        mentions = self.config.loop.batch_size * (self.config.max_history + self.config.max_targets)
        if not self.encoder.trainable and len(self.text.item_tokens) < mentions:
            # A catalogue smaller than what a batch may mention: each item is read once.
            refs = tf.range(len(self.text.item_tokens))
            every = self.items.read(self.items.texts_of(refs), refs, keep, training=training)
            history = Items(*(tf.gather(part, events) for part in every))
            candidates = Items(*(tf.gather(part, targets) for part in every))
        else:
            refs = tf.concat([events, targets], axis=1)
            both = self.items.read(self._texts(refs, training), refs, keep, training=training)
            cut = tf.shape(events)[1]
            history = Items(*(part[:, :cut] for part in both))
            candidates = Items(*(part[:, cut:] for part in both))
        return self.read(behaviour, history, training=training), candidates

    def _texts(self, refs: tf.Tensor, training: bool) -> ItemTexts:
        """Texts of a batch's items: int32 [batch, n].

        Vectors are the stored ones, unless the encoder is being trained: then each
        distinct item is encoded once, however often it is mentioned.
        """
        texts = self.items.texts_of(refs)
        if not self.encoder.trainable:
            return texts
        distinct, place = tf.unique(tf.reshape(refs, [-1]))  # [distinct], [batch * n]
        encoded = self.encode_text(tf.gather(self._item_tokens, distinct), training=training)
        return texts._replace(vectors=tf.gather(encoded, tf.reshape(place, tf.shape(refs))))

    def _next_item_loss(self, reading: Reading, batch: Batch, keep: tf.Tensor | None) -> tf.Tensor:
        """Cross-entropy of the targets among all items (full softmax)."""
        logits = tf.matmul(self.full_query(reading), self.items.index(keep), transpose_b=True)
        logits = tf.concat([tf.fill(tf.shape(logits[:, :1]), -1e9), logits[:, 1:]], axis=1)
        log_share = tf.nn.log_softmax(logits)  # [batch, items + 1]
        targets = batch["target_items"]
        found = tf.gather(log_share, targets, batch_dims=1)  # [batch, targets]
        weight = tf.cast(targets != 0, tf.float32)
        return -tf.reduce_sum(found * weight) / tf.maximum(tf.reduce_sum(weight), 1.0)
