"""Joint reading: user, history and candidate in one sequence, full attention."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
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

    In training an item's own token is `[ITEM]`, that of an item nobody met, with probability
    `train.id_dropout`; at 1 it always is, in serving too.
    """

    def build_layers(self) -> None:
        """Make the head's layers and all weights."""
        self.dropout = keras.layers.Dropout(self.config.dropout)
        self.head = dense(2, name="head")
        width = self.encoder.width
        self.head.build((None, 2 * width))
        own = self.text.item_token_ids  # [items + 1]
        if self.config.id_dropout == 1.0:
            # Tokens that are always dropped are never trained, and must not speak later.
            own = np.full_like(own, self.text.vocabulary.item_id)
        self._own = tf.constant(own)
        self.built = True

    def call(
        self,
        behaviour: Behaviour,
        candidates: tf.Tensor,
        candidate_tokens: tf.Tensor,
        training: bool = False,
        own: tf.Tensor | None = None,
    ) -> PairScores:
        """Score candidates.

        Args:
            behaviour: see `Behaviour`.
            candidates: int32 [batch, targets] references, 0 for text only.
            candidate_tokens: int32 [batch, targets, item width].
            training: whether dropout is on.
            own: int32 [items + 1] tokens in the place of the items' own.

        Returns:
            The scores, [batch, targets] each.
        """
        own = self._own if own is None else own
        events = self._events(behaviour, own)
        shape = tf.shape(candidate_tokens)
        batch, targets = shape[0], shape[1]
        names = tf.gather(own, candidates)[..., None]  # [batch, targets, 1]
        tokens = tf.concat([names, candidate_tokens], axis=2)  # [batch, targets, 1 + item width]
        if self.config.targets_per_sequence:
            # Text-only candidates have no reference, padding has no text either.
            there = (candidates != 0) | tf.reduce_any(candidate_tokens != 0, axis=2)
            tokens *= tf.cast(there, tf.int32)[..., None]
            read = self._read_shared(behaviour.user, events, tokens, training)
        else:
            read = self._read_alone(behaviour.user, events, tokens, training)
        # Of [batch * targets, 2 * width], or with the two axes apart.
        out = self.head(self.dropout(read, training=training))
        out = tf.reshape(out, [batch, targets, 2])
        rating = self.statistics.mean + self.statistics.deviation * out[..., 0]
        click_logit = self.logit_of_share() + out[..., 1]
        return PairScores(rating, click_logit, tf.zeros_like(rating))

    def _read_alone(
        self, user: tf.Tensor, events: tf.Tensor, tokens: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """Read each candidate in a sequence of its own, all tokens seeing all.

        Args:
            user: int32 [batch, user width].
            events: of `_events`.
            tokens: int32 [batch, targets, 1 + item width].
            training: whether dropout is on.

        Returns:
            float32 [batch * targets, 2 * width].
        """
        shape = tf.shape(tokens)
        user = tf.repeat(user, shape[1], axis=0)  # [batch * targets, user width]
        events = tf.repeat(events, shape[1], axis=0)  # [batch * targets, h, 2 + w]
        # Padding candidates read as an unknown item: their scores are thrown away.
        candidate = tf.reshape(tokens, [shape[0] * shape[1], shape[2]])
        sequences = self.assembler.behaviour(user, events, self.sequence_length(), candidate)
        states, pooled = self.encoder(*sequences, training=training)
        return tf.concat([states[:, 0], pooled], axis=1)

    def _read_shared(
        self, user: tf.Tensor, events: tf.Tensor, tokens: tf.Tensor, training: bool
    ) -> tf.Tensor:
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
        user = tf.repeat(user, groups, axis=0)  # [batch * groups, user width]
        events = tf.repeat(events, groups, axis=0)  # [batch * groups, h, 2 + w]
        trimmed = not (training and self.config.loop.xla)
        sequences = self.assembler.shared(
            user, events, tokens, self.sequence_length(), trimmed=trimmed
        )
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
        own = None
        if training:
            *seeds, dropped = tf.unstack(replicas.split(seed, 3))
            kept = replicas.uniform(tf.shape(self._own), dropped) >= self.config.id_dropout
            own = tf.where(kept, self._own, self.text.vocabulary.item_id)  # [items + 1]
        targets = batch["target_items"]
        tokens = self.texts.items(targets, seeds[0])  # [batch, targets, item width]
        behaviour = self.behaviour_of(batch, seeds[1])
        return Outputs(self(behaviour, targets, tokens, training=training, own=own))

    def sequence_length(self) -> int:
        """Tokens in a sequence."""
        return min(self.config.joint_length, self.encoder.max_length)

    def _events(self, behaviour: Behaviour, own: tf.Tensor) -> tf.Tensor:
        """Rating token, own token and words of each event: int32 [batch, history, 2 + width]."""
        stars = self.assembler.rating_tokens(behaviour.ratings)[..., None]
        names = tf.gather(own, behaviour.items)[..., None]
        events = tf.concat([stars, names, behaviour.tokens], axis=2)
        return events * tf.cast(behaviour.mask, tf.int32)[..., None]
