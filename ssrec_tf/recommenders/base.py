"""What every recommender has in common: its inputs, its losses, its two outputs."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.augmentation import AugmentedTexts
from ssrec_tf.batching import Batch
from ssrec_tf.config import TrainConfig
from ssrec_tf.encoders import Encoder
from ssrec_tf.recommenders.task_weights import TaskWeights
from ssrec_tf.sequences import Assembler
from ssrec_tf.statistics import LabelStatistics
from ssrec_tf.text_table import TextTable


class Behaviour(NamedTuple):
    """What a user is known by, as tokens.

    Attributes:
        user: int32 [batch, user width] words of the user's text, 0 padded.
        items: int32 [batch, history] references, oldest first; 0 where the event is
            padding or the item is known by its text only.
        tokens: int32 [batch, history, item width] words of each event's item.
        ratings: float32 [batch, history], NaN where there is none.
        times: int64 [batch, history], seconds since 1970, 0 where there is none.
        mask: float32 [batch, history], 0 is padding.
    """

    user: tf.Tensor
    items: tf.Tensor
    tokens: tf.Tensor
    ratings: tf.Tensor
    times: tf.Tensor
    mask: tf.Tensor


class PairScores(NamedTuple):
    """Scores of pairs, all float32 [batch, targets].

    Attributes:
        rating: in the scale's units, unclipped.
        click_logit: of the click.
        spread: variance of a rating among the members whose mean it is, in variances of
            the ratings; 0 where there are no members.
    """

    rating: tf.Tensor
    click_logit: tf.Tensor
    spread: tf.Tensor


class Outputs(NamedTuple):
    """What a batch is read as: all that losses need.

    Attributes:
        scores: of the targets.
        query: float32 [batch, d], for the next item; None where a reading has none.
        vectors: float32 [batch, targets, d], what `query` multiplies; or None.
        keep: float32 [items + 1, 2], of `ItemVectors.draw_keep`; None keeps all.
        history: scores [batch, history] of what was read, each as if it had not been; in
            training only, None where a reading cannot say.
        seen: int32 [batch, history], items that are not ranked, 0 is none; None is nowhere.
        catalogue: float32 [items + 1, d], of `Indexed.index`; None where it is to be read.
    """

    scores: PairScores
    query: tf.Tensor | None = None
    vectors: tf.Tensor | None = None
    keep: tf.Tensor | None = None
    history: PairScores | None = None
    seen: tf.Tensor | None = None
    catalogue: tf.Tensor | None = None


class Recommender(keras.Model):
    """Scores (behaviour, candidate) pairs: a rating and a click.

    A subclass reads a batch in `outputs_of`; here stand the losses. The rating head
    minimises squared error, the click head cross-entropy, each by its weight in the
    configuration; a weight of 0 switches a head off.
    """

    def __init__(
        self, encoder: Encoder, text: TextTable, statistics: LabelStatistics, config: TrainConfig
    ) -> None:
        """Keep the parts; `text` gives the tokens behind a batch's references."""
        super().__init__()
        self.encoder = encoder
        self.text = text
        self.statistics = statistics
        self.config = config
        self.assembler = Assembler(text.vocabulary)
        self.task_weights = TaskWeights(config, statistics)
        self.texts = AugmentedTexts(text, config.regularisation)

    def behaviour_of(self, batch: Batch, seed: tf.Tensor | None = None) -> Behaviour:
        """Look a batch's references up; texts are changed by `seed`, if one is given."""
        items = batch["history_items"]
        return Behaviour(
            user=self.texts.users(batch["user"], seed),
            items=items,
            tokens=self.texts.items(items, seed),
            ratings=batch["history_ratings"],
            times=batch["history_times"],
            mask=tf.cast(items != 0, tf.float32),
        )

    def build_layers(self) -> None:
        """Make all layers and weights, so that a checkpoint can be read before a step."""
        raise NotImplementedError

    def outputs_of(self, batch: Batch, *, seed: tf.Tensor, training: bool) -> Outputs:
        """Read a batch and score its targets; the arguments are those of `losses_of`."""
        raise NotImplementedError

    def losses_of(self, batch: Batch, *, seed: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """See `training.Trainable`."""
        outputs = self.outputs_of(batch, seed=seed, training=training)
        return self.weigh(self.task_losses(outputs, batch, training=training))

    def scores_of(self, batch: Batch) -> PairScores:
        """Score a batch's targets, without dropout."""
        return self.outputs_of(batch, seed=tf.zeros([2], tf.int64), training=False).scores

    def input_embeddings(self) -> list[Any]:
        """Tables that adversarial training moves: variables [rows, width]."""
        return [self.encoder.token_table]

    def weigh(self, losses: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Put `loss`, the weighted sum of the tasks' losses, before them."""
        return {"loss": self.task_weights(losses), **losses}

    def task_losses(
        self, outputs: Outputs, batch: Batch, *, training: bool
    ) -> dict[str, tf.Tensor]:
        """Loss of each task, scalars.

        The squared error is counted in variances of the ratings, so that the weights mean
        the same on any scale. In training a click's label may be smoothed, and members are
        judged one by one: the mean of their squared errors is that of their mean plus their
        variance.

        References:
            Szegedy et al. 2016, arXiv:1512.00567, section 7 (label smoothing).
            Krogh & Vedelsby 1995, "Neural Network Ensembles, Cross Validation, and Active
                Learning" (the sum).
        """
        clicks = batch["target_clicks"]  # [batch, targets]
        labels = zero_nan(clicks)
        if training:
            smoothing = self.config.regularisation.label_smoothing
            labels = labels * (1.0 - smoothing) + 0.5 * smoothing
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels, outputs.scores.click_logit)
        return {
            "rating_loss": self._rating_loss(outputs, batch, training),
            "click_loss": mean_where(entropy, ~tf.math.is_nan(clicks)),
        }

    def _rating_loss(self, outputs: Outputs, batch: Batch, training: bool) -> tf.Tensor:
        """Mean squared error of the targets, and of the history where `Outputs` has it.

        Whoever rated much is dealt often, for a few targets each time: a behaviour counts
        by its targets, however much of its history is learnt from.
        """
        squared = self._squared_error(outputs.scores, batch["target_ratings"], training)
        counted = tf.cast(~tf.math.is_nan(squared), tf.float32)  # [batch, targets]
        if outputs.history is not None:
            # In order of time nothing is to be told by what came later.
            peers = tf.reduce_max(batch["target_peers"], axis=1, keepdims=True)  # [batch, 1]
            known = tf.where(peers > 0, batch["history_ratings"], float("nan"))
            more = self._squared_error(outputs.history, known, training)
            squared = tf.concat([squared, more], axis=1)  # [batch, targets + history]
            weight = tf.reduce_sum(counted, axis=1, keepdims=True)  # [batch, 1]
            counted = tf.cast(~tf.math.is_nan(squared), tf.float32)
            total = tf.reduce_sum(counted, axis=1, keepdims=True)
            counted *= tf.math.divide_no_nan(weight, total)
        return tf.math.divide_no_nan(
            tf.reduce_sum(zero_nan(squared) * counted), replicas.mean(tf.reduce_sum(counted))
        )

    def _squared_error(self, scores: PairScores, ratings: tf.Tensor, training: bool) -> tf.Tensor:
        """In variances of the ratings, NaN where there is none: float32 [batch, n]."""
        error = (scores.rating - zero_nan(ratings)) / self.statistics.deviation
        squared = error**2 + (scores.spread if training else 0.0)
        return tf.where(tf.math.is_nan(ratings), float("nan"), squared)

    def clip(self, rating: tf.Tensor) -> tf.Tensor:
        """Keep a rating in the scale."""
        return tf.clip_by_value(rating, self.statistics.low, self.statistics.high)

    def logit_of_share(self) -> float:
        """The logit of the train rows' share of clicks."""
        share = self.statistics.click_share
        return float(np.log(share / (1.0 - share)))


def zero_nan(x: tf.Tensor) -> tf.Tensor:
    """Put 0 for NaN."""
    return tf.where(tf.math.is_nan(x), tf.zeros_like(x), x)


def mean_where(values: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Mean of the values for which `where` is true, 0 if none: [...] and bool [...] to []."""
    return replicas.weighted_mean(values, tf.cast(where, values.dtype))


def dense(units: int, **options: Any) -> keras.layers.Dense:
    """Make a dense layer whose kernel starts small, as BERT's do."""
    options.setdefault("kernel_initializer", keras.initializers.TruncatedNormal(stddev=0.05))
    return keras.layers.Dense(units, **options)


def normal() -> keras.initializers.Initializer:
    """Start embeddings small; a new instance for each, or all would start alike."""
    return keras.initializers.RandomNormal(stddev=0.05)
