"""The page says what the files hold, in a fixed order, and judges every bound."""

import json

import pytest

from benchmarks.measuring import Run
from benchmarks.page import figure, read_results, write_page
from benchmarks.results import Curve, Fact, Result, save
from tests.benchmarks.test_results import planted


@pytest.fixture
def page(tmp_path):
    save(planted(), tmp_path / "results", quick=False)
    ceilings = Result(name="ceilings", title="Ceilings", facts=[Fact("float32", 100.0)])
    save(ceilings, tmp_path / "results", quick=False)
    save(Result(name="devices", title="Devices", notes=["x"]), tmp_path / "results", quick=False)
    write_page(tmp_path / "page.md", read_results(tmp_path / "results"))
    return (tmp_path / "page.md").read_text()


def test_sections_stand_in_the_order_of_the_page(page):
    places = [page.index(f"## {title}\n") for title in ("Devices", "Ceilings", "Planted")]
    assert places == sorted(places)
    assert "## Inference" not in page


def test_bounds_are_judged(page):
    rows = {line.split(" | ")[1]: line for line in page.splitlines() if line.count("|") == 6}
    assert "3.00 (2.00 to 4.00) x | yes" in rows["ours over other"]
    assert "≤ 5.00 | 7.00 ms | **no**" in rows["late"]
    assert "n^1.00 | yes" in rows["Growth: exponent"]


def test_noise_about_a_constant_is_not_called_growth(tmp_path):
    points = [(size, seconds, None) for size, seconds in [(10, 2.0), (20, 1.6), (40, 2.0)]]
    curve = Curve("History", "events", points)
    save(Result(name="x", title="X", curves=[curve]), tmp_path, quick=False)
    write_page(tmp_path / "page.md", read_results(tmp_path))
    flat = "**History**: flat; the slowest takes 1.25 times the quickest"
    assert flat in (tmp_path / "page.md").read_text()


def test_a_share_of_the_ceiling_is_reckoned(page):
    # 30 pairs a CPU-second of 1 GFLOP each, of 100 GFLOP.
    assert "| ours | counted | 1,000 | 30.0 GFLOP | 100 GFLOP (float32) | 30% |" in page


def test_of_several_machines_each_section_names_its_own(page, tmp_path):
    assert "cores of" not in page
    path = tmp_path / "results" / "ceilings.json"
    stored = json.loads(path.read_text())
    stored["machine"]["cpu"] = "another"
    path.write_text(json.dumps(stored))
    write_page(tmp_path / "page.md", read_results(tmp_path / "results"))
    page = (tmp_path / "page.md").read_text()
    assert page.count(" cores of another, load") == 1
    assert page.count(" cores of ") == 3
    # What another machine can do at most says nothing of this one.
    assert "| ours | counted | 1,000 | 30.0 GFLOP |  |  |" in page


def test_what_was_to_be_the_same_and_is_not_is_said(page):
    assert "| ids | **no** |" in page
    assert "| scores | yes |" in page


def test_without_results_the_page_says_so(tmp_path):
    write_page(tmp_path / "page.md", read_results(tmp_path))
    assert "There are no results yet." in (tmp_path / "page.md").read_text()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234.5, "1,234"), (12.34, "12.3"), (1.234, "1.23"), (0.0012, "0.0012")],
)
def test_figures_have_three_digits_that_count(value, text):
    assert figure(value) == text


def test_an_estimate_is_reckoned_from_the_rate(tmp_path):
    from benchmarks.estimate import section
    from benchmarks.results import Comparison

    result = Result(
        name="two_level",
        title="",
        runs={"a": [Run(1e6, 1.0, 1.0)], "b": [Run(1.0, 1.0, 1.0)]},
        comparisons=[Comparison("a", "b")],
    )
    # A billion pairs at a million a CPU-second are a thousand seconds.
    assert any("an epoch is 0.3 CPU-hours" in line for line in section({"two_level": result}))
    assert section({}) == []
