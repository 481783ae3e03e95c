"""docs/performance.md from the results of the benchmarks, and from nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks import estimate
from benchmarks.growth import exponent, marginal
from benchmarks.results import Comparison, Curve, Fact, Result, Stored, Wanted, load, rates, ratio
from ssrec_tf import storage

SECTIONS = (
    "training",
    "two_level",
    "input_pipeline",
    "examples",
    "inference",
    "retrieval",
    "exports",
    "devices",
    "accelerator",
    "tpu",
    "scaling",
    "ceilings",
)
"""Names of results in the order of the page; others follow by name, absent ones are left out."""

_ELSEWHERE = ("accelerator", "tpu")  # measured on a machine of their own, which they name
_FLAT = 1.5  # growth below this is not told from noise

_TOP = """# Performance

Written by `make bench` from the files in `docs/performance/`; do not edit. Alternatives are
measured in turns (A B, B A, A B, ...) on the same inputs. A ratio is the median of the rounds'
ratios, with the least and the greatest in brackets; CPU-seconds are those of all cores together.
"""


def read_results(folder: Path) -> list[Stored]:
    """Read all results in the order of the page."""
    found = {path.stem: load(path) for path in sorted(folder.glob("*.json"))}
    known = [name for name in SECTIONS if name in found]
    return [found[name] for name in [*known, *sorted(set(found) - set(known))]]


def write_page(path: Path, stored: Sequence[Stored]) -> None:
    """Write the page, whole or not at all; without results it says that there are none."""
    lines = [_TOP]
    if not stored:
        lines.append("There are no results yet.\n")
    else:
        lines += [*_machines(stored), *_goals(stored)]
    here = {_machine(one) for one in stored if one.result.name not in _ELSEWHERE}
    tops = {_machine(one): one.result.facts for one in stored if one.result.name == "ceilings"}
    for one in stored:
        machine = _machine(one)
        ceilings = {fact.label: fact for fact in tops.get(machine, ())}
        named = len(here) > 1 or one.result.name in _ELSEWHERE
        lines += [*_section(one, ceilings, machine if named else "")]
    lines += estimate.section({one.result.name: one.result for one in stored})
    storage.atomic_write_text(path, "\n".join(lines).rstrip() + "\n")


def figure(value: float) -> str:
    """A number with three digits that count, thousands set apart."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 2 if abs(value) < 10 else 1
    return f"{value:.{digits}f}" if abs(value) >= 0.01 else f"{value:.2g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        return
    yield "| " + " | ".join(head) + " |"
    yield "| " + " | ".join("---" for _ in head) + " |"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def _machines(stored: Sequence[Stored]) -> Iterator[str]:
    """The machine, once; values that differ among sections stand side by side."""
    yield "## Machine\n"
    stored = [one for one in stored if one.result.name not in _ELSEWHERE]
    keys = list(dict.fromkeys(key for one in stored for key in one.machine if key != "load_before"))
    rows = []
    for key in keys:
        values = dict.fromkeys(str(one.machine[key]) for one in stored if key in one.machine)
        rows.append([key.replace("_", " "), ", ".join(values)])
    yield from _table(("what", "value"), rows)
    if any(one.quick for one in stored):
        yield "**Some sections were measured with `--quick`: their figures say nothing.**\n"


def _goals(stored: Sequence[Stored]) -> Iterator[str]:
    """Every bound, whether it is met, in one table."""
    rows = []
    for one in stored:
        for what, wanted, value, shown in _bounded(one.result):
            met = "yes" if wanted.met(value) else "**no**"
            rows.append([one.result.title, what, _bound(wanted), shown, met])
    if rows:
        yield "## What is wanted, and what was measured\n"
        yield from _table(("section", "figure", "wanted", "measured", "met"), rows)


def _bounded(result: Result) -> Iterator[tuple[str, Wanted, float, str]]:
    for comparison in result.comparisons:
        if comparison.wanted:
            value = ratio(result, comparison)[0]
            what = f"{comparison.ours} over {comparison.other}"
            yield what, comparison.wanted, value, _ratio(result, comparison)
    for fact in result.facts:
        if fact.wanted:
            yield fact.label, fact.wanted, fact.value, _fact(fact)
    for curve in result.curves:
        if curve.wanted:
            power = _power(curve)
            yield f"{curve.label}: exponent", curve.wanted, power, f"n^{power:.2f}"


