"""Charts are well-formed, escape what they are told, and put points where they belong."""

import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from ssrec_tf.metrics import CalibrationBin
from ssrec_tf.report_charts import calibration_chart, interval_chart, line_chart, standalone

EVIL = "<script>&\"'"


def parsed(chart: str) -> ET.Element:
    return ET.fromstring(f"<div>{chart}</div>")  # noqa: S314 (our own output)


def points(chart: str, line: int = 0) -> list[tuple[float, float]]:
    found = parsed(chart).findall(".//polyline")[line].get("points")
    return [tuple(map(float, pair.split(","))) for pair in found.split()]


def test_lines_go_where_the_values_go():
    chart = line_chart("loss", {"train": [(0, 4), (50, 2), (100, 1)], "valid": [(100, 3)]})
    (x0, y0), (x1, y1), (x2, y2) = points(chart)
    assert x0 < x1 < x2
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 < y1 < y2  # down the page
    assert (y1 - y0) == pytest.approx(2 * (y2 - y1), abs=0.3)
    assert len(points(chart, 1)) == 1
    assert parsed(chart).find(".//p[@class='legend']") is not None


def test_ticks_are_round_and_where_they_say():
    chart = line_chart("loss", {"train": [(0, 0.123), (1, 0.456)]})
    texts = [t for t in parsed(chart).iter("text") if t.get("text-anchor") == "end"]
    values = [float(t.text) for t in texts if re.fullmatch(r"[\d.]+", t.text)]
    assert values == [0.2, 0.3, 0.4]


def test_an_axis_has_three_to_six_ticks():
    rng = np.random.default_rng(0)
    spans = [(4.15, 4.96), *((low, low + 10 ** rng.uniform(-2, 4)) for low in rng.normal(size=300))]
    for low, high in spans:
        chart = line_chart("loss", {"train": [(0, low), (1, high)]})
        ends = [t for t in parsed(chart).iter("text") if t.get("text-anchor") == "end"]
        values = [float(t.text) for t in ends if t.text != "step"]
        assert 3 <= len(values) <= 6, (low, high, values)
        air = 0.05 * (high - low)
        assert low - air <= min(values) * (1 + 1e-4)
        assert np.ptp(np.diff(values)) <= 1e-4 * max(map(abs, values)), values


def test_what_is_not_finite_is_left_out():
    chart = line_chart("loss", {"train": [(0, 1), (1, math.nan), (2, math.inf), (3, 2)]})
    assert len(points(chart)) == 2
    assert line_chart("loss", {"train": [(0, math.nan)]}) == line_chart("loss", {}) == ""
    assert interval_chart("auc", [("a", math.nan, math.nan, math.nan)], "a") == ""


@pytest.mark.parametrize("value", [0.0, 5.0, -3.0, 1e9, 1e-9])
def test_a_constant_has_a_chart_too(value):
    assert len(points(line_chart("loss", {"train": [(0, value), (9, value)]}))) == 2


def test_calibration_dots():
    bins = (CalibrationBin(100, 0.0, 0.0), CalibrationBin(25, 1.0, 1.0))
    chart = calibration_chart({EVIL: bins})
    ideal = parsed(chart).find(".//line[@class='ideal']")
    first, last = points(chart)
    assert first == (float(ideal.get("x1")), float(ideal.get("y1")))
    assert last == (float(ideal.get("x2")), float(ideal.get("y2")))
    radii = [float(dot.get("r")) for dot in parsed(chart).iter("circle")]
    assert radii == [7, 4.5]  # 2 + 5 sqrt(rows / most)


def test_intervals():
    rows = [("own", 0.5, 0.4, 0.6), ("a_very_long_name_indeed", 0.9, math.nan, math.nan)]
    root = parsed(interval_chart("auc", rows, "own"))
    dots = [float(dot.get("cx")) for dot in root.iter("circle")]
    ranges = root.findall(".//line[@class='range s0']")
    assert len(ranges) == 1
    assert float(ranges[0].get("x1")) < dots[0] < float(ranges[0].get("x2")) < dots[1]
    assert not root.findall(".//line[@class='range other']")
    assert "a_very_long_na…" in [text.text for text in root.iter("text")]


def test_texts_are_escaped():
    for chart in (
        line_chart(EVIL, {EVIL: [(0, 1)], "b": [(0, 2)]}, x_label=EVIL),
        calibration_chart({EVIL: (CalibrationBin(1, 0.5, 0.5),)}),
        interval_chart(EVIL, [(EVIL, 0.5, 0.4, 0.6)], EVIL),
    ):
        assert "<script" not in chart
        assert EVIL in "".join(parsed(chart).itertext())


def test_a_chart_stands_alone_with_its_colours_and_names():
    chart = line_chart("loss", {EVIL: [(0, 4), (1, 2)], "valid": [(0, 3), (1, 3)]})
    root = ET.fromstring(standalone(chart, [EVIL, "valid"]))  # noqa: S314 (our own output)
    svg = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{svg}svg"
    style = root.find(f"{svg}style").text
    assert "--s0: #" in style
    assert "svg .line.s0" in style
    assert "body" not in style
    names = {node.text: node.get("style") for node in root.iter(f"{svg}text")}
    assert names[EVIL] == "fill: var(--s0)"
    assert names["valid"] == "fill: var(--s1)"
    # Above the picture, whose own lines begin at 0.
    _, top, _, height = map(int, root.get("viewBox").split())
    keys = [float(node.get("y")) for node in root.iter(f"{svg}text") if node.text in names]
    legend = [y for y in keys if y < 0]
    assert len(legend) == 2
    assert top + 8 < min(legend) < max(legend) < 0
    assert height == 220 - top
