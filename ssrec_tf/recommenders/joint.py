"""Joint reading: user, history and candidate in one sequence, full attention."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.batching import Batch
from ssrec_tf.recommenders.base import Behaviour, Outputs, PairScores, Recommender, dense


class Joint(Recommender):
    """`[CLS] user [SEP] history [SEP] candidate [SEP]`.

    With `train.targets_per_sequence` 0 a sequence is a pair and every token sees every
    other: the reference, at the price of one encoder call for each candidate. Otherwise so
    many candidates stand behind one history, each sees the history and itself, and the
    history sees none. A score is then the same beside other candidates as alone.
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
        batch, targets = shape[0], shape[1]
        own = self._own_tokens(candidates)[..., None]  # [batch, targets, 1]
        tokens = tf.concat([own, candidate_tokens], axis=2)  # [batch, targets, 1 + item width]
        if self.config.targets_per_sequence:
            # Text-only candidates have no reference, padding has no text either.
            there = (candidates != 0) | tf.reduce_any(candidate_tokens != 0, axis=2)
            tokens *= tf.cast(there, tf.int32)[..., None]
            read = self._read_shared(behaviour, tokens, training)
        else:
            read = self._read_alone(behaviour, tokens, training)
        # Of [batch * targets, 2 * width], or with the two axes apart.
        out = self.head(self.dropout(read, training=training))
        out = tf.reshape(out, [batch, targets, 2])
        rating = self.statistics.mean + self.statistics.deviation * out[..., 0]
        click_logit = self.logit_of_share() + out[..., 1]
        return PairScores(rating, click_logit, tf.zeros_like(rating))

    def _read_alone(self, behaviour: Behaviour, tokens: tf.Tensor, training: bool) -> tf.Tensor:
        """Read each candidate in a sequence of its own, all tokens seeing all.

        Args:
            behaviour: see `Behaviour`.
            tokens: int32 [batch, targets, 1 + item width].
            training: whether dropout is on.

        Returns:
            float32 [batch * targets, 2 * width].
        """
        shape = tf.shape(tokens)
        user = tf.repeat(behaviour.user, shape[1], axis=0)  # [batch * targets, user width]
        events = tf.repeat(self._events(behaviour), shape[1], axis=0)  # [batch * targets, h, 2 + w]
        # Padding candidates read as an unknown item: their scores are thrown away.
        candidate = tf.reshape(tokens, [shape[0] * shape[1], shape[2]])
        sequences = self.assembler.behaviour(user, events, self.sequence_length(), candidate)
        states, pooled = self.encoder(*sequences, training=training)
        return tf.concat([states[:, 0], pooled], axis=1)

    def _read_shared(self, behaviour: Behaviour, tokens: tf.Tensor, training: bool) -> tf.Tensor:
        """Read `targets_per_sequence` candidates behind one history, which sees none of them.

        Arguments are those of `_read_alone`; returns float32 [batch, targets, 2 * width].
        """
        shape, most = tf.shape(tokens), self.config.targets_per_sequence
        batch, targets = shape[0], shape[1]
        most = tf.minimum(most, targets)
        groups = -(-targets // most)
        tokens = tf.pad(tokens, [[0, 0], [0, groups * most - targets], [0, 0]])
        width = self.text.item_tokens.shape[1] + 1
        tokens = tf.reshape(tokens, [batch * groups, most, width])
        user = tf.repeat(behaviour.user, groups, axis=0)  # [batch * groups, user width]
        events = tf.repeat(self._events(behaviour), groups, axis=0)  # [batch * groups, h, 2 + w]
        sequences = self.assembler.shared(user, events, tokens, self.sequence_length())
        states = self.encoder.blocked(sequences, training=training)
        numbers = tf.range(1, most + 1)[None, :, None]
        member = tf.cast(sequences.blocks[:, None, :] == numbers, tf.float32)  # [b * g, most, l]
        first = member * tf.cast(tf.cumsum(member, axis=2) == 1.0, tf.float32)
        total = tf.maximum(tf.reduce_sum(member, axis=2, keepdims=True), 1.0)
        read = tf.concat([first @ states, (member / total) @ states], axis=2)
        read = tf.reshape(read, [batch, groups * most, 2 * self.encoder.width])
        return read[:, :targets]

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
