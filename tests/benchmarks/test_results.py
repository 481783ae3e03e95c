"""Results come back from their files as they were, and ratios are those of the rounds."""

import pytest

from benchmarks.measuring import Run
from benchmarks.results import (
    Comparison,
    Curve,
    Fact,
    Result,
    Roofline,
    Wanted,
    code_of,
    load,
    ratio,
    save,
)


def planted():
    """Ours is 2, 4 and 3 times as fast by CPU, and as fast by the clock."""
    ours = [Run(20, 1.0, 1.0), Run(40, 1.0, 1.0), Run(30, 1.0, 1.0)]
    return Result(
        name="planted",
        title="Planted",
        text="What was planted.",
        unit="pairs",
        runs={"ours": ours, "other": [Run(run.units, 1.0, run.units / 10) for run in ours]},
        comparisons=[
            Comparison("ours", "other", Wanted(at_least=2.5)),
            Comparison("ours", "other", per="wall"),
        ],
        facts=[Fact("late", 7.0, "ms", Wanted(at_most=5.0)), Fact("plain", 1234.0)],
        curves=[
            Curve("Growth", "rows", [(10.0, 1.0, 5), (100.0, 10.0, None)], Wanted(at_most=1.05))
        ],
        rooflines=[Roofline("ours", "float32", flops=1e9, formula="counted")],
        checks={"scores": True, "ids": False},
        notes=["A note."],
    )


def test_a_result_comes_back_as_it_was(tmp_path):
    stored = load(save(planted(), tmp_path, quick=True))
    kept = stored.result
    assert kept.runs == planted().runs
    assert list(kept.comparisons) == list(planted().comparisons)
    assert list(kept.facts) == list(planted().facts)
    assert kept.rooflines == list(planted().rooflines)
    assert kept.checks == planted().checks
    assert [tuple(point) for point in kept.curves[0].points] == list(planted().curves[0].points)
    assert stored.quick
    assert stored.machine["cores"] >= 1


def test_ratios_are_of_rounds():
    result = planted()
    assert ratio(result, result.comparisons[0]) == pytest.approx((3.0, 2.0, 4.0))
    assert ratio(result, result.comparisons[1]) == pytest.approx((1.0, 1.0, 1.0))


def test_code_depends_on_the_benchmark_and_not_on_its_neighbours():
    assert code_of("ceilings") != code_of("scaling")
    assert code_of("ceilings") == code_of("ceilings")
