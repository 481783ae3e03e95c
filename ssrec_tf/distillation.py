"""One recommender that learns from the labels and from an ensemble's mean.

What is served stays one ordinary model. The mean is learnt on the pairs that the labels are
of, and on drawn items that the user has not seen: there no label speaks, and there the
members, who agree on the train rows, differ.

References:
    Hinton et al. 2015, arXiv:1503.02531 (distillation).
    Bucila et al. 2006, "Model Compression" (unlabelled inputs for the student).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from ssrec_tf import learning, replicas
from ssrec_tf.batching import Batch
from ssrec_tf.ensembling import Ensemble, Predictions, fit_members
from ssrec_tf.recommenders import Indexed, Outputs, PairScores, Recommender
from ssrec_tf.recommenders.base import mean_where
from ssrec_tf.training import TrainState


def fit(model: Recommender, examples: Path, *, past_only: bool, workdir: Path) -> TrainState:
    """Train a model as its configuration says: alone, or as the student of an ensemble.

    Args:
        model: of `learning.make_recommender`; see `learning.fit`.
        examples: folder of `write_examples`.
        past_only: as in the split.
        workdir: of the model; the members' lie under `members/`.

    Returns:
        The state of the model's own training.

    Raises:
        NonFiniteError: the loss or a gradient became NaN or infinite.
    """
    student = None
    if model.config.ensemble.kind != "none":
        members = workdir / "members"
        ensemble = fit_members(model, examples, past_only=past_only, workdir=members)
        student = Student(model, ensemble)
    return learning.fit(model, examples, past_only=past_only, workdir=workdir, trainable=student)


class Student:
    """A recommender's losses, mixed with its distance from a teacher; see `Trainable`.

    Args:
        model: the recommender, the only one that is trained.
        teacher: an ensemble that reads the same batches.
    """

    def __init__(self, model: Recommender, teacher: Ensemble) -> None:
        """Keep both."""
        self.model, self.teacher = model, teacher

    @property
    def trainable_variables(self) -> list[Any]:
        """The model's."""
        return list(self.model.trainable_variables)

    @property
    def variables(self) -> list[Any]:
        """The model's; the teacher is in no checkpoint."""
        return list(self.model.variables)

    def losses_of(self, batch: Batch, *, seed: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """See `training.Trainable`: the model's losses, and `teacher_loss`."""
        config = self.model.config.ensemble
        wide = with_drawn_items(
            batch, tf.constant(self.model.text.known_items), config.drawn_items, seed
        )
        outputs = self.model.outputs_of(wide, seed=seed, training=training)
        labelled = first_targets(outputs, tf.shape(batch["target_items"])[1])
        tasks = self.model.task_losses(labelled, batch, training=training)
        apart = self.distances(outputs, self.teacher.predict(wide), wide)
        if "prior_loss" in tasks:  # what is told leaves a prior as strong as it was
            apart["prior_loss"] = tasks["prior_loss"]
        losses, told = self.model.weigh(tasks), self.model.weigh(apart)["loss"]
        share = config.teacher_weight
        loss = (1.0 - share) * losses["loss"] + share * told
        return {**losses, "loss": loss, "teacher_loss": told}

    def distances(self, outputs: Outputs, told: Predictions, batch: Batch) -> dict[str, tf.Tensor]:
        """Distance from a teacher's predictions by task, scalars, over all targets.

        Args:
            outputs: of the model, [batch, targets].
            told: the same, by the teacher.
            batch: whose targets they are.
        """
        model, there = self.model, batch["target_items"] != 0  # [batch, targets]
        error = (outputs.scores.rating - told.rating) / model.statistics.deviation
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(told.click, outputs.scores.click_logit)
        losses = {
            "rating_loss": mean_where(error**2, there),
            "click_loss": mean_where(entropy, there),
        }
        if isinstance(model, Indexed) and told.next_items is not None:
            log_shares = model.next_item_log_shares(outputs)  # [batch, items + 1]
            entropy = -tf.reduce_sum(told.next_items * log_shares, axis=1)  # [batch]
            losses["next_item_loss"] = replicas.weighted_mean(entropy, tf.ones_like(entropy))
        return {name: tf.convert_to_tensor(loss) for name, loss in losses.items()}


def with_drawn_items(batch: Batch, known: tf.Tensor, count: int, seed: tf.Tensor) -> Batch:
    """Put drawn items without labels behind a batch's targets.

    Args:
        batch: of `ssrec_tf.batching`.
        known: bool [items + 1], which items train has; they are drawn evenly.
        count: draws for each behaviour, met when the newest target is; one that hits the
            history or a target becomes padding.
        seed: int64 [2]; the draws hang on nothing else.

    Returns:
        The batch with `targets + count` targets.
    """
    items = tf.cast(tf.where(known)[:, 0], tf.int32)  # [known items]
    targets = batch["target_items"]
    own = replicas.fold_in(seed, 1)
    shape = [tf.shape(targets)[0], count]
    places = replicas.uniform_rows(shape, own, 0, tf.shape(items)[0], tf.int32)
    drawn = tf.gather(items, places)  # [batch, count]
    seen = tf.concat([batch["history_items"], targets], axis=1)  # [batch, history + targets]
    hit = tf.reduce_any(drawn[:, :, None] == seen[:, None, :], axis=2)  # [batch, count]
    newest = tf.reduce_max(batch["target_times"], axis=1, keepdims=True)  # [batch, 1]
    nothing = {
        "target_items": tf.where(hit, 0, drawn),
        "target_times": tf.repeat(newest, count, axis=1),
        "target_ratings": tf.fill(shape, float("nan")),
        "target_clicks": tf.fill(shape, float("nan")),
        "target_rows": tf.fill(shape, tf.constant(-1, tf.int64)),
        "target_peers": tf.zeros(shape),
    }
    wide = {name: tf.concat([batch[name], more], axis=1) for name, more in nothing.items()}
    return {**batch, **wide}


def first_targets(outputs: Outputs, count: tf.Tensor) -> Outputs:
    """Leave out all but the first `count` targets."""
    scores = PairScores(*(part[:, :count] for part in outputs.scores))
    vectors = None if outputs.vectors is None else outputs.vectors[:, :count]
    return outputs._replace(scores=scores, vectors=vectors)
