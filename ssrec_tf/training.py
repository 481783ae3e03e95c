"""One loop for pretraining and fine-tuning.

The loop is our own, over `strategy.run`, for two reasons: it can stop and start at any
step (order, draws and masks are functions of (seed, step), the rest is in the
checkpoint), and it works under every `tf.distribute` strategy, where Keras' `fit`
does not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from ssrec_tf import storage
from ssrec_tf.adversarial import FastGradient, gradients_of
from ssrec_tf.batching import Batch
from ssrec_tf.config import LoopConfig, OptimizerConfig
from ssrec_tf.errors import NonFiniteError
from ssrec_tf.optimizers import computing_in, make_optimizer


class Trainable(Protocol):
    """What the loop trains: an objective or a recommender."""

    @property
    def trainable_variables(self) -> list[Any]: ...  # noqa: D102

    @property
    def variables(self) -> list[Any]: ...  # noqa: D102

    def losses_of(self, batch: Batch, *, seed: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Losses of a batch with its references.

        Args:
            batch: of `ssrec_tf.batching`.
            seed: int64 [2], (run seed, step): what is drawn depends on nothing else.
            training: whether dropout is on.

        Returns:
            Scalars: `loss`, which is minimised, and its parts.
        """


@dataclass(frozen=True)
class Validation:
    """How the loop judges: `measure()` gives metrics, the lowest `monitor` is the best."""

    measure: Callable[[], Mapping[str, float]]
    monitor: str = "loss"


@dataclass
class TrainState:
    """What a checkpoint holds beside the weights."""

    step: int = 0
    best: float = float("inf")
    best_step: int = 0
    stale: int = 0
    curve: list[dict[str, float | str]] = field(default_factory=list)


Observer = Callable[[int, tf.summary.SummaryWriter], None]
_OFF = FastGradient()


def train(
    model: Trainable,
    batches: Callable[[int], tf.data.Dataset],
    *,
    config: LoopConfig,
    optimizer: OptimizerConfig,
    validation: Validation,
    workdir: Path,
    name: str,
    observer: Observer | None = None,
    adversarial: FastGradient = _OFF,
) -> TrainState:
    """Train until `config.steps`, or until `config.patience` evaluations bring nothing.

    Killed at any step and called again with the same arguments, it goes on from the last
    checkpoint to bit-equal weights. At the end the model holds the best weights by
    `validation.monitor`.

    Args:
        model: built: all its variables exist.
        batches: from a start step to a dataset of (step, batch).
        config: lengths and the seed.
        optimizer: of AdamW.
        validation: measured every `config.evaluate_every` steps.
        workdir: checkpoints, TensorBoard logs and `curve.json`.
        name: shown on the progress bar.
        observer: called after each validation with the step and a summary writer.
        adversarial: what to train against beside the batches, if anything.

    Returns:
        The final state with the learning curve.

    Raises:
        NonFiniteError: the loss or a gradient is NaN or infinite; the step is not applied
            and the last checkpoint stays as it is.
    """
    loop = _Loop(model, config, optimizer, workdir, adversarial)
    state = loop.restore()
    if state.step < config.steps and state.stale < config.patience:
        with computing_in(config.compute_dtype):
            loop.run(state, batches(state.step), validation, name, observer)
    loop.restore_best()
    storage.atomic_write_text(workdir / "curve.json", json.dumps(state.curve))
    return state


def not_trained(workdir: Path) -> TrainState:
    """Leave in `workdir` what `train` leaves, for a model that stays as it is."""
    storage.atomic_write_text(workdir / "curve.json", "[]")
    with storage.storage_errors(workdir):
        (workdir / "tensorboard").mkdir(exist_ok=True)
    return TrainState()


