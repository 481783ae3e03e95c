"""The best 10 of very many vectors: exact in TensorFlow, or a graph of neighbours by faiss."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import numpy as np
import tensorflow as tf

from benchmarks.command import main
from benchmarks.measuring import Run, interleave, timed
from benchmarks.results import Comparison, Curve, Fact, Result, Roofline, Wanted
from ssrec_tf.nearest import ApproximateNearest, ExactNearest, recall

WIDTH, K, QUERIES = 64, 10, 64
BREADTHS = (16, 32, 64, 128, 256)  # candidates on the way through the graph
EXACT, NEAR = "TensorFlow, exact", "faiss HNSW"


@dataclass
class Growth:
    """Seconds of a query, and of making the graph, at each size of the catalogue."""

    points: dict[str, list[tuple[float, float, int | None]]] = field(default_factory=dict)
    checks: dict[str, bool] = field(default_factory=dict)

    def add(self, label: str, size: int, seconds: float) -> None:
        """Add a point to a curve."""
        self.points.setdefault(label, []).append((size, seconds, None))


def measure(quick: bool) -> Result:
    """Measure one query at a time over catalogues of growing size."""
    sizes = (500, 1000, 2000) if quick else (1_000, 10_000, 100_000, 1_000_000)
    growth = Growth()
    for size in sizes:  # rates and recall are of the last
        runs, facts = at_size(size, growth, rounds=3 if quick else 7)
        gc.collect()
    largest = f"{sizes[-1]:,}"
    moved = f"4 bytes x {WIDTH} x {largest}"
    return Result(
        name="retrieval",
        title="Retrieval among a million items",
        text=(
            f"Vectors of {WIDTH} numbers and length 1 around 1,000 centres, one query at a time, "
            f"the best {K}. The graph (32 neighbours, breadth 80) is read with the least breadth "
            f"of {', '.join(map(str, BREADTHS))} whose recall is 0.95. Rates are of {largest} "
            "items."
        ),
        unit="queries",
        runs=runs,
        comparisons=[Comparison(NEAR, EXACT, per="wall")],
        facts=facts,
        curves=[Curve(label, "items", points) for label, points in growth.points.items()],
        rooflines=[Roofline(EXACT, "copy", moved=4.0 * WIDTH * sizes[-1], formula=moved)],
        checks=growth.checks,
    )


def at_size(size: int, growth: Growth, rounds: int) -> tuple[dict[str, list[Run]], list[Fact]]:
    """Measure both on one catalogue."""
    vectors, queries = catalogue(size)
    exact = ExactNearest(vectors)
    truth = exact(tf.constant(queries), K)[1].numpy()
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :K]
    # Equal products may change places.
    growth.checks[f"exact search is NumPy's sort, {size:,} items"] = recall(truth, expected) > 0.999
    began = time.perf_counter()
    near = ApproximateNearest(vectors)
    growth.add(f"{NEAR}, making the graph", size, time.perf_counter() - began)
    shares = {b: recall(near.search(queries, K, b)[1], truth) for b in BREADTHS}
    breadth = next((b for b in BREADTHS if shares[b] >= 0.95), BREADTHS[-1])

    def look_at_all(query: np.ndarray) -> object:
        return exact(tf.constant(query), K)[1].numpy()

    def walk(query: np.ndarray) -> object:
        return near.search(query, K, breadth)

    found = interleave(
        {
            EXACT: timed(one_by_one(look_at_all, queries)),
            NEAR: timed(one_by_one(walk, queries)),
        },
        rounds=rounds,
    )
    for name, runs in found.items():
        growth.add(name, size, median(run.wall / run.units for run in runs))
    return found, frontier(near, queries, shares)


def catalogue(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Items around centres, and queries around the same: float32 [n, 64] of length 1."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(1000, WIDTH))

    def around(count: int) -> np.ndarray:
        places = centres[rng.integers(0, len(centres), count)]
        found = (places + 0.7 * rng.normal(size=(count, WIDTH))).astype(np.float32)
        unit: np.ndarray = found / np.linalg.norm(found, axis=1, keepdims=True)
        return unit

    return around(size), around(QUERIES)


def one_by_one(search: Callable[[np.ndarray], object], queries: np.ndarray) -> Callable[[], int]:
    """Ask for each query alone, as a server without batching would."""

    def work() -> int:
        for i in range(len(queries)):
            search(queries[i : i + 1])
        return len(queries)

    return work


def frontier(near: ApproximateNearest, queries: np.ndarray, shares: dict[int, float]) -> list[Fact]:
    """Recall, and the time of a query, by how long the graph is walked."""
    facts = []
    for breadth, share in shares.items():

        def walk(query: np.ndarray, breadth: int = breadth) -> object:
            return near.search(query, K, breadth)

        runs = [timed(one_by_one(walk, queries))() for _ in range(5)]
        each = [1e3 * run.wall / run.units for run in runs]
        wanted = Wanted(at_least=0.95) if breadth == BREADTHS[-1] else None
        facts += [
            Fact(f"recall@{K}, breadth {breadth}", share, "", wanted),
            Fact(f"a query, breadth {breadth}", median(each), "ms", None, min(each), max(each)),
        ]
    return facts


if __name__ == "__main__":
    sys.exit(main(measure))
