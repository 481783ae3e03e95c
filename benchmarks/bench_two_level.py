"""The two-level reading beside PyTorch on the joint task: pairs a CPU-second, and RMSE."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.bench_training import HISTORY, RATE, USERS, bert_for
from benchmarks.command import main
from benchmarks.measuring import Alternative, Run, cpu_seconds, interleave, timed
from benchmarks.ours import World, squared_error
from benchmarks.results import Comparison, Fact, Result, Wanted
from benchmarks.torch_side import NAMES, TorchSide
from benchmarks.trace_input import two_level
from ssrec_tf.batching import BatchConfig, train_batches

OURS, STEPS = "ours, two-level", 300


def measure(quick: bool) -> Result:
    """Train all in turns, then compare errors after as many CPU-seconds."""
    with tempfile.TemporaryDirectory() as name, TorchSide() as torch:
        folder = Path(name)
        bert = bert_for(quick, torch, folder)
        world = World.make(folder)
        batches = world.steps(4 if quick else 24, USERS, HISTORY)
        torch.load(bert, world.write_rows(folder / "steps.json", batches), RATE)
        start = cpu_seconds()
        side = two_level(world, steps=STEPS, history=HISTORY)
        sizes = BatchConfig(32, HISTORY, 64, past_only=False)
        drawn = train_batches(world.examples, sizes, seed=7).take(8 if quick else STEPS)
        side.batches = [batch for _, batch in drawn]
        spent = {OURS: cpu_seconds() - start}
        sides = torch.alternatives(1 if quick else 2) | {OURS: timed(side.run(1 if quick else 25))}
        counted = {name: _counting(name, run, spent) for name, run in sides.items()}
        runs = interleave(counted, rounds=2 if quick else 5)
        valid = world.valid(20 if quick else 400, HISTORY)
        rows = world.write_rows(folder / "valid.json", valid, flat=True)
        errors = {
            NAMES[name]: float(worker.call("squared_error", rows=str(rows)))
            for name, worker in torch.workers.items()
        }
        steps = 0
        # What is left of the classic loop's time, and no more steps than its configuration has.
        while spent[OURS] < spent[NAMES["classic"]] and len(side.losses) < (8 if quick else STEPS):
            counted[OURS]()
            steps = len(side.losses)
        errors[OURS] = squared_error(side, valid)
    scale = world.statistics.deviation
    return Result(
        name="two_level",
        title="Two-level reading, history of 20",
        text=f"""
The default recommender (`configs/movielens-100k.yaml`, not pretrained) with a history of {HISTORY}
beside the two PyTorch loops on the joint task; a pair is a target. Its errors are those after as
many CPU-seconds as the classic loop had, item vectors and co-occurrence included, or after its
{STEPS} steps.""",
        unit="pairs",
        runs=runs,
        comparisons=[
            Comparison(OURS, NAMES["classic"], Wanted(at_least=50)),
            Comparison(OURS, NAMES["best"], Wanted(at_least=20)),
        ],
        facts=[
            *(
                Fact(f"CPU-seconds of {name}, warm-up included", seconds, "s")
                for name, seconds in spent.items()
            ),
            *(
                Fact(f"RMSE of {name} on the valid part's first rows", scale * np.sqrt(error))
                for name, error in errors.items()
            ),
            Fact(
                "RMSE of ours less the better of the two",
                scale
                * (np.sqrt(errors[OURS]) - np.sqrt(min(e for n, e in errors.items() if n != OURS))),
                "",
                Wanted(at_most=0.0),
            ),
        ],
        notes=[f"Ours made {max(steps, len(side.losses))} steps."],
    )


def _counting(name: str, run: Alternative, spent: dict[str, float]) -> Alternative:
    """The same, and every run's CPU-seconds are added up, those of warming up too."""

    def counted() -> Run:
        made = run()
        spent[name] = spent.get(name, 0.0) + made.cpu
        return made

    return counted


if __name__ == "__main__":
    sys.exit(main(measure))