class _Loop:
    """The pieces of one training: the compiled step, the checkpoints, the writer."""

    def __init__(
        self,
        model: Trainable,
        config: LoopConfig,
        optimizer: OptimizerConfig,
        workdir: Path,
        adversarial: FastGradient,
    ) -> None:
        self.model, self.config, self.workdir = model, config, workdir
        self.adversarial = adversarial
        self.strategy = tf.distribute.get_strategy()
        self.optimizer = make_optimizer(optimizer, config.steps)
        self.optimizer.build(model.trainable_variables)
        self.step_function = tf.function(self._distributed_step)
        self.weights = [variable.value for variable in model.variables]
        slots = [variable.value for variable in self.optimizer.variables]
        self.meta = tf.Variable("", dtype=tf.string)
        self.checkpoint = tf.train.Checkpoint(weights=self.weights, slots=slots, meta=self.meta)
        self.latest = tf.train.CheckpointManager(self.checkpoint, str(workdir / "latest"), 2)
        best = tf.train.Checkpoint(weights=self.weights)
        self.best = tf.train.CheckpointManager(best, str(workdir / "best"), 2)

    def restore(self) -> TrainState:
        """Go back to the last checkpoint, or to the very start."""
        with storage.storage_errors(self.workdir):
            self.workdir.mkdir(parents=True, exist_ok=True)
        if self.latest.latest_checkpoint is None:
            return TrainState()
        self.checkpoint.restore(self.latest.latest_checkpoint).assert_consumed()
        return TrainState(**json.loads(self.meta.numpy().decode()))

    def restore_best(self) -> None:
        """Put the best weights into the model."""
        if self.best.latest_checkpoint is not None:
            self.best.checkpoint.restore(self.best.latest_checkpoint).assert_consumed()

    def run(
        self,
        state: TrainState,
        batches: tf.data.Dataset,
        validation: Validation,
        name: str,
        observer: Observer | None,
    ) -> None:
        """Step, look up, save; the order of the three is what makes a resume exact."""
        config = self.config
        writer = tf.summary.create_file_writer(str(self.workdir / "tensorboard"))
        bar = tqdm(total=config.steps, initial=state.step, desc=name, mininterval=1.0)
        sums = _Means()
        with writer.as_default(), bar:
            for step, batch in _until(batches, config.steps):
                sums.add(self._checked_step(batch, step))
                state.step = step + 1
                bar.update()
                if state.step % config.evaluate_every == 0 or state.step == config.steps:
                    with self._averaged():
                        self._look_up(state, sums, validation, bar)
                    if observer is not None:
                        observer(state.step, writer)
                    writer.flush()
                done = state.step == config.steps or state.stale >= config.patience
                if done or state.step % config.checkpoint_every == 0:
                    self.meta.assign(json.dumps(vars(state)))
                    self.latest.save(checkpoint_number=state.step)
                if done:
                    break

    def _checked_step(self, batch: Batch, step: int) -> dict[str, float]:
        scalars = self.step_function(batch, tf.constant([self.config.seed, step], tf.int64))
        values = {key: float(value) for key, value in scalars.items()}
        if not values.pop("finite"):
            raise NonFiniteError(
                f"step {step}: loss={values['loss']} or a gradient is not finite; the last good "
                f"checkpoint is {self.latest.latest_checkpoint}; lower optimizer.learning_rate"
            )
        return values

    def _distributed_step(self, batch: Batch, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        scalars = self.strategy.run(self._step, args=(batch, seed))
        mean = tf.distribute.ReduceOp.MEAN
        return {k: self.strategy.reduce(mean, v, axis=None) for k, v in scalars.items()}

    def _step(self, batch: Batch, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Apply one update, unless something is not finite."""
        variables = self.model.trainable_variables

        def losses() -> dict[str, tf.Tensor]:
            return self.model.losses_of(batch, seed=seed, training=True)

        scalars, gradients = gradients_of(losses, variables, self.adversarial)
        norm = tf.linalg.global_norm(gradients)
        finite = tf.math.is_finite(norm) & tf.math.is_finite(scalars["loss"])
        if finite:  # AutoGraph: a tf.cond
            self.optimizer.apply(gradients, variables)
        return {**scalars, "gradient_norm": norm, "finite": tf.cast(finite, tf.float32)}

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Put the running mean of the weights in their place, for as long as one looks."""
        if not self.optimizer.use_ema:
            yield
            return
        kept = [tf.identity(weight) for weight in self.weights]
        self.optimizer.finalize_variable_values(self.model.trainable_variables)
        try:
            yield
        finally:
            for weight, value in zip(self.weights, kept, strict=True):
                weight.assign(value)

    def _look_up(self, state: TrainState, sums: _Means, validation: Validation, bar: Any) -> None:
        """Measure, write scalars, remember the best weights."""
        measured = {key: float(value) for key, value in validation.measure().items()}
        for phase, values in (("train", sums.take()), ("valid", measured)):
            for key, value in values.items():
                tf.summary.scalar(f"{phase}/{key}", value, step=state.step)
                row = {"step": state.step, "phase": phase, "metric": key, "value": value}
                state.curve.append(row)  # type: ignore[arg-type]
        monitored = measured[validation.monitor]
        bar.set_postfix({validation.monitor: f"{monitored:.4f}"})
        if monitored < state.best:
            state.best, state.best_step, state.stale = monitored, state.step, 0
            self.best.save(checkpoint_number=state.step)
        else:
            state.stale += 1


class _Means:
    """Running means of scalars since the last look."""

    def __init__(self) -> None:
        self._rows: list[dict[str, float]] = []
        self._since = time.monotonic()

    def add(self, values: dict[str, float]) -> None:
        self._rows.append(values)

    def take(self) -> dict[str, float]:
        """Give the means and begin anew."""
        rows, self._rows = self._rows, []
        if not rows:
            return {}
        seconds, self._since = time.monotonic() - self._since, time.monotonic()
        means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        return {**means, "steps_per_second": len(rows) / max(seconds, 1e-9)}


def _until(batches: tf.data.Dataset, steps: int) -> Iterator[tuple[int, Batch]]:
    for step, batch in batches:
        if int(step) >= steps:
            return
        yield int(step), batch
