"""Readings whose item vectors are stored: many candidates cost one reading of the behaviour."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.batching import Batch
from ssrec_tf.recommenders.base import Behaviour, Outputs, PairScores, Recommender, zero_nan
from ssrec_tf.recommenders.items import ItemVectors
from ssrec_tf.recommenders.reading import Items, ItemTexts

_ENCODE_BATCH = 256
_NEARER = 0.9  # weight of what follows, by place
_NEVER = -1e9  # logit of what is not ranked


class Indexed(Recommender):
    """Reads a behaviour once, for all candidates, and ranks the catalogue by an index.

    A subclass makes `items` and says how a behaviour is read (`read`), how candidates are
    scored against it (`score`), and what is multiplied with the index (`full_query`).
    """

    items: ItemVectors

    def read(self, behaviour: Behaviour, history: Items, training: bool = False) -> Any:
        """Read behaviours: `history` holds [batch, history] items."""
        raise NotImplementedError

    def score(
        self, reading: Any, candidates: Items, now: tf.Tensor, training: bool = False
    ) -> PairScores:
        """Score candidates [batch, targets] against behaviours read once.

        `now` int64 [batch, targets or 1]: when the candidates are met, in seconds since
        1970, 0 where that is unknown.
        """
        raise NotImplementedError

    def score_batch(
        self, reading: Any, candidates: Items, batch: Batch, training: bool
    ) -> tuple[PairScores, PairScores | None]:
        """Scores of a batch's targets, and of its history as `Outputs` says."""
        return self.score(reading, candidates, batch["target_times"], training=training), None

    def full_query(self, reading: Any) -> tf.Tensor:
        """Scaled query, the weight of an item's bias behind: float32 [batch, of the index]."""
        raise NotImplementedError

    @property
    def source_widths(self) -> list[int]:
        """Lengths of a query's parts, of what tells the next item, where there are several.

        `balance`, a weight float32 [parts], then says how much each counts.
        """
        return []

    @property
    def source_readings(self) -> list[keras.Variable]:
        """Weights [] of how those parts read a history, settled along with `balance`."""
        return []

    def input_embeddings(self) -> list[Any]:
        """See `Recommender.input_embeddings`: of ids and words, and of the encoder's tokens."""
        tables = [self.items.id_embedding]
        if self.config.item_text != "encoder":
            tables.append(self.items.word_embedding)
        if self.items.factors is not None:
            tables += [self.items.factors.of_id, self.items.factors.of_word]
        return [*tables, *(super().input_embeddings() if self.encoder.trainable else [])]

    # Items

    def encode_text(self, words: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Vectors of texts: int32 [n, item width] to float32 [n, encoder width]."""
        _, pooled = self.encoder(self.assembler.item(words), training=training)
        return pooled

    def store_items(self) -> None:
        """Encode the whole catalogue once, for `items`, and variants of it if texts change."""
        encode = tf.function(self.encode_text, reduce_retracing=True, autograph=False)

        def vectors(seed: tf.Tensor | None) -> tf.Tensor:
            refs = tf.range(len(self.text.item_tokens))
            tokens = self.texts.items(refs, seed)  # [items + 1, item width]
            parts = [
                encode(tokens[i : i + _ENCODE_BATCH]) for i in range(0, len(refs), _ENCODE_BATCH)
            ]
            return tf.concat(parts, axis=0)  # [items + 1, encoder width]

        self.items.store(vectors(None))
        regularisation = self.config.regularisation
        if regularisation.changes_texts and not self.encoder.trainable:
            seeds = [[self.config.loop.seed, i] for i in range(regularisation.text_variants)]
            self.items.variants = tf.stack([vectors(tf.constant(s, tf.int64)) for s in seeds])

    def vectors_of(self, items: Items) -> tf.Tensor:
        """What a full query multiplies, the bias behind: float32 [..., d]."""
        return tf.concat([items.next_states, items.next_level[..., None]], axis=-1)

    def index(self, keep: tf.Tensor | None = None) -> tf.Tensor:
        """Vectors of all items with their bias: float32 [items + 1, d]."""

        def read() -> tf.Tensor:
            # While the encoder trains these lag behind; encoding all at every step costs more.
            return self.vectors_of(self.items.every(keep))

        if not tf.executing_eagerly():
            return read()
        # A graph leaves out what is read of items and is no part of an index: most of it. It is
        # called as it is, as a function that is made for one call would be warned of.
        return tf.function(read, autograph=False).get_concrete_function()()

    # Ratings

    def stars(self, ratings: tf.Tensor) -> tf.Tensor:
        """Ratings above their mean, in deviations; NaN stays: float32, same shape."""
        return (ratings - self.statistics.mean) / self.statistics.deviation

    def standardized(self, ratings: tf.Tensor) -> tf.Tensor:
        """Ratings above their mean, in deviations; 0 for NaN: float32, same shape."""
        return zero_nan(self.stars(ratings))

    def rating_steps(self, ratings: tf.Tensor, rated: tf.Tensor) -> tf.Tensor:
        """Row of a rating embedding: 1 is "no rating", the steps follow: int32, same shape."""
        step = self.assembler.rating_tokens(ratings) - self.text.vocabulary.first_rating_id
        return tf.where(rated > 0, step + 2, 1)

    # Batches

    def outputs_of(self, batch: Batch, *, seed: tf.Tensor, training: bool) -> Outputs:
        """See `Recommender.outputs_of`."""
        keep = self.items.draw_keep(seed) if training else None
        reading, candidates = self._batch_items(batch, keep, training, seed if training else None)
        scores, history = self.score_batch(reading, candidates, batch, training)
        vectors = self.vectors_of(candidates)
        return Outputs(scores, self.full_query(reading), vectors, keep, history, _seen(batch))

    def losses_by(self, index: tf.Tensor, batch: Batch) -> dict[str, tf.Tensor]:
        """See `losses_of`; with nothing drawn, and an `index` that many batches share."""
        outputs = self.outputs_of(batch, seed=tf.zeros([2], tf.int64), training=False)
        outputs = outputs._replace(catalogue=index)
        return self.weigh(self.task_losses(outputs, batch, training=False))

    def query_of(self, batch: Batch) -> tf.Tensor:
        """Queries of the next item: float32 [batch, d], to multiply with `index`."""
        reading, _ = self._batch_items(batch)
        return self.full_query(reading)

    def task_losses(
        self, outputs: Outputs, batch: Batch, *, training: bool
    ) -> dict[str, tf.Tensor]:
        """Losses of the heads, and of the next item among all items."""
        losses = super().task_losses(outputs, batch, training=training)
        if self.config.next_item_weight > 0:
            losses["next_item_loss"] = self.next_item_loss(outputs, batch, training=training)
        return losses

    def next_item_log_shares(self, outputs: Outputs) -> tf.Tensor:
        """Log probability of each item to be the next: float32 [batch, items + 1].

        Nobody is recommended what he has seen: the likest items, those of the history
        themselves, take no share from the others.
        """
        index = self.index(outputs.keep) if outputs.catalogue is None else outputs.catalogue
        logits = tf.matmul(outputs.query, index, transpose_b=True)
        nothing = tf.zeros([tf.shape(logits)[0], 1], tf.int32)  # padding's row
        out = nothing if outputs.seen is None else tf.concat([nothing, outputs.seen], axis=1)
        rows = tf.broadcast_to(tf.range(tf.shape(out)[0])[:, None], tf.shape(out))
        places = tf.stack([rows, out], axis=-1)  # [batch, 1 + history, 2]
        values = tf.fill(tf.shape(out), tf.constant(_NEVER))
        return tf.nn.log_softmax(tf.tensor_scatter_nd_update(logits, places, values))

    def next_item_loss(
        self, outputs: Outputs, batch: Batch, *, training: bool = False
    ) -> tf.Tensor:
        """Cross-entropy of the targets among all items (full softmax).

        In training the labels may be smoothed.
        """
        log_share = self.next_item_log_shares(outputs)
        targets = batch["target_items"]
        found = tf.gather(log_share, targets, batch_dims=1)  # [batch, targets]
        smoothing = self.config.regularisation.label_smoothing
        if training and smoothing > 0:
            ranked = tf.cast(log_share > 0.5 * _NEVER, tf.float32)  # [batch, items + 1]
            evenly = tf.reduce_sum(ranked * log_share, axis=1, keepdims=True)  # [batch, 1]
            evenly /= tf.reduce_sum(ranked, axis=1, keepdims=True)
            found = (1.0 - smoothing) * found + smoothing * evenly
        weight = tf.cast(targets != 0, tf.float32)
        # In order of time the nearer an item follows, the more it is the next one.
        place = tf.range(tf.shape(targets)[1], dtype=tf.float32)  # [targets]
        weight *= tf.where(batch["target_peers"] > 0, 1.0, _NEARER**place)
        return -replicas.weighted_mean(found, weight)

    def _batch_items(
        self,
        batch: Batch,
        keep: tf.Tensor | None = None,
        training: bool = False,
        seed: tf.Tensor | None = None,
    ) -> tuple[Any, Items]:
        """Read a batch's behaviours and look its candidates up; `seed` changes texts."""
        behaviour = self.behaviour_of(batch, seed)
        events, targets = behaviour.items, batch["target_items"]  # [batch, history], [.., targets]
        refs = tf.concat([events, targets], axis=1)
        mentions = self.config.loop.batch_size * (self.config.max_history + self.config.max_targets)
        if not training:
            rows, places = self._distinct(refs)
        elif not self.encoder.trainable and len(self.text.item_tokens) < mentions:
            # The next item is asked for among all, so all are read as it is.
            rows, places = tf.range(len(self.text.item_tokens)), refs
        else:  # a text may change from mention to mention
            rows, places = refs, None
        items = self.items.read(self._texts(rows, training, seed), rows, keep, training)
        cut = tf.shape(events)[1]
        if places is None:
            history = Items(*(part[:, :cut] for part in items))  # [batch, history, ...]
            candidates = Items(*(part[:, cut:] for part in items))  # [batch, targets, ...]
        else:  # each apart: gathered as one, they would be copied once more to be parted
            history = Items(*(tf.gather(part, places[:, :cut]) for part in items))
            candidates = Items(*(tf.gather(part, places[:, cut:]) for part in items))
        return self.read(behaviour, history, training=training), candidates

    def _texts(self, refs: tf.Tensor, training: bool, seed: tf.Tensor | None) -> ItemTexts:
        """Texts of a batch's items: int32 [...], changed by `seed` if there is one.

        Vectors are the stored ones, unless the encoder is being trained: then each
        distinct item is encoded once, however often it is mentioned.
        """
        texts = self.items.texts_of(refs)
        if seed is not None and self.config.regularisation.changes_texts:
            seed = replicas.fold_in(seed, 2)
            texts = ItemTexts(self.items.variant_of(refs, seed), self.texts.items(refs, seed))
        if not self.encoder.trainable:
            return texts
        distinct, place = self._distinct(refs)
        encoded = self.encode_text(self.texts.items(distinct, seed), training=training)
        return texts._replace(vectors=tf.gather(encoded, place))  # [..., encoder width]

    def _distinct(self, refs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Name a batch's items once each.

        For XLA in as many places as the batch may need, most of which may stay empty.

        Args:
            refs: int32 [...], 0 is padding.

        Returns:
            References, int32 [places], 0 in places that are not needed; and where each of
            `refs` stands among them, int32 [...].
        """
        if not self.config.loop.xla:
            distinct, place = tf.unique(tf.reshape(refs, [-1]))  # [places], [mentions]
            return distinct, tf.reshape(place, tf.shape(refs))  # [places], [...]
        catalogue = len(self.text.item_tokens)
        flat = tf.reshape(refs, [-1, 1])  # [mentions, 1]
        met = tf.scatter_nd(flat, tf.ones_like(flat[:, 0]), [catalogue]) > 0  # [items + 1]
        met |= tf.range(catalogue) == 0  # padding has a place of its own, so 0 is always first
        place = tf.cumsum(tf.cast(met, tf.int32)) - 1  # [items + 1]
        places = catalogue if flat.shape[0] is None else min(catalogue, flat.shape[0] + 1)
        to = tf.where(met, place, places)  # what is not met goes nowhere
        distinct = tf.tensor_scatter_nd_max(
            tf.zeros([places + 1], tf.int32), to[:, None], tf.range(catalogue)
        )[:places]
        return distinct, tf.gather(place, refs)


def _seen(batch: Batch) -> tf.Tensor:
    """Items of a history that are no targets, 0 for those that are: int32 [batch, history]."""
    history, targets = batch["history_items"], batch["target_items"]
    again = tf.reduce_any(history[:, :, None] == targets[:, None, :], axis=2)  # [batch, history]
    return tf.where(again, 0, history)
