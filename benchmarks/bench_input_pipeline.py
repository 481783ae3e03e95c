"""The input pipeline: examples a second assembled from records and the token table."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import tensorflow as tf

from benchmarks.command import main
from benchmarks.measuring import interleave, timed
from benchmarks.ours import World, pairs_of
from benchmarks.results import Comparison, Fact, Result, Wanted, rates
from benchmarks.torch_side import NAMES, TorchSide
from benchmarks.trace_input import step_split
from ssrec_tf.batching import Batch, BatchConfig, train_batches

OURS = "ours, history of 20"
LONG = "ours, history of 512"


def measure(quick: bool) -> Result:
    """Count targets a second, each with its item's tokens and those of its history."""
    count, rounds = (3, 2) if quick else (60, 5)
    with tempfile.TemporaryDirectory() as name, TorchSide() as torch:
        folder = Path(name)
        world = World.make(folder)
        (folder / "bert").mkdir()
        bert = torch.fresh_folder(folder / "bert", list(world.text.vocabulary.words))
        rows = world.write_rows(folder / "steps.json", world.steps(4, 4, 20))
        torch.load(bert, rows, 1e-4)
        sides = {
            OURS: timed(assembled(world, history=20, count=count)),
            LONG: timed(assembled(world, history=512, count=count)),
            NAMES["classic"]: torch.workers["classic"].alternative("read", steps=2),
        }
        runs = interleave(sides, rounds=rounds)
        split = step_split(world, folder / "trace", steps=3 if quick else 20)
    by_second = rates(runs[OURS], "wall")
    return Result(
        name="input_pipeline",
        title="Input pipeline",
        text=f"""
MovieLens-100k, batches of 32 users and up to 64 targets each, drawn anew, parsed, padded, and
joined with the token table. An example is a target with its item's tokens and those of its history.
*{NAMES["classic"]}*: the `DataLoader` over a `Dataset` that tokenizes in `__getitem__`. The wait
is read from a TensorBoard profiler trace of the default recommender's train steps
(`python -m benchmarks.trace_input LOGDIR` writes one to open).""",
        unit="examples",
        runs=runs,
        comparisons=[Comparison(OURS, NAMES["classic"])],
        facts=[
            Fact(
                "examples a second, both cores",
                median(by_second),
                "",
                Wanted(at_least=200_000),
                min(by_second),
                max(by_second),
            ),
            Fact("a train step", split.step * 1e3, "ms"),
            Fact("of it waiting for input", split.share, "", Wanted(at_most=0.05)),
        ],
    )


def assembled(world: World, *, history: int, count: int) -> Callable[[], int]:
    """Take `count` batches a call, with tokens looked up; gives their targets."""
    sizes = BatchConfig(32, history, 64, past_only=False)
    items = tf.constant(world.text.item_tokens)  # [items + 1, item width]

    def joined(step: tf.Tensor, batch: Batch) -> tuple[Batch, tf.Tensor, tf.Tensor]:
        names = ("history_items", "target_items")
        history, target = (tf.gather(items, batch[name]) for name in names)
        return batch, history, target

    batches = train_batches(world.examples, sizes, seed=7)
    found: Iterator[tuple[Batch, tf.Tensor, tf.Tensor]] = iter(
        batches.map(joined, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)
    )

    def work() -> int:
        return sum(pairs_of(next(found)[0]) for _ in range(count))

    return work


if __name__ == "__main__":
    sys.exit(main(measure))
