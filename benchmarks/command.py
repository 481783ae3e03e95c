"""The command line of one benchmark: `python -m benchmarks.bench_NAME`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from benchmarks import results
from benchmarks.measuring import ROOT

RESULTS = ROOT / "docs" / "performance"


def main(measure: Callable[[bool], results.Result]) -> int:
    """Measure and keep the result; what a benchmark's module calls when run."""
    parser = argparse.ArgumentParser(description="Measure one section of docs/performance.md")
    parser.add_argument("--quick", action="store_true", help="small sizes, for a test of the code")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    parsed = parser.parse_args()
    path = results.save(measure(parsed.quick), parsed.results, quick=parsed.quick)
    print(f"result: {path}")
    return 0


def other_python() -> Path:
    """The Python of the environment with PyTorch, which `make bench` makes.

    Raises:
        FileNotFoundError: there is none.
    """
    path = Path(os.environ.get("BENCH_PYTHON", ROOT / ".bench" / "bin" / "python"))
    if not path.exists():
        raise FileNotFoundError(
            f"BENCH_PYTHON={path} is no Python: run `make bench`, which makes the environment of "
            "benchmarks/requirements.txt, or name the Python of another"
        )
    return path
