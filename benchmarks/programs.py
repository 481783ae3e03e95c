"""Train steps as the programs that XLA is given: `python -m benchmarks.programs FOLDER`.

What `train.loop.xla: true` compiles is written out, with the weights and batches of a few
steps and the losses they have here. `benchmarks.accelerator` runs it on a chip whose machine
needs no TensorFlow, and compiles it for one that is not there.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.accelerator import drawn_weights
from benchmarks.bench_devices import pretraining
from benchmarks.bench_training import HISTORY, RATE, make_stepper
from benchmarks.ours import Stepper, World, pairs_of
from benchmarks.results import head_commit
from benchmarks.trace_input import two_level
from ssrec_tf.batching import Batch
from ssrec_tf.config import EncoderConfig
from ssrec_tf.precision import computing_in
from ssrec_tf.published import MINILM, bert_folder

STEPS = 4
_LARGE = 2**17  # weights of as many numbers are drawn on both sides instead of being carried


def main() -> int:
    """Write the programs of all train steps, and the pairs of the joint one as texts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="few users, a small BERT")
    parsed = parser.parse_args()
    folder: Path = parsed.folder
    folder.mkdir(parents=True, exist_ok=True)
    index: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for task, side in _sides(Path(name), folder, quick=parsed.quick).items():
            # A CPU without instructions for it would take an hour over bfloat16.
            losses = 0 if side.loop.compute_dtype == "bfloat16" else 2
            index[task] = write_program(side, folder / f"{len(index)}", losses)
            print(f"{task}: {index[task]['pairs']} pairs in {STEPS} steps", flush=True)
    whole = {"commit": head_commit(), "rate": RATE, "programs": index}
    (folder / "programs.json").write_text(json.dumps(whole, indent=1))
    return 0


def _sides(work: Path, folder: Path, *, quick: bool) -> Mapping[str, Stepper[Any]]:
    """The train steps of `bench_devices`, of as many users as a chip has room for."""
    users, joint_users = (8, 2) if quick else (256, 64)
    own = World.make(work / "own")
    texts = _alike(own.steps(3 * STEPS, users, 128, targets=1))
    levels = two_level(own, steps=300, history=512, xla=True)
    levels.batches = _alike(own.steps(3 * STEPS, users, 512, targets=64))
    found: dict[str, Stepper[Any]] = {
        "masked tokens": pretraining(own, texts, compiled=True),
        "two-level reading": levels,
    }
    large = EncoderConfig(huggingface=None if quick else str(bert_folder(MINILM)), dropout=0.0)
    bert = World.make(work / "bert", large.huggingface)
    batches = _alike(bert.steps(3 * STEPS, joint_users, HISTORY))
    bert.write_rows(folder / "steps.json", batches)
    (folder / "vocab.txt").write_text("\n".join(bert.text.vocabulary.words) + "\n")
    for dtype in ("float32", "bfloat16"):
        found[f"joint reading, {dtype}"] = make_stepper(
            bert, large, batches, shared=16, dtype=dtype, dropout=0.0, xla=True
        )
    return found


def _alike(batches: list[Batch]) -> list[Batch]:
    """The first batches whose histories are as long as the first's: a program has one shape."""
    length = batches[0]["history_items"].shape[1]
    return [one for one in batches if one["history_items"].shape[1] == length][:STEPS]


def write_program(side: Stepper[Any], stem: Path, losses: int) -> dict[str, Any]:
    """Write a step's program to STEM.hlo, what it reads to STEM.npz; take `losses` steps here.

    The parameters of the program are the tensors of the batch, the seed, then what the step
    captures, in the order of the traced function. `p3` is parameter 3, `b1_3` that of the
    second batch, where it is another.

    Returns:
        How the files are to be read: parameters that are drawn (a seed and a shape),
        how many belong to the batch, the pairs of the steps, and the losses of the first.

    Raises:
        ValueError: the step was traced with its inputs in another order.
    """
    inputs = [_inputs(side, number) for number in range(len(side.batches))]
    with computing_in(side.loop.compute_dtype, compiled=True):
        concrete = side.step.get_concrete_function(*inputs[0])
        compiled = side.step.experimental_get_compiler_ir(*inputs[0])
        stem.with_suffix(".hlo").write_bytes(compiled(stage="hlo_serialized"))
    variables = {id(variable.handle): variable for variable in concrete.variables}
    drawn = _draw(side.model.trainable_variables)
    batches = [[tensor.numpy() for tensor in tf.nest.flatten(one)] for one in inputs]
    captured = [variables.get(id(tensor), tensor) for tensor in concrete.captured_inputs]
    arrays = dict(enumerate([*batches[0], *(tensor.numpy() for tensor in captured)]))
    expected = [
        (tuple(tensor.shape), tensor.dtype) for tensor in concrete.inputs[: len(batches[0])]
    ]
    if expected != [(array.shape, tf.as_dtype(array.dtype)) for array in batches[0]]:
        raise ValueError(f"{stem.name}: the step's inputs are {expected}")
    start = len(batches[0])
    kept = {
        f"p{number}": array
        for number, array in arrays.items()
        if number < start or id(captured[number - start]) not in drawn
    }
    for number, batch in enumerate(batches[1:], 1):
        kept |= {f"b{number}_{place}": array for place, array in enumerate(batch)}
    np.savez_compressed(stem.with_suffix(".npz"), **kept)
    side.run(losses)()
    return {
        "stem": stem.name,
        "parameters": len(arrays),
        "batch": start,
        "drawn": {
            start + place: drawn[id(tensor)]
            for place, tensor in enumerate(captured)
            if id(tensor) in drawn
        },
        "pairs": [pairs_of(batch) for batch in side.batches],
        "losses": side.losses,
    }


def _inputs(side: Stepper[Any], number: int) -> tuple[Any, tf.Tensor]:
    return side.batches[number], tf.constant([7, number], tf.int64)


def _draw(weights: list[Any]) -> dict[int, dict[str, Any]]:
    """Draw large weights anew; tell by the id of each how."""
    drawn: dict[int, dict[str, Any]] = {}
    for weight in weights:
        shape = list(weight.shape)
        if np.prod(shape) >= _LARGE:
            weight.assign(drawn_weights(len(drawn), shape))
            drawn[id(weight.value)] = {"seed": len(drawn), "shape": shape}
    return drawn


if __name__ == "__main__":
    sys.exit(main())
