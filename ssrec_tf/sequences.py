"""Token sequences for the encoder, assembled in the graph from rows of the token table."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from ssrec_tf.vocabulary import Vocabulary


class Sequences(NamedTuple):
    """`token_ids`, `segment_ids` int32 [batch, length]; 0 is padding."""

    token_ids: tf.Tensor
    segment_ids: tf.Tensor


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


def fitting(event_tokens: tf.Tensor, budget: tf.Tensor) -> tf.Tensor:
    """Tell the newest events that together fit from the older ones: bool [batch, events].

    Args:
        event_tokens: int32 [batch, events, event width], oldest first, 0 padded.
        budget: int32 [batch], tokens.
    """
    sizes = tf.reduce_sum(tf.cast(event_tokens != 0, tf.int32), axis=2)  # [batch, events]
    from_newest = tf.cumsum(sizes, axis=1, reverse=True)  # [batch, events]
    return from_newest <= budget[:, None]
