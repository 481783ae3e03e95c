"""What a billion interactions and a hundred million items would cost, from the measured rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.results import Result, rates

INTERACTIONS, ITEMS = 1e9, 1e8
_HOUR = 3600.0
# Published peaks, bfloat16, FLOP/s a chip: what a share of is taken. TPU v5e, 197 TFLOP/s.
_CHIP, _SHARE = 197e12, 0.4
_VECTOR = 64 * 4  # bytes of an item's vector, float32


def section(results: Mapping[str, Result]) -> list[str]:
    """Lines of the page; a line needs its measured rate, and without any there is no section."""
    lines = [*_beam(results), *_chips(results), *_serving(results)]
    if not lines:
        return []
    return [
        "## A billion interactions, a hundred million items\n",
        "Reckoned, not measured: the rates above times the size, without what a cluster adds "
        "(shuffles, stragglers, transfers). It tells orders of magnitude.\n",
        *(f"- {line}" for line in lines),
        "",
    ]


def _beam(results: Mapping[str, Result]) -> list[str]:
    """CPU-hours of ingest and examples on Beam, by the cost of a row at the largest size."""
    scaling = results.get("scaling")
    if scaling is None:
        return []
    costs = {curve.label: _per_row(curve.points) for curve in scaling.curves}
    hours = {label: cost * INTERACTIONS / _HOUR for label, cost in costs.items()}
    said = ", ".join(f"{label.lower()} {value:.1f}" for label, value in hours.items())
    total = sum(hours.values())
    return [
        f"**Beam**, CPU-hours at the cost of a row measured at the largest size: {said}. On 100 "
        f"workers of one core that is {total / 100 * 60:.1f} minutes. Rows must then be keyed by "
        "user (one shuffle), the vocabulary learnt of a sample, texts rendered by item in their "
        "own branch, and each worker holds its shard alone: the in-memory reader ends at 1e7 rows."
    ]


def _per_row(points: Sequence[tuple[float, float, int | None]]) -> float:
    size, seconds, _ = points[-1]
    return seconds / size


def _chips(results: Mapping[str, Result]) -> list[str]:
    """Chip-hours of one epoch of the joint reading, and of the two-level one on CPUs."""
    lines = []
    training, two_level = results.get("training"), results.get("two_level")
    if training is not None and training.rooflines:
        line = training.rooflines[0]
        chip_hours = line.flops * INTERACTIONS / (_CHIP * _SHARE) / _HOUR
        cpu_hours = INTERACTIONS / median(rates(training.runs[line.alternative], "cpu")) / _HOUR
        lines.append(
            f"**TPU**: an epoch of the joint reading is {line.flops * INTERACTIONS:.2g} FLOP: "
            f"{chip_hours:,.0f} chip-hours of a TPU v5e at {_SHARE:.0%} of its peak, beside "
            f"{cpu_hours:,.0f} CPU-hours here. Static shapes, so every sequence is as long as the "
            "longest bucket: up to twice that."
        )
    if two_level is not None:
        name = two_level.comparisons[0].ours
        hours = INTERACTIONS / median(rates(two_level.runs[name], "cpu")) / _HOUR
        lines.append(
            f"**Two-level reading**: an epoch is {hours:,.1f} CPU-hours. Its table of items, "
            f"{ITEMS:.0e} of 64 numbers and two moments of Adam, is "
            f"{3 * ITEMS * _VECTOR / 1e9:.0f} GB: sharded over chips, or hashed."
        )
    return lines


def _serving(results: Mapping[str, Result]) -> list[str]:
    """Memory of stored item vectors."""
    if "scaling" not in results and "two_level" not in results:
        return []
    gigabytes = ITEMS * _VECTOR / 1e9
    return [
        f"**TensorFlow Serving**: {ITEMS:.0e} stored vectors of 64 are {gigabytes:.0f} GB in "
        f"float32, {gigabytes / 4:.0f} GB in int8; scoring named candidates reads only their rows. "
        "Top-k over all needs an approximate index beside the server, sharded by item."
    ]
