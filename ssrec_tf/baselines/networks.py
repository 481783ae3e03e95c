"""How the small Keras networks are fitted: seeded, and stopped early on a slice of train.

Every draw has a seed of its own and Keras' global one is left alone, so two fits agree
to the bit and nothing else in the process is drawn differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Arrays = Mapping[str, np.ndarray]
_MIN_HELD = 8  # fewer rows than these tell nothing


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a network is trained.

    Attributes:
        epochs: At most so many passes over the kept rows.
        batch_size: Rows of a step.
        learning_rate: Of Adam.
        patience: Epochs without a better one after which it stops.
        held_out: Share of the rows that only tell when to stop.
        seed: Of the shuffles and of what is held out.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    patience: int = 3
    held_out: float = 0.05
    seed: int = 0


def hold_out(rows: int, schedule: Schedule) -> tuple[np.ndarray, np.ndarray]:
    """Draw the rows that only tell when to stop: bool masks of the kept and the held, [rows].

    With too few rows to tell anything none is held.
    """
    held = np.zeros(rows, bool)
    count = round(rows * schedule.held_out)
    if count >= _MIN_HELD:
        held[np.random.default_rng(schedule.seed).permutation(rows)[:count]] = True
    return ~held, held


def train_network(
    network: keras.Model,
    kept: tuple[Any, ...],
    held: tuple[Any, ...] | None,
    schedule: Schedule,
    *,
    loss: Callable[..., Any],
) -> None:
    """Train, and leave the weights of the epoch that was best on what is held out.

    Args:
        network: Built from layers whose seeds are given.
        kept: Inputs (an array or a dict of them) and targets, rows first.
        held: Likewise; None where nothing is held: all epochs are then run.
        schedule: See `Schedule`.
        loss: (targets, outputs) -> [batch, ...]. What is watched is its mean over the held
            rows, without the penalties that a layer may add.
    """
    network.compile(
        keras.optimizers.Adam(schedule.learning_rate),
        loss=loss,
        metrics=[keras.metrics.MeanMetricWrapper(loss, name="held")],
        jit_compile=False,  # on a CPU it takes longer to compile than it saves
    )
    watch = keras.callbacks.EarlyStopping(
        "val_held", patience=schedule.patience, mode="min", restore_best_weights=True
    )
    count = len(tf.nest.flatten(kept)[0])
    network.fit(
        _batches(kept, schedule, count),
        epochs=schedule.epochs,
        steps_per_epoch=-(-count // schedule.batch_size),
        shuffle=False,  # the order is `_batches`' own
        validation_data=None if held is None else _in_order(held, schedule.batch_size),
        callbacks=[] if held is None else [watch],
        verbose=0,
    )


def apply_network(network: keras.Model, parts: Iterable[Arrays]) -> np.ndarray:
    """Return what the trained network makes of inputs given part by part: float32 [rows, ...]."""
    return np.concatenate([network.predict_on_batch(dict(part)) for part in parts])


def _batches(arrays: tuple[Any, ...], schedule: Schedule, count: int) -> tf.data.Dataset:
    """Batches of all epochs, one after another; an epoch's order follows from (seed, epoch)."""
    constants = tf.nest.map_structure(tf.constant, arrays)

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        # Not `Dataset.shuffle`, whose seed is mixed with TensorFlow's global one.
        seed = tf.stack([schedule.seed, number])
        order = tf.random.experimental.stateless_shuffle(tf.range(count), seed=seed)
        return tf.data.Dataset.from_tensor_slices(order).batch(schedule.batch_size)

    rows = tf.data.Dataset.range(schedule.epochs, output_type=tf.int32).flat_map(epoch)
    return rows.map(lambda some: _rows_of(constants, some)).prefetch(1)


def _in_order(arrays: tuple[Any, ...], size: int) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(arrays).batch(size)


def _rows_of(arrays: Any, rows: tf.Tensor) -> Any:
    return tf.nest.map_structure(lambda array: tf.gather(array, rows), arrays)
