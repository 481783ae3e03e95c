"""One loop for pretraining and fine-tuning.

The loop is our own, over `strategy.run`, for two reasons: it can stop and start at any
step (order, draws and masks are functions of (seed, step), the rest is in the
checkpoint), and it works under every `tf.distribute` strategy, where Keras' `fit`
does not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf
from tqdm import tqdm

from ssrec_tf import replicas, storage
from ssrec_tf.adversarial import FastGradient, gradients_of
from ssrec_tf.batching import Batch
from ssrec_tf.config import LoopConfig, OptimizerConfig
from ssrec_tf.errors import ConfigError, NonFiniteError
from ssrec_tf.optimizers import make_optimizer
from ssrec_tf.precision import computing_in
from ssrec_tf.train_state import Means, StateInCheckpoint
from ssrec_tf.train_state import TrainState as TrainState


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

    Under a `tf.distribute` strategy, in whose scope `model` was built, a batch is parted
    among the replicas; see `replicas`. Of several workers only the chief writes and judges.
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
        ConfigError: a batch cannot be parted among the replicas, or replicas accumulate.
        NonFiniteError: the loss or a gradient is NaN or infinite; the step is not applied
            and the last checkpoint stays as it is.
    """
    loop = _Loop(model, config, optimizer, workdir, adversarial)
    state = loop.restore()
    if state.step < config.steps and state.stale < config.patience:
        with computing_in(config.compute_dtype, compiled=config.xla):
            loop.run(state, batches(state.step), validation, name, observer)
    loop.restore_best()
    storage.atomic_write_text(workdir / "curve.json", json.dumps(state.curve))
    with storage.storage_errors(workdir):
        (workdir / "tensorboard").mkdir(exist_ok=True)
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
        self.is_chief = replicas.is_chief(self.strategy)
        _check_parts(config, optimizer, self.strategy)
        self.optimizer = make_optimizer(optimizer, config.steps)
        self.optimizer.build(model.trainable_variables)
        # A TPU's strategy compiles what it runs by itself.
        compiled = config.xla and self.strategy.num_replicas_in_sync == 1
        self.step_function = tf.function(
            self._distributed_step, jit_compile=compiled or None, autograph=False
        )
        self.weights = [variable.value for variable in model.variables]
        self.slots = [variable.value for variable in self.optimizer.variables]
        self.meta = StateInCheckpoint()
        self.checkpoint = tf.train.Checkpoint(
            weights=self.weights, slots=self.slots, meta=self.meta
        )
        self.latest = tf.train.CheckpointManager(self.checkpoint, str(workdir / "latest"), 2)
        best = tf.train.Checkpoint(weights=self.weights)
        self.best = tf.train.CheckpointManager(best, str(workdir / "best"), 2)
        for checkpoint in (self.checkpoint, best):
            # Made by the first save otherwise, which is the chief's alone: every worker must
            # take part in making a variable.
            _ = checkpoint.save_counter

    def restore(self) -> TrainState:
        """Go back to the last checkpoint, or to the very start."""
        with storage.storage_errors(self.workdir):
            self.workdir.mkdir(parents=True, exist_ok=True)
        if self.is_chief and self.latest.latest_checkpoint is not None:
            self.checkpoint.restore(self.latest.latest_checkpoint).assert_consumed()
        self._take_from_chief([*self.weights, *self.slots])
        return TrainState(**replicas.plain_from_chief(self.strategy, vars(self.meta.state)))

    def restore_best(self) -> None:
        """Put the best weights into the model."""
        if self.is_chief and self.best.latest_checkpoint is not None:
            self.best.checkpoint.restore(self.best.latest_checkpoint).assert_consumed()
        self._take_from_chief(self.weights)

    def _take_from_chief(self, variables: list[tf.Variable]) -> None:
        if replicas.is_alone(self.strategy):
            return
        values = replicas.from_chief(self.strategy, [v.numpy() for v in variables])
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

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
        logs = str(self.workdir / "tensorboard")
        no_writer = tf.summary.create_noop_writer
        writer = tf.summary.create_file_writer(logs) if self.is_chief else no_writer()
        bar = tqdm(total=config.steps, initial=state.step, desc=name, mininterval=1.0)
        sums = Means()
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
                if self.is_chief and (done or state.step % config.checkpoint_every == 0):
                    self.meta.state = state
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
        """Apply one update, unless something is not finite.

        The condition stands outside of the replicas, which may not meet within one.
        """
        parts, gradients = self.strategy.run(self._gradients, args=(batch, seed))
        mean = tf.distribute.ReduceOp.MEAN
        scalars = {k: self.strategy.reduce(mean, v, axis=None) for k, v in parts.items()}
        finite = tf.math.is_finite(scalars["gradient_norm"]) & tf.math.is_finite(scalars["loss"])
        apply = partial(self.strategy.run, self._apply, args=(gradients,))
        tf.cond(finite, apply, lambda: None)
        return {**scalars, "finite": tf.cast(finite, tf.float32)}

    def _gradients(
        self, batch: Batch, seed: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        """Scalars of this replica's rows; gradients of the whole batch, as all replicas have."""
        rows = replicas.own_rows(batch)

        def losses() -> dict[str, tf.Tensor]:
            return self.model.losses_of(rows, seed=seed, training=True)

        scalars, gradients = gradients_of(losses, self.model.trainable_variables, self.adversarial)
        gradients = replicas.mean(gradients)
        return {**scalars, "gradient_norm": tf.linalg.global_norm(gradients)}, gradients

    def _apply(self, gradients: list[tf.Tensor]) -> None:
        self.optimizer.apply(gradients, self.model.trainable_variables)

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

    def _look_up(self, state: TrainState, sums: Means, validation: Validation, bar: Any) -> None:
        """Measure, write scalars, remember the best weights."""
        measured = {key: float(value) for key, value in validation.measure().items()}
        measured = replicas.plain_from_chief(self.strategy, measured)
        for phase, values in (("train", sums.take()), ("valid", measured)):
            for key, value in values.items():
                tf.summary.scalar(f"{phase}/{key}", value, step=state.step)
                row = {"step": state.step, "phase": phase, "metric": key, "value": value}
                state.curve.append(row)
        monitored = measured[validation.monitor]
        bar.set_postfix({validation.monitor: f"{monitored:.4f}"})
        if monitored < state.best:
            state.best, state.best_step, state.stale = monitored, state.step, 0
            if self.is_chief:
                self.best.save(checkpoint_number=state.step)
        else:
            state.stale += 1


def _check_parts(
    config: LoopConfig, optimizer: OptimizerConfig, strategy: tf.distribute.Strategy
) -> None:
    """Refuse what the strategy cannot do."""
    parts = strategy.num_replicas_in_sync
    if optimizer.accumulate > 1 and parts > 1:
        raise ConfigError(
            f"optimizer.accumulate is {optimizer.accumulate}, but {parts} replicas share every "
            "update: set it to 1, and loop.batch_size to what they hold together"
        )
    if config.batch_size % parts:
        raise ConfigError(
            f"loop.batch_size is {config.batch_size}, which {parts} replicas cannot part: "
            f"give a multiple of {parts}"
        )
    is_tpu = isinstance(strategy, tf.distribute.TPUStrategy)
    if is_tpu and not config.xla:
        raise ConfigError("loop.xla is false, but a TPU runs nothing else: set it to true")
    if config.xla and parts > 1 and not is_tpu:
        raise ConfigError(
            "loop.xla is true, but TensorFlow compiles no step of several replicas on CPU or "
            "GPU: set it to false, or devices.strategy to one"
        )


def _until(batches: tf.data.Dataset, steps: int) -> Iterator[tuple[int, Batch]]:
    for step, batch in batches:
        if int(step) >= steps:
            return
        yield int(step), batch
