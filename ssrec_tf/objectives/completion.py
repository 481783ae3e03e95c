"""A whole item, or a whole field of one event, hidden and filled in."""

from __future__ import annotations

import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.batching import Batch
from ssrec_tf.config import PretrainConfig
from ssrec_tf.encoders import Encoder
from ssrec_tf.masking import MaskedBatch
from ssrec_tf.objectives.behaviour_window import OWN, RATING, WORDS, Layout, draw_events
from ssrec_tf.objectives.filling import Filling
from ssrec_tf.text_table import TextTable

_PARTS = ((WORDS,), (OWN, WORDS), (RATING,))
"""What is hidden together: the item's words, the item with its own token, or the rating."""
_ITEM = 1


class Completion(Filling):
    """Hide one part of one event of each behaviour and fill it in.

    Where masked tokens can be guessed from their neighbours in a title, here nothing of
    the title stands: the other events must do. How many words there were shows.

    Reference:
        Joshi et al. 2020, "SpanBERT", arXiv:1907.10529 (spans instead of tokens).
    """

    def __init__(self, encoder: Encoder, text: TextTable, config: PretrainConfig) -> None:
        """Build the head over `encoder`; `text` gives the tokens of a batch's references."""
        super().__init__(encoder, text, config, name="completion")
        self._slots = min(1 + text.item_tokens.shape[1], self.window.length)
        self._mask_id, self._rated_id = text.vocabulary.mask_id, text.vocabulary.rated_id

    def masked(self, batch: Batch, seed: tf.Tensor) -> MaskedBatch:
        """Assemble and hide, as a function of (batch, seed)."""
        seeds = replicas.split(seed, 3)  # [3, 2]
        user, events = self.window.user(batch, seeds[0]), self.window.draw(batch, seeds[0])
        fits = self.window.fitting(user, events)  # [batch, events]
        event, used = draw_events(fits, 0.0, 1, seeds[1])  # [batch, 1]
        rated = tf.gather(events.stars, event, batch_dims=1)[:, 0] != self._rated_id  # [batch]
        part = self._draw_parts(rated, seeds[2])  # [batch]
        # A whole item is hidden with its own token, even where that was dropped.
        at = tf.one_hot(event[:, 0], self.window.events, True, False)  # [batch, events]
        at &= (part == _ITEM)[:, None]
        own = tf.where(at & fits, self.window.own_tokens(events.items), events.own)
        laid = self.window.lay_out(user, events._replace(own=own))
        return self._hide(laid, event, part, used)

    def _draw_parts(self, rated: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draw which of the parts is hidden; no rating where there is none: int32 [batch]."""
        draw = replicas.uniform_rows(tf.shape(rated), seed)
        count = tf.where(rated, len(_PARTS), len(_PARTS) - 1)  # the rating is the last part
        return tf.cast(draw * tf.cast(count, tf.float32), tf.int32)

    def _hide(
        self, laid: Layout, event: tf.Tensor, part: tf.Tensor, used: tf.Tensor
    ) -> MaskedBatch:
        """Put `[MASK]` at a part of an event: `event`, `used` [batch, 1]; `part` [batch]."""
        fields = tf.constant([[f in fields for f in (0, 1, 2)] for fields in _PARTS])  # [parts, 3]
        in_part = tf.gather(tf.gather(fields, part), laid.field, batch_dims=1)  # [batch, length]
        hidden = in_part & (laid.event == event) & (used > 0)  # [batch, length]
        order = tf.argsort(tf.cast(~hidden, tf.int32), axis=1, stable=True)[:, : self._slots]
        weights = tf.gather(tf.cast(hidden, tf.int32), order, batch_dims=1)  # [batch, masks]
        ids = tf.gather(laid.token_ids, order, batch_dims=1)  # [batch, masks]
        return MaskedBatch(
            tf.where(hidden, self._mask_id, laid.token_ids),
            order * weights,
            ids * weights,
            tf.cast(weights, tf.float32),
        )
