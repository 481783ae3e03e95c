"""Our side of the training benchmarks: the data, the same steps as texts, and a train step."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import tensorflow as tf

from benchmarks.measuring import ROOT
from ssrec_tf import datasets
from ssrec_tf.batching import Batch, BatchConfig, evaluation_batches, train_batches
from ssrec_tf.config import PretrainConfig, RunConfig, TrainConfig, load_config
from ssrec_tf.examples import write_examples
from ssrec_tf.optimizers import make_optimizer
from ssrec_tf.precision import computing_in
from ssrec_tf.recommenders import Recommender
from ssrec_tf.rendering import format_number
from ssrec_tf.splits import Split, make_split
from ssrec_tf.statistics import LabelStatistics
from ssrec_tf.tables import Tables
from ssrec_tf.text_table import TextTable
from ssrec_tf.training import Trainable

CONFIG = ROOT / "configs" / "movielens-100k.yaml"
Model = TypeVar("Model", bound=Trainable)


@dataclass(frozen=True)
class World:
    """MovieLens-100k, split at random, as texts and as examples in `folder`."""

    config: RunConfig
    tables: Tables
    split: Split
    text: TextTable
    statistics: LabelStatistics
    examples: Path

    @classmethod
    def make(cls, folder: Path, huggingface: str | None = None) -> World:
        """Render, tokenize by a BERT folder's words (or by trained ones), write examples."""
        config = load_config(CONFIG)
        tables = datasets.load("movielens-100k")
        split = make_split(tables, config.split)
        text = TextTable.build(tables, split, replace(config.text, huggingface=huggingface))
        write_examples(tables, split, folder / "examples", max_targets=16)
        statistics = LabelStatistics.of(tables, split.train)
        return cls(config, tables, split, text, statistics, folder / "examples")

    def rows(self, batch: Batch) -> list[list[Any]]:
        """Write a batch's pairs as (behaviour, item, standardized rating) texts.

        The behaviour is the user's text and the history, oldest first, each event its rating
        and its item's text, as the joint reading has it in tokens.
        """
        made: list[list[Any]] = []
        arrays = {name: value.numpy() for name, value in batch.items()}
        for row, user in enumerate(arrays["user"]):
            events = [self.text.user_texts[user - 1]]
            rated = zip(arrays["history_items"][row], arrays["history_ratings"][row], strict=True)
            for item, rating in rated:
                if item:
                    events.append(f"{format_number(float(rating))} {self._title(item)}")
            asked = zip(arrays["target_items"][row], arrays["target_ratings"][row], strict=True)
            for item, rating in asked:
                if item:
                    label = (float(rating) - self.statistics.mean) / self.statistics.deviation
                    made.append([" ".join(events), self._title(item), label])
        return made

    def _title(self, item: int) -> str:
        return self.text.item_texts[item - 1]

    def steps(self, count: int, users: int, history: int, targets: int = 16) -> list[Batch]:
        """Draw the first batches of a training."""
        sizes = BatchConfig(users, history, targets, past_only=False)
        return [batch for _, batch in train_batches(self.examples, sizes, seed=7).take(count)]

    def valid(self, count: int, history: int) -> list[Batch]:
        """The first batches of the valid part, of about `count` rows."""
        sizes = BatchConfig(16, history, 16, past_only=False)
        found, rows = [], 0
        for batch in evaluation_batches(self.examples, "valid", sizes):
            found.append(batch)
            rows += pairs_of(batch)
            if rows >= count:
                break
        return found

    def write_rows(self, path: Path, batches: Sequence[Batch], *, flat: bool = False) -> Path:
        """Write batches' rows as JSON, a list a batch, or one list of all."""
        rows = [self.rows(batch) for batch in batches]
        path.write_text(json.dumps([row for some in rows for row in some] if flat else rows))
        return path


def pairs_of(batch: Batch) -> int:
    """How many targets a batch has."""
    return int(np.count_nonzero(batch["target_items"].numpy()))


class Stepper(Generic[Model]):
    """Train steps over given batches, as `ssrec_tf.training` makes them.

    Args:
        model: built.
        config: of its optimizer, the numbers' type and whether XLA compiles the step.
        batches: taken one after another, from the first again after the last.
        steps: over which the learning rate falls.
    """

    def __init__(
        self,
        model: Model,
        config: TrainConfig | PretrainConfig,
        batches: Sequence[Batch],
        steps: int,
    ) -> None:
        """Make the optimizer and its slots."""
        self.model, self.batches, self.loop = model, batches, config.loop
        self.optimizer = make_optimizer(config.optimizer, steps)
        self.optimizer.build(model.trainable_variables)
        self.step = tf.function(self._step, jit_compile=config.loop.xla or None)
        self.losses: list[float] = []

    def _step(self, batch: Batch, seed: tf.Tensor) -> tf.Tensor:
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            losses = self.model.losses_of(batch, seed=seed, training=True)
        gradients = tape.gradient(losses["loss"], variables)
        if tf.math.is_finite(tf.linalg.global_norm(gradients)):  # AutoGraph: a tf.cond
            self.optimizer.apply(gradients, variables)
        return losses.get("rating_loss", losses["loss"])

    def run(self, steps: int) -> Callable[[], int]:
        """Make `steps` updates a call, and give their pairs."""

        def work() -> int:
            pairs = 0
            with computing_in(self.loop.compute_dtype, compiled=self.loop.xla):
                for _ in range(steps):
                    number = len(self.losses)
                    batch = self.batches[number % len(self.batches)]
                    loss = self.step(batch, tf.constant([7, number], tf.int64))
                    self.losses.append(float(loss))
                    pairs += pairs_of(batch)
            return pairs

        return work


def squared_error(side: Stepper[Recommender], batches: Sequence[Batch]) -> float:
    """Mean squared error of batches' targets, in variances of the ratings.

    By the mean of the weights, where the optimizer keeps one: the last thing to be asked.
    """
    model = side.model
    if side.optimizer.use_ema:
        side.optimizer.finalize_variable_values(model.trainable_variables)
    total = rows = 0.0
    score = tf.function(lambda batch: model.scores_of(batch).rating, reduce_retracing=True)
    for batch in batches:
        truth = batch["target_ratings"].numpy()
        there = ~np.isnan(truth)
        error = (score(batch).numpy() - truth)[there] / model.statistics.deviation
        total, rows = total + float(np.sum(error**2)), rows + there.sum()
    return total / rows
