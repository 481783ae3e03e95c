"""What a benchmark found: one JSON file each, from which alone the page is written."""

from __future__ import annotations

import datetime
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.machine import machine_card
from benchmarks.measuring import ROOT, Run
from ssrec_tf import storage


@dataclass(frozen=True)
class Wanted:
    """A bound on a figure: `at_least` or `at_most`."""

    at_least: float | None = None
    at_most: float | None = None

    def met(self, value: float) -> bool:
        """Whether a figure is within the bound."""
        low = -float("inf") if self.at_least is None else self.at_least
        high = float("inf") if self.at_most is None else self.at_most
        return low <= value <= high


@dataclass(frozen=True)
class Comparison:
    """The rate of `ours` over that of `other`, round by round.

    `per` is what a rate is counted by: cpu (CPU-seconds) or wall (seconds passed).
    """

    ours: str
    other: str
    wanted: Wanted | None = None
    per: str = "cpu"


@dataclass(frozen=True)
class Fact:
    """A figure that is no ratio: label, value, unit, and a bound if there is one.

    `low` and `high` are its spread, where it was measured more than once.
    """

    label: str
    value: float
    unit: str = ""
    wanted: Wanted | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Curve:
    """Cost as a size grows: points (size, seconds, peak bytes or None).

    `wanted` bounds the exponent of the seconds, fitted over log size.
    """

    label: str
    size: str
    points: Sequence[tuple[float, float, int | None]]
    wanted: Wanted | None = None


@dataclass(frozen=True)
class Roofline:
    """What an alternative's unit of work costs by formula.

    `flops` and `moved` (bytes) of one unit; `ceiling`, the figure of `bench_ceilings` that
    bounds it: float32, bfloat16 (GFLOP/s) or copy (GB/s).
    """

    alternative: str
    ceiling: str
    flops: float = 0.0
    moved: float = 0.0
    formula: str = ""


@dataclass(frozen=True)
class Result:
    """A section of the page.

    Attributes:
        name: of the benchmark.
        title: of the section.
        text: what was measured, in Markdown.
        unit: what rates count, in the plural.
        runs: of each alternative.
        comparisons: of rates.
        facts: other figures.
        curves: growth.
        rooflines: shares of the machine's ceilings.
        checks: what had to be the same, and whether it was.
        notes: lines behind the figures.
    """

    name: str
    title: str
    text: str = ""
    unit: str = ""
    runs: Mapping[str, Sequence[Run]] = field(default_factory=dict)
    comparisons: Sequence[Comparison] = ()
    facts: Sequence[Fact] = ()
    curves: Sequence[Curve] = ()
    rooflines: Sequence[Roofline] = ()
    checks: Mapping[str, bool] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Stored:
    """A result as read back, with where and of which code it was measured."""

    result: Result
    machine: Mapping[str, Any]
    commit: str
    code: str
    quick: bool
    date: str


def save(result: Result, folder: Path, *, quick: bool, commit: str | None = None) -> Path:
    """Write `NAME.json` into `folder`, whole or not at all; `commit` is this one unless told."""
    body = {
        "result": asdict(result),
        "machine": machine_card(),
        "commit": commit or head_commit(),
        "code": code_of(result.name),
        "quick": quick,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    path = folder / f"{result.name}.json"
    storage.atomic_write_text(path, json.dumps(body, indent=1) + "\n")
    return path


def load(path: Path) -> Stored:
    """Read back what `save` wrote."""
    body = json.loads(path.read_text())
    raw = body.pop("result")
    raw["runs"] = {name: [Run(**run) for run in runs] for name, runs in raw["runs"].items()}
    kinds: dict[str, Any] = {
        "comparisons": Comparison,
        "facts": Fact,
        "curves": Curve,
        "rooflines": Roofline,
    }
    for name, kind in kinds.items():
        raw[name] = [kind(**_with_bound(values)) for values in raw[name]]
    return Stored(result=Result(**raw), **body)


def code_of(name: str) -> str:
    """SHA-256 of the code that a benchmark's figures depend on."""
    shared = sorted(
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "benchmarks").glob("*.py")
        if not path.name.startswith("bench_") and path.name not in ("page.py", "__main__.py")
    )
    return storage.code_version(ROOT, ["ssrec_tf/**/*.py", f"benchmarks/bench_{name}.py", *shared])


def rates(runs: Sequence[Run], per: str) -> list[float]:
    """Units a second of each run; `per` cpu or wall."""
    return [run.units / max(getattr(run, per), 1e-9) for run in runs]


def ratio(result: Result, comparison: Comparison) -> tuple[float, float, float]:
    """Median, least and greatest of the ratios of the rounds."""
    ours = rates(result.runs[comparison.ours], comparison.per)
    other = rates(result.runs[comparison.other], comparison.per)
    found = [a / b for a, b in zip(ours, other, strict=True)]
    return median(found), min(found), max(found)


def _with_bound(values: dict[str, Any]) -> dict[str, Any]:
    if values.get("wanted") is not None:
        values["wanted"] = Wanted(**values["wanted"])
    return values


def head_commit() -> str:
    """The commit that is checked out."""
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    )
    return found.stdout.strip() or "unknown"
