"""What the machine can do at most: multiplications of large matrices, and a copy."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import tensorflow as tf

from benchmarks.command import main
from benchmarks.results import Fact, Result


def measure(quick: bool) -> Result:
    """Measure GFLOP/s and GB/s, with all cores and by CPU-second."""
    side, rounds = (512, 3) if quick else (2048, 9)
    facts = []
    for kind in (tf.float32, tf.bfloat16):
        left = tf.cast(tf.random.stateless_normal([side, side], [1, 2]), kind)
        facts += _figures(kind.name, "GFLOP", 2.0 * side**3 / 1e9, _product(left), rounds)
    source = np.ones((16 if quick else 256) * 2**17)  # far more than the caches hold
    target = np.empty_like(source)
    # Read once and written once.
    work = 2.0 * source.nbytes / 1e9
    facts += _figures("copy", "GB", work, lambda: np.copyto(target, source), rounds)
    return Result(
        name="ceilings",
        title="The machine's ceilings",
        text=(
            f"A product of two {side} x {side} matrices by TensorFlow, and a copy by NumPy on one "
            "core. Shares in the other sections are of these figures by CPU-second."
        ),
        facts=facts,
    )


def _product(x: tf.Tensor) -> Callable[[], object]:
    """The product of a matrix with itself, waited for."""
    product = tf.function(lambda: tf.matmul(x, x))
    return lambda: product()[0, 0].numpy()


def _figures(
    name: str, unit: str, work: float, run: Callable[[], object], rounds: int
) -> list[Fact]:
    """Rates by second and by CPU-second, medians of the rounds."""
    run()
    by_second, by_cpu = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        by_second.append(work / (time.perf_counter() - wall))
        by_cpu.append(work / (time.process_time() - cpu))
    spread = (min(by_second), max(by_second))
    return [
        Fact(f"{name}, all cores", median(by_second), f"{unit}/s", None, *spread),
        Fact(name, median(by_cpu), f"{unit} a CPU-second", None, min(by_cpu), max(by_cpu)),
    ]


if __name__ == "__main__":
    sys.exit(main(measure))
