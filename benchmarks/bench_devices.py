"""Train steps as they are and compiled by XLA, on whatever device TensorFlow finds."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.bench_training import HISTORY, USERS, make_stepper
from benchmarks.command import main
from benchmarks.measuring import interleave, timed
from benchmarks.ours import Stepper, World
from benchmarks.results import Comparison, Fact, Result
from benchmarks.trace_input import two_level
from ssrec_tf import learning
from ssrec_tf.batching import Batch
from ssrec_tf.config import EncoderConfig
from ssrec_tf.objectives import make_objective
from ssrec_tf.published import MINILM, bert_folder

MASKED, TWO_LEVEL, JOINT = TASKS = ("masked tokens", "two-level reading", "joint reading")
BFLOAT, COMPILED = "joint reading, bfloat16", "{}, compiled"


def measure(quick: bool) -> Result:
    """Take the same steps both ways, in turns, and compare their losses."""
    with tempfile.TemporaryDirectory() as name:
        steps = 2 if quick else 4
        sides: dict[str, Stepper[Any]] = {}
        own = World.make(Path(name) / "own")
        # Compiled sequences are padded to one length: dropout would draw otherwise for them.
        published = None if quick else str(bert_folder(MINILM))
        encoder = EncoderConfig(huggingface=published, dropout=0.0)
        bert = own if quick else World.make(Path(name) / "bert", encoder.huggingface)
        # Drawn once for both ways: of shuffling, the global seed is a part.
        batches = {
            MASKED: own.steps(steps, own.config.pretrain.loop.batch_size, 128, targets=1),
            TWO_LEVEL: own.steps(steps, 32, 512, targets=64),
            JOINT: bert.steps(steps, USERS, HISTORY),
        }
        for compiled in (False, True):
            for task, stepper in _steppers(own, bert, encoder, batches, compiled).items():
                sides[COMPILED.format(task) if compiled else task] = stepper
        alternatives = {name: timed(side.run(steps)) for name, side in sides.items()}
        first = {name: run().wall for name, run in alternatives.items()}  # which warms up, too
        runs = interleave(alternatives, rounds=2 if quick else 5, warm_up=0)
    return Result(
        name="devices",
        title="Compiled by XLA",
        text=_text(),
        unit="pairs",
        runs=runs,
        comparisons=[
            *(Comparison(COMPILED.format(task), task, None, "wall") for task in TASKS),
            Comparison(BFLOAT, JOINT, None, "wall"),
        ],
        facts=[
            Fact(f"first {steps} steps of {name}, traced (and compiled)", seconds, "s")
            for name, seconds in first.items()
        ],
        checks={
            f"{task}: losses of the first {steps} steps, to 1e-5": _same(sides, task)
            for task in TASKS
        },
    )


def _steppers(
    own: World,
    bert: World,
    encoder: EncoderConfig,
    batches: Mapping[str, list[Batch]],
    compiled: bool,
) -> Mapping[str, Stepper[Any]]:
    """Every task's train step over its own batches, which all runs repeat."""

    def joint(dtype: str) -> Stepper[Any]:
        return make_stepper(
            bert, encoder, batches[JOINT], shared=16, dtype=dtype, dropout=0.0, xla=compiled
        )

    side = two_level(own, steps=300, history=512, xla=compiled)
    side.batches = batches[TWO_LEVEL]
    masked = pretraining(own, batches[MASKED], compiled)
    found = {MASKED: masked, TWO_LEVEL: side, JOINT: joint("float32")}
    # Compiled, it is for other chips: `accelerator` has it.
    return found if compiled else {**found, BFLOAT: joint("bfloat16")}


def pretraining(world: World, batches: list[Batch], compiled: bool) -> Stepper[Any]:
    """Masked tokens of the main configuration, without dropout."""
    config = world.config.pretrain
    config = replace(config, loop=replace(config.loop, xla=compiled))
    undropped = replace(world.config.encoder, dropout=0.0)  # Keras draws otherwise under XLA
    encoder = learning.create_encoder(undropped, world.text, seed=7)
    objective = make_objective(encoder, world.text, config)
    objective.losses_of(batches[0], seed=tf.zeros([2], tf.int64), training=False)  # the weights
    return Stepper(objective, config, batches, 1000)


def _same(sides: Mapping[str, Stepper[Any]], task: str) -> bool:
    # Later, rounding grows: the same few batches are learnt by heart.
    plain, compiled = (
        sides[name].losses[: len(sides[name].batches)] for name in (task, COMPILED.format(task))
    )
    return bool(np.allclose(plain, compiled, atol=1e-5, rtol=1e-5))


def _text() -> str:
    devices = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(d).get("device_name", "?") for d in devices]
    return f"""
Device: {", ".join(names) if names else "CPU, no other is found"}. `train.loop.xla: true` beside
`false`: the same steps from the same weights, without dropout. *masked tokens* and *two-level
reading* are those of `configs/movielens-100k.yaml`, the *joint reading* that of the section above
with 16 targets a sequence. A pair is a target, of masked tokens a user's text."""


if __name__ == "__main__":
    sys.exit(main(measure))
