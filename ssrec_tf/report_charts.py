"""Small charts as inline SVG; colours come from the page, so they follow light and dark."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html import escape

from ssrec_tf.metrics import CalibrationBin
from ssrec_tf.report_style import CHART_STYLE

_WIDTH, _HEIGHT = 340, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 12, 34

Point = tuple[float, float]


def line_chart(label: str, lines: Mapping[str, Sequence[Point]], *, x_label: str = "step") -> str:
    """Draw lines over one x axis; points that are not finite are left out.

    Args:
        label: What a screen reader says.
        lines: (x, y) points by name, at most four lines.
        x_label: Name of the x axis.

    Returns:
        An `<svg>` element, or nothing when there is no point.
    """
    finite = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        for name, points in lines.items()
    }
    points = [point for line in finite.values() for point in line]
    if not points:
        return ""
    xs = _Axis.around([x for x, _ in points], _LEFT, _WIDTH - _RIGHT)
    ys = _Axis.around([y for _, y in points], _HEIGHT - _BOTTOM, _TOP)
    parts = _frame(xs, ys, x_label, "")
    for i, line in enumerate(finite.values()):
        path = " ".join(f"{xs(x):.1f},{ys(y):.1f}" for x, y in line)
        parts.append(f'<polyline class="line s{i % 4}" points="{path}"/>')
        if line:  # a lone point, or the last one
            x, y = line[-1]
            parts.append(f'<circle class="dot s{i % 4}" cx="{xs(x):.1f}" cy="{ys(y):.1f}" r="3"/>')
    return _svg(label, parts, _WIDTH, _HEIGHT) + (_legend(list(finite)) if len(finite) > 1 else "")


def calibration_chart(bins: Mapping[str, Sequence[CalibrationBin]]) -> str:
    """Draw the share clicked over the probability said; a dot's area shows its rows.

    Args:
        bins: Calibration by name of the model, at most four.
    """
    xs = _Axis(0, 1, _LEFT, _WIDTH - _RIGHT)
    ys = _Axis(0, 1, 300 - _BOTTOM, _TOP)
    parts = _frame(xs, ys, "probability said", "share clicked")
    parts.append(
        f'<line class="ideal" x1="{xs(0):.1f}" y1="{ys(0):.1f}" x2="{xs(1):.1f}" y2="{ys(1):.1f}"/>'
    )
    for i, (name, found) in enumerate(bins.items()):
        most = max((one.rows for one in found), default=1)
        path = " ".join(f"{xs(one.predicted):.1f},{ys(one.clicked):.1f}" for one in found)
        parts.append(f'<polyline class="line s{i}" points="{path}"/>')
        for one in found:
            radius = 2 + 5 * math.sqrt(one.rows / most)
            tip = f"{name}: {one.rows:,} rows, said {one.predicted:.3f}, clicked {one.clicked:.3f}"
            parts.append(
                f'<circle class="dot s{i}" cx="{xs(one.predicted):.1f}" '
                f'cy="{ys(one.clicked):.1f}" r="{radius:.1f}"><title>{escape(tip)}</title></circle>'
            )
    return _svg("calibration", parts, _WIDTH, 300) + _legend(list(bins))


def interval_chart(label: str, rows: Sequence[tuple[str, float, float, float]], own: str) -> str:
    """Draw a dot and its interval for each model, one below the other.

    Args:
        label: Name of the metric.
        rows: Model, value, low, high; NaN ends are left out.
        own: The model to bring out.
    """
    step, left = 26, 104
    height = len(rows) * step + 40
    ends = [v for _, value, low, high in rows for v in (value, low, high) if math.isfinite(v)]
    if not ends:
        return ""
    xs = _Axis.around(ends, left, _WIDTH - _RIGHT)
    bottom = height - _BOTTOM
    parts = []
    for tick in xs.ticks():
        parts.append(
            f'<line class="grid" x1="{xs(tick):.1f}" y1="4" x2="{xs(tick):.1f}" y2="{bottom}"/>'
            f'<text x="{xs(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>'
        )
    for i, (name, value, low, high) in enumerate(rows):
        y = 4 + step * (i + 0.5)
        kind = "s0" if name == own else "other"
        weight = ' class="own"' if name == own else ""
        parts.append(
            f'<text x="{left - 8}" y="{y + 4}" text-anchor="end"{weight}>{_cut(name)}</text>'
        )
        if math.isfinite(low) and math.isfinite(high):
            parts.append(
                f'<line class="range {kind}" x1="{xs(low):.1f}" y1="{y}" x2="{xs(high):.1f}" '
                f'y2="{y}"/>'
            )
        if math.isfinite(value):
            spread = f" ({low:.4f} to {high:.4f})" if math.isfinite(low) else ""
            tip = escape(f"{name}: {value:.4f}{spread}")
            parts.append(
                f'<circle class="dot {kind}" cx="{xs(value):.1f}" cy="{y}" r="4.5">'
                f"<title>{tip}</title></circle>"
            )
    return _svg(label, parts, _WIDTH, height)


def standalone(chart: str, legend: Sequence[str] = ()) -> str:
    """Make a chart a file of its own, with its colours, light and dark.

    Args:
        chart: Of a function above; what stands behind its `</svg>` is left out.
        legend: Names of its lines, written above the picture.
    """
    body = chart[: chart.index("</svg>")].replace(
        "<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1
    )
    room = 14 * len(legend)  # above the picture, where no line runs
    body = re.sub(
        r'viewBox="0 0 (\d+) (\d+)"',
        lambda found: f'viewBox="0 {-room} {found[1]} {int(found[2]) + room}"',
        body,
        count=1,
    )
    start = body.index(">") + 1
    keys = "".join(
        f'<text x="{_LEFT + 8}" y="{14 * (i + 1) - room - 2}" style="fill: var(--s{i % 4})">'
        f"{escape(name)}</text>"
        for i, name in enumerate(legend)
    )
    return f"{body[:start]}<style>{CHART_STYLE}</style>{body[start:]}{keys}</svg>\n"


class _Axis:
    """A linear scale from values to picture coordinates."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high, self.start, self.end = low, high, start, end

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float) -> _Axis:
        """Span the values with some air; a single value gets air of its own size."""
        low, high = min(values), max(values)
        air = (high - low) * 0.05 or abs(low) * 0.05 or 0.5
        return cls(low - air, high + air, start, end)

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return three to six round values within the scale."""
        # The widest step that fits three times. Steps grow by a factor of 2 at most, so
        # that it never fits more than six times.
        widest = (self.high - self.low) / 3
        power = 10.0 ** math.floor(math.log10(widest))
        step = max(m * power for m in (1, 2, 2.5, 5) if m * power <= widest)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(i * step, 12) for i in range(first, last + 1)]


def _frame(xs: _Axis, ys: _Axis, x_label: str, y_label: str) -> list[str]:
    parts = []
    for tick in ys.ticks():
        y = ys(tick)
        parts.append(
            f'<line class="grid" x1="{xs.start}" y1="{y:.1f}" x2="{xs.end}" y2="{y:.1f}"/>'
            f'<text x="{xs.start - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    for tick in xs.ticks():
        label = f"{tick:,g}" if abs(tick) < 1e5 else f"{tick:.3g}"
        parts.append(
            f'<text x="{xs(tick):.1f}" y="{ys.start + 16:.1f}" text-anchor="middle">{label}</text>'
        )
    parts.append(
        f'<text class="axis" x="{xs.end}" y="{ys.start + 30:.1f}" text-anchor="end">'
        f"{escape(x_label)}</text>"
    )
    if y_label:
        parts.append(
            f'<text class="axis" x="{xs.start}" y="{ys.end - 2:.1f}">{escape(y_label)}</text>'
        )
    return parts


def _svg(label: str, parts: Sequence[str], width: int, height: int) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def _legend(names: Sequence[str]) -> str:
    items = "".join(
        f'<span><i class="s{i % 4}"></i>{escape(name)}</span>' for i, name in enumerate(names)
    )
    return f'<p class="legend">{items}</p>'


def _cut(name: str) -> str:
    return escape(name if len(name) <= 15 else f"{name[:14]}…")
