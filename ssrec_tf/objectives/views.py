"""Views of a behaviour: cropped, with events hidden, or reordered."""

from __future__ import annotations

import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.config_objectives import TaskConfig
from ssrec_tf.objectives.behaviour_window import Events
from ssrec_tf.vocabulary import Vocabulary


class Augmenter(tf.Module):
    """Draws one of the three ways for each behaviour.

    Reference:
        Xie et al. 2022, "CL4SRec", arXiv:2010.14395, section 3.3.
    """

    def __init__(self, vocabulary: Vocabulary, config: TaskConfig) -> None:
        """Keep the shares that a view crops, hides or reorders."""
        super().__init__()
        self._mask_id, self._config = vocabulary.mask_id, config

    def __call__(self, events: Events, seed: tf.Tensor) -> Events:
        """Make a view of each behaviour, as a function of (events, seed)."""
        seeds = replicas.split(seed, 4)  # [4, 2]
        batch = tf.shape(events.items)[0]
        way = replicas.uniform_rows([batch], seeds[0], 0, 3, tf.int32)[:, None]
        kept = (way != 0) | self._stretch(events, self._config.crop, seeds[1])
        hidden = replicas.uniform_rows(tf.shape(events.items), seeds[2]) < self._config.mask
        view = self.hide(events.only(kept), hidden & (way == 1))
        return self._reorder(view, way == 2, seeds[3])

    def hide(self, events: Events, hidden: tf.Tensor) -> Events:
        """Leave one `[MASK]` of each event in `hidden`: bool [batch, events]."""
        own = tf.where(hidden & (events.items != 0), self._mask_id, events.own)
        stars = tf.where(hidden, 0, events.stars)
        words = tf.where(hidden[..., None], 0, events.words)  # [batch, events, item width]
        return events._replace(own=own, stars=stars, words=words)

    def _stretch(self, events: Events, share: float, seed: tf.Tensor) -> tf.Tensor:
        """Draw a stretch of a share of each row's events, one at least: bool [batch, events]."""
        count = tf.reduce_sum(tf.cast(events.items != 0, tf.int32), axis=1)  # [batch]
        size = tf.maximum(tf.cast(tf.cast(count, tf.float32) * share, tf.int32), 1)
        free = tf.cast(tf.maximum(count - size, 0) + 1, tf.float32)  # [batch], possible starts
        start = replicas.uniform_rows(tf.shape(count), seed) * free
        start = tf.cast(start, tf.int32)[:, None]  # [batch, 1]
        place = tf.range(events.items.shape[1])[None, :]  # [1, events]
        return (place >= start) & (place < start + size[:, None])

    def _reorder(self, events: Events, chosen: tf.Tensor, seed: tf.Tensor) -> Events:
        """Shuffle a stretch of the rows in `chosen`: bool [batch, 1]."""
        seeds = replicas.split(seed, 2)  # [2, 2]
        inside = chosen & self._stretch(events, self._config.reorder, seeds[0])
        place = tf.range(events.items.shape[1])[None, :]  # [1, events]
        # All of a stretch sort behind what is before it, among themselves by chance.
        first = tf.argmax(inside, axis=1, output_type=tf.int32)[:, None]  # [batch, 1]
        key = tf.cast(tf.where(inside, first, place), tf.float32)  # [batch, events]
        chance = replicas.uniform_rows(tf.shape(key), seeds[1]) * 0.5
        order = tf.argsort(key + tf.where(inside, chance, 0.0), axis=1, stable=True)
        return Events(*(tf.gather(part, order, batch_dims=1) for part in events))  # as `events`
