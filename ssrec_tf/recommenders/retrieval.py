"""Retrieval: a tower reads the behaviour, another the item; their product finds candidates.

Trained with the items of the batch as negatives, which costs the same for any catalogue.
Frequent items are often someone's negative; their logits are lowered by the log of their
share of the train rows, so that what is learnt is an item's probability and not its
surprise. An item that is the positive of its own row is no negative of it.

References:
    Covington et al. 2016, "Deep Neural Networks for YouTube Recommendations" (the towers).
    Yi et al. 2019, "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
        Recommendations" (in-batch softmax, the logQ correction, length 1, temperature).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.batching import Batch
from ssrec_tf.recommenders.base import Behaviour, Outputs, PairScores, dense, normal
from ssrec_tf.recommenders.indexed import Indexed
from ssrec_tf.recommenders.items import ItemVectors
from ssrec_tf.recommenders.reading import Items, pool_events
from ssrec_tf.retrieval_index import tensorflow_recommenders


class UserVectors(NamedTuple):
    """A behaviour read once.

    `query` float32 [batch, width], of length 1, for the next item; `factors` float32
    [batch, width] and `bias` float32 [batch], for a rating.
    """

    query: tf.Tensor
    factors: tf.Tensor
    bias: tf.Tensor


class Retrieval(Indexed):
    """Two towers; ratings and clicks, where there are labels, by biases and a product.

    In training `next_item_loss` is the loss among the batch's items; otherwise it is the
    cross-entropy among all items, which hangs on no batch and is what is monitored.
    """

    def build_layers(self) -> None:
        """See `Recommender.build_layers`."""
        width, config = self.config.width, self.config
        # The towers are for the next item: its gradient goes all the way down.
        self.items = ItemVectors(self.encoder.width, self.text, config, labelled=False)
        ratings = len(self.text.vocabulary.ratings) + 2  # padding row, no rating, the steps
        for name, rows in (("rating_embedding", ratings), ("recency_embedding", 12)):
            value = self.add_weight(shape=(rows, width), initializer=normal(), name=name)
            setattr(self, name, value)
        for name, start in (("shrinkage", 5.0), ("click_slope", 1.5)):
            initial = keras.initializers.Constant(start)
            setattr(
                self, name, self.add_weight(shape=(), initializer=initial, name=f"scale_{name}")
            )
        self.dropout = keras.layers.Dropout(config.dropout)
        plan = {
            "profile": (dense(width), self.encoder.width),
            "user_hidden": (dense(2 * width, activation="gelu"), 3 * width),
            "user_output": (dense(width), 2 * width),
            "user_factors": (dense(width), 2 * width),
        }
        for name, (layer, inputs) in plan.items():
            layer.name = name
            layer.build((None, inputs))
            setattr(self, name, layer)
        self._task = in_batch_task()
        counts = np.maximum(self.text.item_counts, 1).astype(np.float64)
        self._share = tf.constant(counts / counts.sum(), tf.float32)  # [items + 1]
        self.built = True

    # Towers

    def read(self, behaviour: Behaviour, history: Items, training: bool = False) -> UserVectors:
        """See `Indexed.read`."""
        rated = behaviour.mask * tf.cast(~tf.math.is_nan(behaviour.ratings), tf.float32)
        steps = self.rating_steps(behaviour.ratings, rated)
        events = history.next_states + tf.gather(self.rating_embedding, steps)
        events *= behaviour.mask[..., None]  # [batch, history, width]
        recency = tf.convert_to_tensor(self.recency_embedding)
        newest, mean = pool_events(events, behaviour.mask, recency)  # [batch, width] each
        _, profile = self.encoder(self.assembler.item(behaviour.user), training=training)
        profile = self.profile(tf.stop_gradient(profile))  # read, not fitted to
        features = tf.concat([newest, mean, profile], axis=1)  # [batch, 3 * width]
        hidden = self.user_hidden(self.dropout(features, training=training))
        above = (self.standardized(behaviour.ratings) - history.level) * rated
        shrinkage = tf.nn.softplus(self.shrinkage)
        return UserVectors(
            query=tf.math.l2_normalize(newest + self.user_output(hidden), axis=-1),
            factors=self.user_factors(hidden) * self.config.width**-0.5,
            bias=tf.reduce_sum(above, axis=1) / (tf.reduce_sum(rated, axis=1) + shrinkage),
        )

    def full_query(self, reading: UserVectors) -> tf.Tensor:
        """See `Indexed.full_query`; divided by the temperature."""
        query = reading.query / self.config.temperature
        return tf.concat([query, tf.ones_like(query[:, :1])], axis=1)

    def vectors_of(self, items: Items) -> tf.Tensor:
        """See `Indexed.vectors_of`; of length 1 but for the bias."""
        return super().vectors_of(
            items._replace(next_states=tf.math.l2_normalize(items.next_states, axis=-1))
        )

    def score(
        self, reading: UserVectors, candidates: Items, now: tf.Tensor, training: bool = False
    ) -> PairScores:
        """See `Indexed.score`. Without click labels the click's logit is the retrieval's."""
        del now, training
        factor = tf.einsum("bd,btd->bt", reading.factors, candidates.states)
        level = candidates.level + reading.bias[:, None] + factor  # [batch, targets]
        rating = self.statistics.mean + self.statistics.deviation * level
        if self.statistics.has_click:
            click = tf.nn.softplus(self.click_slope) * level + self.logit_of_share()
        else:
            vectors = self.vectors_of(candidates)  # [batch, targets, width + 1]
            click = tf.einsum("bd,btd->bt", self.full_query(reading), vectors)
        return PairScores(rating, click, tf.zeros_like(rating))

    # Losses

    def task_losses(
        self, outputs: Outputs, batch: Batch, *, training: bool
    ) -> dict[str, tf.Tensor]:
        """See `Recommender.task_losses`."""
        losses = super().task_losses(outputs, batch, training=training)
        if training:
            targets = batch["target_items"]
            rows = (outputs.query, outputs.vectors, targets)
            losses["next_item_loss"] = self.in_batch_loss(*map(replicas.gather_rows, rows))
        return losses

    def in_batch_loss(self, query: tf.Tensor, vectors: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Mean cross-entropy of each target among all targets of the batch: float32 [].

        A user's other targets stay negatives, as they are in the softmax over all items.

        Args:
            query: float32 [batch, width + 1], of `full_query`.
            vectors: float32 [batch, targets, width + 1], of `vectors_of`.
            targets: int32 [batch, targets], 0 is padding.
        """
        width = vectors.shape[-1]
        items = tf.reshape(targets, [-1])  # [batch * targets]
        there = items != 0
        corrected = self.config.sampling_correction
        total = self._task(
            tf.repeat(query, tf.shape(targets)[1], axis=0),  # [batch * targets, width + 1]
            tf.reshape(vectors, [-1, width]),  # [batch * targets, width + 1]
            sample_weight=tf.cast(there, tf.float32),
            candidate_sampling_probability=tf.gather(self._share, items) if corrected else None,
            candidate_ids=items,
            score_mask=there[None, :],
            compute_metrics=False,
        )
        return total / tf.maximum(tf.reduce_sum(tf.cast(there, tf.float32)), 1.0)


def in_batch_task() -> Any:
    """Make `tfrs.tasks.Retrieval`: a summed in-batch softmax that removes accidental hits.

    It is a layer of Keras 2's API without weights or metrics, called within the graph of a
    Keras 3 model; `tfrs.Model` around Keras 3 layers is what does not work. The temperature
    is the query's, for the index to score as training did. It asks a tensor for its `len`, which
    only AutoGraph understands.
    """
    task = tensorflow_recommenders().tasks.Retrieval(remove_accidental_hits=True)
    return tf.function(task, autograph=True, reduce_retracing=True)
