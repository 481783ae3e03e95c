"""Joint reading: user, history and candidate in one sequence, full attention."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.batching import Batch
from ssrec_tf.recommenders.base import Behaviour, Outputs, PairScores, Recommender, dense


class Joint(Recommender):
    """`[CLS] user [SEP] history [SEP] candidate [SEP]`, one sequence a pair.

    The reference: every token sees every other, at the price of one encoder call for
    each candidate.
    """

    def build_layers(self) -> None:
        """Make the head's layers and all weights."""
        self.dropout = keras.layers.Dropout(self.config.dropout)
        self.head = dense(2, name="head")
        width = self.encoder.width
        self.head.build((None, 2 * width))
        self.built = True

    def call(
        self,
        behaviour: Behaviour,
        candidates: tf.Tensor,
        candidate_tokens: tf.Tensor,
        training: bool = False,
    ) -> PairScores:
        """Score candidates.

        Args:
            behaviour: see `Behaviour`.
            candidates: int32 [batch, targets] references, 0 for text only.
            candidate_tokens: int32 [batch, targets, item width].
            training: whether dropout is on.

        Returns:
            The scores, [batch, targets] each.
        """
        shape = tf.shape(candidate_tokens)
        batch, targets, width = shape[0], shape[1], shape[2]
        events = self._events(behaviour)
        user = tf.repeat(behaviour.user, targets, axis=0)  # [batch * targets, user width]
        events = tf.repeat(events, targets, axis=0)  # [batch * targets, history, 2 + width]
        flat = tf.reshape(candidate_tokens, [batch * targets, width])
        own = tf.reshape(self._own_tokens(candidates), [batch * targets, 1])
        # Padding candidates read as an unknown item: their scores are thrown away.
        candidate = tf.concat([own, flat], axis=1)  # [batch * targets, 1 + item width]
        length = self.sequence_length()
        sequences = self.assembler.behaviour(user, events, length, candidate)
        states, pooled = self.encoder(*sequences, training=training)
        read = tf.concat([states[:, 0], pooled], axis=1)  # [batch * targets, 2 * width]
        out = self.head(self.dropout(read, training=training))  # [batch * targets, 2]
        out = tf.reshape(out, [batch, targets, 2])
        rating = self.statistics.mean + self.statistics.deviation * out[..., 0]
        click_logit = self.logit_of_share() + out[..., 1]
        return PairScores(rating, click_logit, tf.zeros_like(rating))

    def outputs_of(self, batch: Batch, *, seed: tf.Tensor, training: bool) -> Outputs:
        """See `Recommender.outputs_of`; `seed` draws how texts are changed, if they are."""
        seeds: list[Any] = [None, None]
        if training:
            seeds = tf.unstack(replicas.split(seed, 2))
        targets = batch["target_items"]
        tokens = self.texts.items(targets, seeds[0])  # [batch, targets, item width]
        behaviour = self.behaviour_of(batch, seeds[1])
        return Outputs(self(behaviour, targets, tokens, training=training))

    def sequence_length(self) -> int:
        """Tokens in a sequence."""
        return min(self.config.joint_length, self.encoder.max_length)

    def _events(self, behaviour: Behaviour) -> tf.Tensor:
        """Rating token, own token and words of each event: int32 [batch, history, 2 + width]."""
        stars = self.assembler.rating_tokens(behaviour.ratings)[..., None]
        own = self._own_tokens(behaviour.items)[..., None]
        events = tf.concat([stars, own, behaviour.tokens], axis=2)
        return events * tf.cast(behaviour.mask, tf.int32)[..., None]

    def _own_tokens(self, refs: tf.Tensor) -> tf.Tensor:
        """Each item's own token: int32, the shape of `refs`."""
        return tf.gather(tf.constant(self.text.item_token_ids), refs)
