"""Token sequences for the encoder, assembled in the graph from rows of the token table."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from ssrec_tf.vocabulary import Vocabulary

_LENGTH_STEP = 32  # tokens; shared sequences are of few lengths


class Sequences(NamedTuple):
    """`token_ids`, `segment_ids` int32 [batch, length]; 0 is padding."""

    token_ids: tf.Tensor
    segment_ids: tf.Tensor


class SharedSequences(NamedTuple):
    """Sequences of a history and several candidates, each beside the history alone.

    Attributes:
        token_ids: int32 [batch, length]; 0 is padding, on the right.
        segment_ids: int32 [batch, length], 1 for candidates.
        positions: int32 [batch, length]; every candidate's go on where the history's end.
        blocks: int32 [batch, length]; 0 for the history and padding, else the candidate's
            number, from 1.
    """

    token_ids: tf.Tensor
    segment_ids: tf.Tensor
    positions: tf.Tensor
    blocks: tf.Tensor


class Assembler(tf.Module):
    """Lays tokens out as BERT wants them.

    An item alone is `[CLS] words [SEP]`. A behaviour is `[CLS] user [SEP]`, its events
    oldest first, each a rating token, the item's own token and its words, then `[SEP]`;
    with a candidate, the candidate's token and words and another `[SEP]` follow in
    segment 1. Where a sequence is too long the oldest events are left out.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Keep the special ids and the rating tokens' values."""
        super().__init__()
        self._vocabulary = vocabulary
        self._ratings = tf.constant(vocabulary.ratings, tf.float32)  # [ratings]

    def item(self, words: tf.Tensor) -> tf.Tensor:
        """Wrap item words: int32 [n, width] to [n, width + 2]."""
        filled = words != 0
        length = tf.reduce_sum(tf.cast(filled, tf.int32), axis=1)  # [n]
        body = tf.pad(words, [[0, 0], [1, 1]])  # [n, width + 2]
        place = tf.range(tf.shape(body)[1])[None, :]  # [1, width + 2]
        body = tf.where(place == 0, self._vocabulary.cls_id, body)
        return tf.where(place == length[:, None] + 1, self._vocabulary.sep_id, body)

    def rating_tokens(self, ratings: tf.Tensor) -> tf.Tensor:
        """The token of each rating, the nearest step; `[RATED]` for NaN: int32, same shape."""
        if not self._vocabulary.ratings:
            return tf.fill(tf.shape(ratings), self._vocabulary.rated_id)
        distance = tf.abs(ratings[..., None] - self._ratings)  # [..., ratings]
        nearest = tf.argmin(distance, axis=-1, output_type=tf.int32)
        none = tf.math.is_nan(ratings)
        return tf.where(none, self._vocabulary.rated_id, self._vocabulary.first_rating_id + nearest)

    def behaviour(
        self,
        user: tf.Tensor,
        event_tokens: tf.Tensor,
        length: int,
        candidate: tf.Tensor | None = None,
    ) -> Sequences:
        """Assemble behaviours, each maybe with a candidate.

        Args:
            user: int32 [batch, user width] words, 0 padded.
            event_tokens: int32 [batch, events, event width], oldest first; an event of
                zeros is padding.
            length: static length of the result.
            candidate: int32 [batch, candidate width], 0 padded.

        Returns:
            The sequences, compacted to the left.
        """
        vocabulary = self._vocabulary
        batch = tf.shape(user)[0]
        cls = tf.fill([batch, 1], vocabulary.cls_id)
        sep = tf.fill([batch, 1], vocabulary.sep_id)
        tail = [sep] if candidate is None else [sep, candidate, sep]
        fixed = [cls, user, sep, *tail]
        used = sum(tf.reduce_sum(tf.cast(part != 0, tf.int32), axis=1) for part in fixed)
        kept = event_tokens * tf.cast(fitting(event_tokens, length - used), tf.int32)[:, :, None]
        shape = tf.shape(kept)
        events = tf.reshape(kept, [batch, shape[1] * shape[2]])  # [batch, events * event width]
        parts = [cls, user, sep, events, *tail]
        segment = [0, 0, 0, 0, 0, 1, 1][: len(parts)]
        ids = tf.concat(parts, axis=1)  # [batch, total width]
        segments = tf.concat(
            [tf.ones_like(part) * number for part, number in zip(parts, segment, strict=True)], 1
        )
        # A stable sort brings the tokens to the left and keeps their order.
        order = tf.argsort(tf.cast(ids == 0, tf.int32), axis=1, stable=True)[:, :length]
        ids = tf.gather(ids, order, batch_dims=1)  # [batch, length]
        segments = tf.gather(segments, order, batch_dims=1) * tf.cast(ids != 0, tf.int32)
        short = [[0, 0], [0, tf.maximum(length - tf.shape(ids)[1], 0)]]
        ids, segments = tf.pad(ids, short), tf.pad(segments, short)
        return Sequences(
            tf.ensure_shape(ids, [None, length]), tf.ensure_shape(segments, [None, length])
        )

    def shared(
        self,
        user: tf.Tensor,
        event_tokens: tf.Tensor,
        candidates: tf.Tensor,
        length: int,
        *,
        trimmed: bool = True,
    ) -> SharedSequences:
        """Assemble behaviours, each with several candidates that are to share its states.

        Args:
            user: as in `behaviour`.
            event_tokens: the same.
            candidates: int32 [batch, n, candidate width], 0 padded; all 0 is none. The width
                is static: what is left of a history must not depend on its candidates.
            length: tokens that a history and one candidate have at most.
            trimmed: to the longest sequence, rounded up: few shapes, little padding. Else all
                are as long as any could be, as XLA wants it: a length that hangs on data
                makes its steps slower by orders.

        Returns:
            The sequences.
        """
        batch, count, width = tf.shape(user)[0], tf.shape(candidates)[1], candidates.shape[2] + 1
        history = self.behaviour(user, event_tokens, length - width).token_ids  # [batch, p]
        used = tf.reduce_sum(tf.cast(history != 0, tf.int32), axis=1)  # [batch]
        there = tf.reduce_any(candidates != 0, axis=2, keepdims=True)  # [batch, n, 1]
        sep = tf.where(there, self._vocabulary.sep_id, 0)  # [batch, n, 1]
        ends = tf.concat([candidates, sep], axis=2)  # [batch, n, width]
        filled = tf.cast(ends != 0, tf.int32)
        places = used[:, None, None] + tf.cumsum(filled, axis=2, exclusive=True)
        numbers = tf.range(1, count + 1)[None, :, None] * filled  # [batch, n, width]
        ids, positions, blocks = (
            tf.concat([start, tf.reshape(end, [batch, count * width])], axis=1)  # [batch, all]
            for start, end in (
                (history, ends),
                (tf.range(tf.shape(history)[1])[None, :] + tf.zeros_like(history), places),
                (tf.zeros_like(history), numbers),
            )
        )
        # A stable sort brings the tokens to the left and keeps their order.
        order = tf.argsort(tf.cast(ids == 0, tf.int32), axis=1, stable=True)  # [batch, all]
        if trimmed:
            sizes = tf.reduce_sum(tf.cast(ids != 0, tf.int32), axis=1)  # [batch]
            rounded = -(-tf.reduce_max(sizes) // _LENGTH_STEP) * _LENGTH_STEP
            order = order[:, :rounded]  # [batch, length]
        ids, positions, blocks = (
            tf.gather(part, order, batch_dims=1) for part in (ids, positions, blocks)
        )  # [batch, length] each
        positions *= tf.cast(ids != 0, tf.int32)
        return SharedSequences(ids, tf.cast(blocks > 0, tf.int32), positions, blocks)


def fitting(event_tokens: tf.Tensor, budget: tf.Tensor) -> tf.Tensor:
    """Tell the newest events that together fit from the older ones: bool [batch, events].

    Args:
        event_tokens: int32 [batch, events, event width], oldest first, 0 padded.
        budget: int32 [batch], tokens.
    """
    sizes = tf.reduce_sum(tf.cast(event_tokens != 0, tf.int32), axis=2)  # [batch, events]
    from_newest = tf.cumsum(sizes, axis=1, reverse=True)  # [batch, events]
    return from_newest <= budget[:, None]