def _bound(wanted: Wanted) -> str:
    low, high = wanted.at_least, wanted.at_most
    return " and ".join(
        f"{sign} {figure(bound)}" for sign, bound in (("≥", low), ("≤", high)) if bound is not None
    )


def _machine(one: Stored) -> str:
    return f"{one.machine.get('cores', '?')} cores of {one.machine.get('cpu', '?')}"


def _section(one: Stored, ceilings: Mapping[str, Fact], machine: str) -> Iterator[str]:
    result = one.result
    yield f"## {result.title}\n"
    if result.text:
        yield result.text.strip() + "\n"
    yield from _rates(result)
    yield from _table(
        ("ratio", "by", "median (least to greatest)"),
        [[f"{c.ours} over {c.other}", _per(c.per), _ratio(result, c)] for c in result.comparisons],
    )
    yield from _table(("figure", "value"), [[f.label, _fact(f)] for f in result.facts])
    for curve in result.curves:
        yield from _curve(curve)
    yield from _rooflines(result, ceilings)
    yield from _table(
        ("checked", "same"),
        [[what, "yes" if same else "**no**"] for what, same in result.checks.items()],
    )
    for note in result.notes:
        yield f"- {note}"
    yield ""
    load = one.machine.get("load_before", "?")
    rounds = max((len(runs) for runs in result.runs.values()), default=0)
    rounds_said = f", {rounds} rounds" if rounds else ""
    where = f", {machine}" if machine else ""
    yield f"*Commit {one.commit}, {one.date}{where}, load before {load}{rounds_said}.*\n"


def _rates(result: Result) -> Iterator[str]:
    rows = []
    for name, runs in result.runs.items():
        cells = [name]
        for per in ("cpu", "wall"):
            found = rates(runs, per)
            cells.append(_spread(median(found), min(found), max(found)))
        rows.append(cells)
    yield from _table(("", f"{result.unit} a CPU-second", f"{result.unit} a second"), rows)


def _curve(curve: Curve) -> Iterator[str]:
    yield f"**{curve.label}**: {_growth(curve)}\n"
    yield from _table(
        (curve.size, "seconds", f"{curve.size} a second", "peak memory"),
        [
            [figure(x), figure(s), figure(x / s), "" if peak is None else f"{peak / 1e9:.2f} GB"]
            for x, s, peak in curve.points
        ],
    )


def _growth(curve: Curve) -> str:
    """The exponent, where there is growth; noise about a constant fits any."""
    seconds = [point[1] for point in curve.points]
    apart = max(seconds) / min(seconds)
    if apart < _FLAT and curve.wanted is None:
        return f"flat; the slowest takes {apart:.2f} times the quickest"
    return f"n^{_power(curve):.2f} in {curve.size}, the fixed cost taken off"


def _power(curve: Curve) -> float:
    sizes, seconds = [p[0] for p in curve.points], [p[1] for p in curve.points]
    fit: Callable[..., float] = marginal if len(sizes) > 2 else lambda x, y: exponent(x, y)[0]
    return fit(sizes, seconds)


def _rooflines(result: Result, ceilings: Mapping[str, Fact]) -> Iterator[str]:
    rows = []
    for line in result.rooflines:
        by_cpu = median(rates(result.runs[line.alternative], "cpu"))
        cost = line.moved if line.ceiling == "copy" else line.flops
        reached, top = by_cpu * cost / 1e9, ceilings.get(line.ceiling)
        share = "" if top is None else f"{reached / top.value:.0%}"
        unit = "GB" if line.ceiling == "copy" else "GFLOP"
        said = "" if top is None else f"{figure(top.value)} {unit} ({line.ceiling})"
        counted = [line.alternative, line.formula, figure(cost / 1e6), f"{figure(reached)} {unit}"]
        rows.append([*counted, said, share])
    yield from _table(
        ("roofline of", "counted", "millions a unit", "a CPU-second", "ceiling", "share"), rows
    )


def _ratio(result: Result, comparison: Comparison) -> str:
    return _spread(*ratio(result, comparison)) + " x"


def _fact(fact: Fact) -> str:
    low = fact.value if fact.low is None else fact.low
    high = fact.value if fact.high is None else fact.high
    return f"{_spread(fact.value, low, high)} {fact.unit}".strip()


def _spread(middle: float, low: float, high: float) -> str:
    if low == high:
        return figure(middle)
    return f"{figure(middle)} ({figure(low)} to {figure(high)})"


def _per(per: str) -> str:
    return "CPU-second" if per == "cpu" else "second"
