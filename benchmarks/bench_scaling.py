"""How ingest, example generation and an epoch of input grow with the log."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any

from benchmarks.command import main
from benchmarks.measuring import run_alone
from benchmarks.results import Curve, Fact, Result, Wanted

TASKS = {"ingest": "Ingest", "examples": "Example generation", "epoch": "An epoch of input"}
LARGEST = "BENCH_ROWS"


def measure(quick: bool) -> Result:
    """Run each task on each size in a process of its own."""
    largest = int(float(os.environ.get(LARGEST, "1e6")))
    sizes = [5_000, 10_000, 20_000] if quick else sizes_to(largest)
    found: dict[str, list[tuple[float, float, int | None]]] = {task: [] for task in TASKS}
    texts = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            task_alone("generate", folder, str(size))
            for task in TASKS:
                alone = task_alone(task, folder)
                found[task].append((float(size), alone.output["cpu"], alone.output["peak"]))
                if task == "examples":
                    texts.append(alone.output["text_seconds"])
    said = ", ".join(f"{seconds:.1f}" for seconds in texts)
    return Result(
        name="scaling",
        title="Growth with the log",
        text=f"""
A synthetic log (`benchmarks/synthetic.py`): an item for 60 rows, a user for 100, Zipf's law for
words, items and users, Parquet in. Each size of each task is a process of its own; seconds are
CPU-seconds of the task, without Python's start, and the peak is that of the process.
`{LARGEST}=1e7` adds a size. Of example generation {said} s are the texts: the word pieces are
learnt anew at every size.""",
        curves=[
            Curve(label, "rows", found[task], Wanted(at_most=1.05)) for task, label in TASKS.items()
        ],
        facts=_memory(found["ingest"]),
    )


def sizes_to(largest: int) -> list[int]:
    """1e4, 1e5 and so on."""
    return [10**power for power in range(4, 10) if 10**power <= largest]


def task_alone(*arguments: str) -> Any:
    """Run `scaling_task`."""
    return run_alone([sys.executable, "-m", "benchmarks.scaling_task", *arguments])


def _memory(points: list[tuple[float, float, int | None]]) -> list[Fact]:
    """Peak of ingest at 1e7 rows, where it was measured, else by the line through the last two."""
    (size, _, low), (largest, _, high) = points[-2:]
    if low is None or high is None:
        return []
    if largest >= 1e7:
        return [Fact("peak memory of ingest at 1e7 rows", high / 1e9, "GB", Wanted(at_most=2.0))]
    slope = (high - low) / (largest - size)
    peak = (high + slope * (1e7 - largest)) / 1e9
    label = "peak memory of ingest at 1e7 rows, by the line through the two largest sizes"
    return [Fact(label, peak, "GB", Wanted(at_most=2.0))]


if __name__ == "__main__":
    sys.exit(main(measure))
