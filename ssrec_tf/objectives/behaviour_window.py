"""A window of each user's behaviour: its events, and their layout as the encoder's tokens."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.augmentation import AugmentedTexts
from ssrec_tf.batching import Batch
from ssrec_tf.config import PretrainConfig
from ssrec_tf.sequences import Assembler, fitting
from ssrec_tf.text_table import TextTable

RATING, OWN, WORDS = 0, 1, 2
"""The fields of an event, in the order they are laid out in."""


class Events(NamedTuple):
    """Consecutive events, oldest first; 0 is padding, or an event's field left out.

    Attributes:
        items: int32 [batch, events], references.
        stars: int32 [batch, events], rating tokens; `[RATED]` for an event without a rating.
        own: int32 [batch, events], the items' own tokens, or `[ITEM]`.
        words: int32 [batch, events, item width].
    """

    items: tf.Tensor
    stars: tf.Tensor
    own: tf.Tensor
    words: tf.Tensor

    def tokens(self) -> tf.Tensor:
        """All fields side by side: int32 [batch, events, 2 + item width]."""
        return tf.concat([self.stars[..., None], self.own[..., None], self.words], axis=2)

    def only(self, kept: tf.Tensor) -> Events:
        """Blank the events that are not `kept`: bool [batch, events]."""
        kept = tf.cast(kept, tf.int32)
        words = self.words * kept[..., None]
        return Events(self.items * kept, self.stars * kept, self.own * kept, words)


class Layout(NamedTuple):
    """Tokens and where each came from; all int32 [batch, length].

    Attributes:
        token_ids: 0 is padding.
        event: the event's place in its window; -1 for what belongs to no event.
        field: `RATING`, `OWN` or `WORDS`, where there is an event.
    """

    token_ids: tf.Tensor
    event: tf.Tensor
    field: tf.Tensor

    def places(self, event: tf.Tensor, field: int) -> tf.Tensor:
        """Where a field of some events begins: int32 [batch, slots] to the same; 0 if nowhere."""
        at = (self.event == -1)[:, None, :]  # [batch, 1, length]
        at = ~at & (self.event[:, None, :] == event[:, :, None])  # [batch, slots, length]
        at &= (self.field == field)[:, None, :]
        return tf.argmax(at, axis=2, output_type=tf.int32)  # the first True; 0 where all False


class BehaviourWindow(tf.Module):
    """Draws windows of a batch's histories and lays them out."""

    def __init__(self, text: TextTable, config: PretrainConfig, max_length: int) -> None:
        """Keep the token table; `max_length` is the encoder's."""
        super().__init__()
        self.vocabulary = text.vocabulary
        self.length = min(config.sequence_length, max_length)
        # So many surely fill a sequence; more would be cut off again.
        self.events = max(1, min(self.length // 4, 32))
        self._dropout = config.item_token_dropout
        self._assembler = Assembler(text.vocabulary)
        self._texts = AugmentedTexts(text, config.regularisation)
        self._own_tokens = tf.constant(text.item_token_ids)  # [items + 1]

    def draw(self, batch: Batch, seed: tf.Tensor) -> Events:
        """Draw a window of each history, as a function of (batch, seed).

        The window ends at a random event, so that all of a long log is read in time.
        An item's own token is dropped at random, so that its words alone must do; these
        are changed as `config.regularisation` says.
        """
        window_seed, drop_seed = tf.unstack(replicas.split(seed, 2))
        items, ratings = batch["history_items"], batch["history_ratings"]  # [batch, history]
        items, ratings = _window(items, ratings, self.events, window_seed)
        own = self.own_tokens(items)
        dropped = replicas.uniform_rows(tf.shape(own), drop_seed) < self._dropout
        own = tf.where(dropped, self.vocabulary.item_id, own)
        words = self._texts.items(items, seed)  # [batch, events, item width]
        stars = self._assembler.rating_tokens(ratings)  # [batch, events]
        return Events(items, stars, own, words).only(items != 0)

    def own_tokens(self, items: tf.Tensor) -> tf.Tensor:
        """The own token of each item: int32, the shape of `items`."""
        return tf.gather(self._own_tokens, items)

    def item(self, items: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Texts of items on their own: int32 [n] references to [n, item width + 2].

        With a seed they are changed as `config.regularisation` says.
        """
        return self._assembler.item(self._texts.items(items, seed))

    def user(self, batch: Batch, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Words of each user, changed likewise: int32 [batch, user width]."""
        return self._texts.users(batch["user"], seed)

    def fitting(self, user: tf.Tensor, events: Events) -> tf.Tensor:
        """Tell which events a sequence holds beside the user's words: bool [batch, events]."""
        words = tf.reduce_sum(tf.cast(user != 0, tf.int32), axis=1)  # [batch]
        budget = self.length - 3 - words  # [CLS] and two [SEP]
        return fitting(events.tokens(), budget) & (events.items != 0)

    def tokens(self, user: tf.Tensor, events: Events) -> tf.Tensor:
        """Lay behaviours out: int32 [batch, length]."""
        return self._assembler.behaviour(user, events.tokens(), self.length).token_ids

    def lay_out(self, user: tf.Tensor, events: Events) -> Layout:
        """Lay behaviours out and say where each token came from."""
        tokens = events.tokens()  # [batch, events, event width]
        field = tf.minimum(tf.range(tokens.shape[2]), WORDS)  # [event width]
        source = 1 + 3 * tf.range(tokens.shape[1])[:, None] + field  # [events, event width]
        # A token carries its source through the assembler, which asks only what is 0.
        size = self.vocabulary.size
        tokens += tf.where(tokens != 0, size * source, 0)
        laid = self._assembler.behaviour(user, tokens, self.length).token_ids
        source = laid // size  # [batch, length], 0 outside of events
        return Layout(laid % size, (source + 2) // 3 - 1, (source + 2) % 3)


def draw_events(
    candidates: tf.Tensor, rate: float, slots: int, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Choose a share of each row's candidates, one at least where there is one.

    Args:
        candidates: bool [batch, events].
        rate: the share.
        slots: the most that are chosen; static.
        seed: of the draw.

    Returns:
        The chosen events' places, int32 [batch, slots] without repetition, and their
        weights, float32: 0 for an unused slot.
    """
    score = replicas.uniform_rows(tf.shape(candidates), seed)
    order = tf.argsort(tf.where(candidates, score, 2.0), axis=1)[:, :slots]  # [batch, slots]
    count = tf.reduce_sum(tf.cast(candidates, tf.int32), axis=1)  # [batch]
    chosen = tf.cast(tf.round(tf.cast(count, tf.float32) * rate), tf.int32)
    chosen = tf.minimum(tf.maximum(chosen, 1), count)
    return order, tf.cast(tf.range(slots)[None, :] < chosen[:, None], tf.float32)


def chosen_events(places: tf.Tensor, weights: tf.Tensor, events: int) -> tf.Tensor:
    """Mark chosen events: [batch, slots] places and weights to bool [batch, events]."""
    marks = tf.one_hot(places, events) * weights[..., None]  # [batch, slots, events]
    return tf.reduce_any(marks > 0, axis=1)


def _window(
    items: tf.Tensor, ratings: tf.Tensor, events: int, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Take `events` consecutive events that end at a random place of each history."""
    shape = tf.shape(items)
    count = tf.reduce_sum(tf.cast(items != 0, tf.int32), axis=1)  # [batch]
    latest = tf.maximum(count - events, 0)  # [batch], the last possible start
    draw = replicas.uniform_rows([shape[0]], seed)  # [batch]
    start = tf.cast(draw * tf.cast(latest + 1, tf.float32), tf.int32)  # [batch]
    place = start[:, None] + tf.range(events)[None, :]  # [batch, events]
    place = tf.minimum(place, shape[1] - 1)
    inside = start[:, None] + tf.range(events)[None, :] < count[:, None]
    return (
        tf.gather(items, place, batch_dims=1) * tf.cast(inside, tf.int32),  # [batch, events]
        tf.gather(ratings, place, batch_dims=1),  # [batch, events]
    )
