"""Answers of a SavedModel in process: ranking, raw strings, embedding; beside a cross-encoder."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.command import main, other_python
from benchmarks.flops import bert_flops
from benchmarks.measuring import Worker, interleave, timed
from benchmarks.results import Comparison, Curve, Fact, Result, Roofline, Wanted
from benchmarks.serving_world import Feed, ServedWorld, as_raw

LENGTH, BATCH, HISTORY = 128, 32, 60
RANK, RAW, RAW_NEW = "rank, 100 known", "raw strings, known items", "raw strings, new items"
TORCH, TORCH_32 = "PyTorch cross-encoder, 100 pairs", "PyTorch cross-encoder, 32 pairs"
TORCH_BEST = "the same, 64 tokens, bfloat16"
_QUIET = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "TOKENIZERS_PARALLELISM": "false"}


def measure(quick: bool) -> Result:
    """Measure signatures in turns with a PyTorch cross-encoder of the same shape."""
    layers, width = (1, 64) if quick else (6, 384)
    requests, rounds = (3, 2) if quick else (40, 7)
    command: list[str | Path] = [other_python(), "-m", "benchmarks.torch_inference"]
    with tempfile.TemporaryDirectory() as folder, Worker(command, _QUIET) as torch:
        world = ServedWorld.make(Path(folder) / "model", layers=layers, width=width)
        words = world.model.text.vocabulary.size
        versions = torch.call("load", layers=layers, width=width, words=words)
        rng = np.random.default_rng(0)
        raw, new = (
            [world.raw_request(rng, BATCH, 20, new=new) for _ in range(4)] for new in (False, True)
        )
        ranked = [world.rank_request(rng, 100, HISTORY) for _ in range(20)]
        texts = np.array([t.encode() for t in world.model.text.item_texts], dtype=object)
        runs = interleave(
            {
                RANK: timed(_asking(world, "rank", ranked, requests)),
                TORCH: torch.alternative("score", pairs=100, length=LENGTH, bfloat16=False),
                TORCH_BEST: torch.alternative("score", pairs=100, length=64, bfloat16=True),
                RAW: timed(_asking(world, "", raw, max(1, requests // 4))),
                RAW_NEW: timed(_asking(world, "", new, max(1, requests // 10))),
                TORCH_32: torch.alternative("score", pairs=BATCH, length=LENGTH, bfloat16=False),
                "embed, batches of 64": timed(
                    _embedding(world, texts[: 64 * max(1, requests // 4)])
                ),
            },
            rounds=rounds,
        )
        flops = bert_flops(LENGTH, LENGTH, width=width, layers=layers, inner=4 * width)
        return Result(
            name="inference",
            title="Inference in process",
            text=(
                f"MovieLens-100k's catalogue, an encoder of {layers} layers of {width}, the "
                "two-level reading with a factorization, loaded into a session as TensorFlow "
                f"Serving loads it. Ranking reads a history of {HISTORY}, raw strings one of 20. "
                f"The cross-encoder ({_said(versions)}) is of the same shape and is given token "
                f"ids, {LENGTH} of a pair unless said. No weight is trained: speed hangs on none."
            ),
            unit="pairs",
            runs=runs,
            comparisons=[
                Comparison(RANK, TORCH, Wanted(at_least=50.0), "wall"),
                Comparison(RANK, TORCH_BEST, None, "wall"),
                Comparison(RAW, TORCH_32, Wanted(at_least=1.5), "wall"),
                Comparison(RAW_NEW, TORCH_32, None, "wall"),
            ],
            facts=[
                *_latencies(world, 100, requests, (Wanted(at_most=5.0), Wanted(at_most=15.0))),
                *_latencies(world, 1000, requests, (None, None)),
            ],
            curves=[_by_history(world, requests)],
            rooflines=[Roofline(TORCH, "float32", flops=flops, formula="6 layers, forward")],
            checks={
                "rank by ids and raw strings give the same ratings": _agree(world, ranked[0]),
                "a text not in the catalogue is scored": _finite(world, new[0]),
            },
        )


def _asking(
    world: ServedWorld, signature: str, requests: list[Feed], count: int
) -> Callable[[], int]:
    """Ask so many times, one request after another; units are scored pairs."""
    queue = cycle(requests)

    def work() -> int:
        return sum(
            int(world.servable.run(signature, next(queue))["rating"].size) for _ in range(count)
        )

    return work


def _embedding(world: ServedWorld, texts: np.ndarray) -> Callable[[], int]:
    def work() -> int:
        for start in range(0, len(texts), 64):
            world.servable.run("embed", {"text": texts[start : start + 64]})
        return len(texts)

    return work


def _seconds(world: ServedWorld, candidates: int, history: int, count: int) -> list[float]:
    """Time of each of many requests, after some that are not counted."""
    rng = np.random.default_rng(1)
    found = []
    for number in range(count + 5):
        request = world.rank_request(rng, candidates, history)
        began = time.perf_counter()
        world.servable.run("rank", request)
        if number >= 5:
            found.append(time.perf_counter() - began)
    return found


def _latencies(
    world: ServedWorld, candidates: int, requests: int, wanted: tuple[Wanted | None, Wanted | None]
) -> list[Fact]:
    each = 1e3 * np.array(_seconds(world, candidates, HISTORY, 10 * requests))
    return [
        Fact(f"rank {candidates:,}, p{share}", float(np.percentile(each, share)), "ms", bound)
        for share, bound in zip((50, 99), wanted, strict=True)
    ]


def _by_history(world: ServedWorld, requests: int) -> Curve:
    points: list[tuple[float, float, int | None]] = [
        (length, median(_seconds(world, 100, length, 2 * requests)), None)
        for length in (10, 20, 50, 100, 200)
    ]
    return Curve("rank 100 candidates, by the history's length", "events", points)


def _agree(world: ServedWorld, request: Feed) -> bool:
    by_id = world.servable.run("rank", request)["rating"][0]
    by_text = world.servable.run("", as_raw(world, request))["rating"]
    return bool(np.allclose(by_id, by_text, atol=1e-4))


def _finite(world: ServedWorld, request: Feed) -> bool:
    return bool(np.isfinite(world.servable.run("", request)["rating"]).all())


def _said(versions: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in versions.items())


if __name__ == "__main__":
    sys.exit(main(measure))
