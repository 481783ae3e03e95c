"""Item vectors: what an item's text says, plus what its id has learnt.

The text speaks by its encoder vector, stored and frozen, by a bag of its words whose
embeddings are learnt from the labels, or by both. The first knows language; the second
knows no more than what each word is worth, and so has less to learn by heart.

References:
    Volkovs et al. 2017, "DropoutNet" (ids dropped at random, so that text must do).
    Iyyer et al. 2015, "Deep Unordered Composition Rivals Syntactic Methods" (word bags).
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.config import TrainConfig
from ssrec_tf.cooccurrence import enough_of, told_by_texts
from ssrec_tf.recommenders.base import dense, normal
from ssrec_tf.recommenders.factors import Factors
from ssrec_tf.recommenders.reading import Items, ItemTexts, told
from ssrec_tf.text_table import TextTable

_NEW = 0.2  # at most so many items are read as new ones when the next one is learnt


class ItemVectors(keras.layers.Layer):
    """Makes `Items` of texts and references; holds all weights that belong to items.

    Args:
        encoder_width: length of the encoder's vectors.
        text: the catalogue's tokens, and how often each item occurs in training.
        config: `width`, `dropout`, `id_dropout` and `item_text`.
        labelled: whether there are ratings or clicks to learn from.
        factorized: whether items have `factors` too.
    """

    def __init__(
        self,
        encoder_width: int,
        text: TextTable,
        config: TrainConfig,
        *,
        labelled: bool,
        factorized: bool = False,
    ) -> None:
        """Make all layers and weights."""
        super().__init__(name="items")
        self.text, self.config, self.labelled = text, config, labelled
        self._met = np.flatnonzero(text.known_items)  # references of the train items
        self._known = known = tf.cast(text.known_items, tf.float32)  # [items + 1]
        # Ids that are always dropped are never trained, and must not speak later.
        self._has_id = known if config.id_dropout < 1.0 else tf.zeros_like(known)
        self._tokens = tf.constant(text.item_tokens)  # [items + 1, item width]
        # Vectors of changed texts: [variants, items + 1, encoder width]; training reads them.
        self.variants: tf.Tensor | None = None
        self.dropout = keras.layers.Dropout(config.dropout)
        self._add_ids(len(text.item_tokens))
        self._add_texts(len(text.item_tokens), encoder_width)
        self.factors = None
        if factorized:
            self.factors = Factors(
                text,
                encoder_width,
                self._common_words(),
                config.factors,
                ids=config.id_dropout < 1.0,
            )

    def _add_ids(self, count: int) -> None:
        width = self.config.width
        # Not named a bias: an item of few ratings must be held back by weight decay.
        self.id_level = self.add_weight(shape=(count,), initializer="zeros", name="id_level")
        self.id_embedding = self.add_weight(
            shape=(count, width), initializer=normal(), name="id_embedding"
        )
        self.next_embedding = self.add_weight(
            shape=(count, width), initializer=normal(), name="next_embedding"
        )
        # The next item's log share starts at its popularity: the rest is learnt beyond it.
        share = np.log((self.text.item_counts + 1.0) / (self.text.item_counts.sum() + count))
        # Of an item never met: as often as any other, until training says better.
        evenly = keras.initializers.Constant(-np.log(count))
        self.next_unmet = self.add_weight(shape=(), initializer=evenly, name="next_unmet_bias")
        config = self.config
        follows, known = config.successor_width, config.autoencoder_width
        self._order_widths = [follows, follows, config.companion_width, known, known]
        self.order_width = sum(self._order_widths)
        self.order = self.add_weight(
            shape=(count, self.order_width), initializer="zeros", trainable=False, name="order"
        )
        self.next_bias = self.add_weight(
            shape=(count,), initializer=lambda shape, dtype: tf.cast(share, dtype), name="next_bias"
        )

    def _add_texts(self, count: int, encoder_width: int) -> None:
        width = self.config.width
        # Text vectors of the whole catalogue, once the encoder stands still. A mean of
        # states is much the same for all texts: what differs gets one scale.
        for name, shape, initial in (
            ("stored", (count, encoder_width), "zeros"),
            ("text_mean", (encoder_width,), "zeros"),
            ("text_deviation", (encoder_width,), "ones"),
            ("order_of_text", (encoder_width + 1, self.order_width), "zeros"),
        ):
            value = self.add_weight(shape=shape, initializer=initial, trainable=False, name=name)
            setattr(self, name, value)
        if self.config.item_text != "words":
            self.text_projection = dense(width, name="text_projection")
            self.text_projection.build((None, encoder_width))
            self.text_level = dense(
                1, use_bias=False, kernel_initializer="zeros", name="text_level"
            )
            self.text_level.build((None, encoder_width))
        if self.config.item_text != "encoder":
            words = len(self.text.vocabulary.words)
            self.word_embedding = self.add_weight(
                shape=(words, width), initializer=normal(), name="word_embedding"
            )
            self.word_level = self.add_weight(
                shape=(words,), initializer="zeros", name="word_level"
            )
            self._common = tf.cast(self._common_words() > 0, tf.float32)  # [words]
        self.item_norm = keras.layers.LayerNormalization(name="item_norm")
        self.item_norm.build((None, width))
        self.next_item = dense(width, use_bias=False, name="next_item")
        self.next_item.build((None, width))

    def _common_words(self) -> np.ndarray:
        """How many train items hold a word: int64 [words].

        0 for those of too few; such a word would be an id by another name.
        """
        items = np.zeros(len(self.text.vocabulary.words), np.int64)
        for tokens in self.text.item_tokens[self.text.known_items]:
            items[np.unique(tokens)] += 1
        items[0] = 0  # padding
        return np.where(items >= self.config.word_min_items, items, 0)

    def store(self, vectors: tf.Tensor) -> None:
        """Keep the encoder's vectors of the catalogue: float32 [items + 1, encoder width]."""
        self.stored.assign(vectors)
        seen = self.stored.numpy()[self.text.known_items]  # [train items, encoder width]
        if len(seen):
            self.text_mean.assign(seen.mean(axis=0))
            self.text_deviation.assign(np.maximum(seen.std(axis=0), 1e-3))

    def store_order(self, vectors: np.ndarray) -> None:
        """Keep what train says of items' order, and what texts tell of it, once those are stored.

        Args:
            vectors: float32 [items + 1, 2 s + c + 2 a].
        """
        self.order.assign(vectors)
        if len(self._met) > 1 and self.order_width:
            directions = self._stored_directions(self._met)
            self.order_of_text.assign(told_by_texts(directions, vectors[self._met]))

    def store_behaviour(self, vectors: np.ndarray) -> None:
        """Keep the co-occurrence vectors, once the texts' are stored.

        Args:
            vectors: float32 [items + 1, width of `train.factors`].
        """
        if self.factors is not None:
            self.factors.store(vectors, self._stored_directions(self._met))

    def start_levels(self, levels: np.ndarray) -> None:
        """Let training begin at levels of the items' ratings, in deviations: [items + 1].

        Where ids never speak they say nothing here either.
        """
        if self.factors is not None:
            self.factors.assign_levels((levels * self._has_id.numpy())[:, None])

    def settle(self) -> None:
        """Bring up to date what follows from the weights: see `Factors.settle`."""
        if self.factors is not None:
            some = self._met[enough_of(len(self._met))]
            tokens, counts = self.text.item_tokens[some], self.text.item_counts[some]
            self.factors.settle(some, tokens, self._stored_directions(some), counts)

    def _stored_directions(self, refs: np.ndarray) -> np.ndarray:
        """Directions of stored texts: int [n] to float32 [n, encoder width]."""
        found: np.ndarray = self._directions(tf.gather(self.stored, refs)).numpy()
        return found

    def _directions(self, vectors: tf.Tensor) -> tf.Tensor:
        return tf.math.l2_normalize((vectors - self.text_mean) / self.text_deviation, axis=-1)

    def texts_of(self, refs: tf.Tensor) -> ItemTexts:
        """Stored texts of items: int32 [...] references."""
        stored = tf.convert_to_tensor(self.stored)
        return ItemTexts(tf.gather(stored, refs), tf.gather(self._tokens, refs))

    def variant_of(self, refs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Stored vectors of changed texts, one drawn a mention: [...] to [..., encoder width]."""
        if self.variants is None:
            return self.texts_of(refs).vectors
        drawn = replicas.uniform_rows(tf.shape(refs), seed, 0, tf.shape(self.variants)[0], tf.int32)
        return tf.gather_nd(self.variants, tf.stack([drawn, refs], axis=-1))

    def draw_keep(self, seed: tf.Tensor) -> tf.Tensor:
        """Switch ids off at random, for a training step: float32 [items + 1, 2].

        Where ids are always dropped, what train counted of an item still tells which is the
        next, but for a few: a new item must be found by its text among all others.
        """
        draw = replicas.uniform(tf.shape(self._known), seed)
        rates = [self.config.id_dropout, min(self.config.id_dropout, _NEW)]
        return tf.cast(draw[:, None] >= tf.constant(rates), tf.float32)

    def read(
        self,
        texts: ItemTexts,
        refs: tf.Tensor,
        keep: tf.Tensor | None = None,
        training: bool = False,
    ) -> Items:
        """Make vectors of items.

        Args:
            texts: of the same items, [...].
            refs: int32 [...], 0 for an item known by its text only.
            keep: float32 [items + 1, 2], 0 switches an item's id off, or what train counted
                of it; all on when not given.
            training: whether dropout is on.
        """
        speaks, met = self._has_id, self._known
        if keep is not None:
            speaks, met = speaks * keep[:, 0], met * keep[:, 1]
        speaks, met = tf.gather(speaks, refs), tf.gather(met, refs)  # [...] each
        ids = tf.gather(self.id_embedding, refs) * speaks[..., None]  # [..., width]
        vectors = (texts.vectors - self.text_mean) / self.text_deviation
        said, level = self._read_texts(vectors, texts.words, training)
        level += tf.gather(self.id_level, refs) * speaks
        states = self.item_norm(said + ids)
        # What comes next is learnt beside the ratings, not at their expense.
        shared = tf.stop_gradient(states) if self.labelled else states
        next_ids = tf.gather(self.next_embedding, refs) * speaks[..., None]  # [..., width]
        # An item that training never saw is found by its text.
        next_level = tf.where(met > 0, tf.gather(self.next_bias, refs), self.next_unmet)
        next_states = self.next_item(shared) + next_ids
        directions = self._directions(texts.vectors)
        known = tf.gather(self._has_id, refs)  # [...]
        factors = by_text = tf.zeros_like(directions[..., :0])
        if self.factors is not None:
            # Never dropped: an id adds to what the words say, and its prior holds it back.
            factors, by_text = self.factors.read(
                refs, texts.words, directions, known, training=training
            )
        counted = self._sides(tf.gather(self.order, refs))  # [..., s + c + a] each
        as_told = self._sides(tf.convert_to_tensor(self.order_of_text))
        as_met, as_found = (
            tf.where(met[..., None] > 0, found, told(directions, by_text))
            for found, by_text in zip(counted, as_told, strict=True)
        )
        return Items(
            states,
            level,
            next_states,
            next_level,
            directions,
            as_met,
            as_found,
            factors=factors,
            factors_by_text=by_text,
            speaks=known,
        )

    def _sides(self, order: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Part what is read of an event from what is read of a candidate: `as_met`, `as_found`.

        An event is mentioned often: each vector it does not need would be looked up in vain,
        and in an index nothing is met.
        """
        parts = tf.split(order, self._order_widths, axis=-1)
        before, after, companions, knows, finds = parts
        as_met = tf.concat([before, companions, knows], axis=-1)  # [..., s + c + a]
        return as_met, tf.concat([after, companions, finds], axis=-1)

    def _read_texts(
        self, vectors: tf.Tensor, words: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What texts say: float32 [..., width]; and of the rating's level: float32 [...]."""
        said, level = tf.constant(0.0), tf.constant(0.0)
        if self.config.item_text != "words":
            said += self.text_projection(self.dropout(vectors, training=training))
            level += self.text_level(vectors)[..., 0]
        if self.config.item_text != "encoder":
            there = tf.gather(self._common, words)  # [..., item width]
            embedded = tf.gather(self.word_embedding, words)  # [..., item width, width]
            said += tf.linalg.matvec(embedded, there, transpose_a=True)  # [..., width]
            level += tf.reduce_sum(tf.gather(self.word_level, words) * there, axis=-1)
        return said, level

    def every(self, keep: tf.Tensor | None = None) -> Items:
        """Read the catalogue: [items + 1], the reference 0 included."""
        refs = tf.range(len(self.text.item_tokens))
        return self.read(self.texts_of(refs), refs, keep)
