"""Events with something hidden: what the clozes over items and ratings share."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import keras
import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.batching import Batch
from ssrec_tf.config import PretrainConfig
from ssrec_tf.config_encoder import check_architecture
from ssrec_tf.encoders import Encoder
from ssrec_tf.objectives.behaviour_window import OWN, BehaviourWindow, chosen_events, draw_events
from ssrec_tf.text_table import TextTable


class HiddenEvents(NamedTuple):
    """Behaviours with something of some events hidden, and what it was.

    Attributes:
        token_ids: int32 [batch, length].
        positions: int32 [batch, slots], of the `[MASK]` in the sequence.
        classes: int32 [batch, slots], what to predict there.
        weights: float32 [batch, slots], 0 for an unused slot.
    """

    token_ids: tf.Tensor
    positions: tf.Tensor
    classes: tf.Tensor
    weights: tf.Tensor


class HiddenEventModel(keras.Model):
    """Hides one field of some events, by a single `[MASK]`; a subclass says which field."""

    def __init__(
        self, encoder: Encoder, text: TextTable, config: PretrainConfig, *, name: str, field: int
    ) -> None:
        """Keep the encoder and the window; `field` is `OWN` (with the words) or `RATING`.

        Raises:
            ConfigError: the encoder sees only what stands before a gap.
        """
        super().__init__(name=name)
        check_architecture(encoder.architecture, [name])
        self.encoder, self.text, self._field = encoder, text, field
        self.window = BehaviourWindow(text, config, encoder.max_length)
        self._rate = config.tasks.hide_rate
        self._slots = max(1, ceil(self._rate * self.window.events))

    def hidden(self, batch: Batch, seed: tf.Tensor) -> HiddenEvents:
        """Assemble and hide, as a function of (batch, seed)."""
        seeds = replicas.split(seed, 2)  # [2, 2]
        vocabulary = self.window.vocabulary
        user, events = self.window.user(batch, seeds[0]), self.window.draw(batch, seeds[0])
        is_item = self._field == OWN
        truth = self.window.own_tokens(events.items) if is_item else events.stars
        first = vocabulary.first_item_id if is_item else vocabulary.first_rating_id
        fits = self.window.fitting(user, events) & (truth >= first)
        places, weights = draw_events(fits, self._rate, self._slots, seeds[1])
        chosen = chosen_events(places, weights, self.window.events)  # [batch, events]
        if is_item:
            words = tf.where(chosen[..., None], 0, events.words)  # [batch, events, item width]
            own = tf.where(chosen, vocabulary.mask_id, events.own)
            events = events._replace(own=own, words=words)
        else:
            events = events._replace(stars=tf.where(chosen, vocabulary.mask_id, events.stars))
        laid = self.window.lay_out(user, events)
        classes = tf.gather(truth - first, places, batch_dims=1)  # [batch, slots]
        classes = tf.where(weights > 0, classes, 0)
        return HiddenEvents(laid.token_ids, laid.places(places, self._field), classes, weights)

    def states(self, hidden: HiddenEvents, training: bool) -> tf.Tensor:
        """Encode and take the states of the hidden places: float32 [batch, slots, width]."""
        states, _ = self.encoder(hidden.token_ids, training=training)
        return tf.gather(states, hidden.positions, batch_dims=1)  # [batch, slots, width]
