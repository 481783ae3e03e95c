"""What a train step waits for: `python -m benchmarks.trace_input LOGDIR` writes a trace.

Open it with `tensorboard --logdir LOGDIR` (and its profile plugin).
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from benchmarks.ours import Stepper, World
from ssrec_tf import learning
from ssrec_tf.batching import BatchConfig, train_batches
from ssrec_tf.recommenders import Recommender

_STEP, _WAIT = "train_step", "wait_for_input"


@dataclass(frozen=True)
class StepSplit:
    """Mean seconds of a train step, and the share of it that waits for the next batch."""

    step: float
    share: float


def step_split(world: World, folder: Path, *, steps: int) -> StepSplit:
    """Profile train steps of the default recommender on its own input.

    Args:
        world: of MovieLens-100k.
        folder: the trace is written there, as TensorBoard reads it.
        steps: that are profiled; as many go before.
    """
    side = two_level(world, steps=300, history=512)
    sizes = BatchConfig(32, 512, 64, past_only=False)
    batches = iter(train_batches(world.examples, sizes, seed=7))
    for number in range(2 * steps):
        if number == steps:
            tf.profiler.experimental.start(str(folder))
        with tf.profiler.experimental.Trace(_STEP, step_num=number, _r=1):
            with tf.profiler.experimental.Trace(_WAIT):
                _, batch = next(batches)
            loss = side.step(batch, tf.constant([7, number], tf.int64))
            float(loss)  # waits for the step
    tf.profiler.experimental.stop()
    return read_trace(folder)


def two_level(world: World, *, steps: int, history: int, xla: bool = False) -> Stepper[Recommender]:
    """The default recommender with its own optimizer, its item vectors stored."""
    train = world.config.train
    config = replace(train, max_history=history, loop=replace(train.loop, xla=xla))
    encoder = learning.create_encoder(world.config.encoder, world.text, seed=7)
    model = learning.make_recommender(encoder, world.text, world.statistics, config)
    model.encoder.trainable = False
    model.store_items()
    learning.store_behaviour(model, world.examples)
    return Stepper(model, config, [], steps)


def read_trace(folder: Path) -> StepSplit:
    """Sum up a profiler's trace.

    Raises:
        FileNotFoundError: there is none in the folder.
    """
    found = sorted(folder.rglob("*.xplane.pb"))
    if not found:
        raise FileNotFoundError(f"{folder} holds no *.xplane.pb: write one first")
    space = xplane_pb2.XSpace.FromString(found[-1].read_bytes())
    seconds: dict[str, list[float]] = {_STEP: [], _WAIT: []}
    for plane in space.planes:
        names = {key: value.name for key, value in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                name = names.get(event.metadata_id, "").split("#")[0]
                if name in seconds:
                    seconds[name].append(event.duration_ps / 1e12)
    total, waited = sum(seconds[_STEP]), sum(seconds[_WAIT])
    return StepSplit(total / max(len(seconds[_STEP]), 1), waited / max(total, 1e-12))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        print(step_split(World.make(Path(made)), Path(sys.argv[1]), steps=20))
