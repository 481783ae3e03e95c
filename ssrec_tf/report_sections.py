"""The parts of a report's page: each takes figures and returns HTML, all texts escaped."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from ssrec_tf.figures import Figure, Report, compare, lower_is_better
from ssrec_tf.report_charts import calibration_chart, interval_chart, line_chart

_FIRST = ("rmse", "auc", "ndcg@", "log_loss")  # what a tile and a chart are worth
_CHARTS = 3


@dataclass(frozen=True)
class RecommendationExample:
    """What one user did, and what a model would show.

    Attributes:
        user: Who, as text.
        history: Texts of past interactions, oldest first.
        recommended: (text, score), best first.
    """

    user: str
    history: Sequence[str]
    recommended: Sequence[tuple[str, float]]


def section(title: str, explanation: str, body: str) -> str:
    """Return a titled section; `body` is HTML, the rest plain text."""
    about = f'<p class="soft">{escape(explanation)}</p>' if explanation else ""
    return f"<section><h2>{escape(title)}</h2>{about}{body}</section>"


def tiles_section(report: Report, model: str) -> str:
    """Show the model's main figures, each beside the best of the others."""
    tiles: list[str] = []
    for metric in _first(report):
        own = report.models[model].get(metric)
        if own is None or math.isnan(own.value):
            continue
        tiles.append(
            f'<div class="box tile"><span class="name">{escape(metric)}</span>'
            f"<b>{own.value:.4f}</b><span>{_range(own)}</span>"
            f"{_versus(report, model, metric)}</div>"
        )
    return f'<div class="tiles">{"".join(tiles)}</div>' if tiles else ""


def _first(report: Report) -> list[str]:
    names = report.main_metrics()
    return [name for start in _FIRST for name in names if name.startswith(start)]


def _versus(report: Report, model: str, metric: str) -> str:
    rivals = {
        name: found[metric].value
        for name, found in report.models.items()
        if name != model and metric in found and not math.isnan(found[metric].value)
    }
    if not rivals:
        return ""
    choose = min if lower_is_better(metric) else max
    rival = choose(rivals, key=lambda name: rivals[name])
    change = compare(report, model, report, rival, metric)
    kind = {True: "good", False: "bad", None: ""}[change.better]
    low, high = (f"{end:+z.4f}" if math.isfinite(end) else "?" for end in (change.low, change.high))
    spread = f" ({low} to {high})" if "?" not in (low, high) else ""
    return f'<span class="{kind}">{change.value:+z.4f}{spread} against {escape(rival)}</span>'


def headline_section(report: Report, model: str) -> str:
    """Compare all models: main figures with intervals, then the others."""
    names = report.main_metrics()
    head = "".join(f"<th>{escape(n)}</th>" for n in names)
    best = {name: report.best(name) for name in names}
    rows = []
    for name, found in report.models.items():
        cells = "".join(_cell(found.get(n), bold=name in best[n]) for n in names)
        own = ' class="own"' if name == model else ""
        rows.append(f"<tr{own}><td>{escape(name)}</td>{cells}</tr>")
    more = [n for n in report.metrics() if n not in names]
    drawn = {n: interval_chart(n, _intervals(report, n), model) for n in _first(report)}
    shown = [n for n, chart in drawn.items() if chart][:_CHARTS]
    charts = "".join(
        f'<figure class="box"><h3>{escape(n)}, {_direction(n)}</h3>{drawn[n]}</figure>'
        for n in shown
    )
    table = _table(f"<th>model</th>{head}", rows)
    return section(
        "Against the baselines",
        f"Small: 95 % intervals ({report.bootstrap:,} resamples of users). Bold: the best. "
        "Models are measured on the same rows, so differences can be sure where intervals overlap.",
        f'{table}<div class="grid-of" style="margin-top:1rem">{charts}</div>'
        + (_other_metrics(report, model, more) if more else ""),
    )


def _other_metrics(report: Report, model: str, names: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(n)}</th>" for n in names)
    rows = []
    for name, found in report.models.items():
        cells = "".join(_cell(found.get(n), bold=False) for n in names)
        own = ' class="own"' if name == model else ""
        rows.append(f"<tr{own}><td>{escape(name)}</td>{cells}</tr>")
    return f'<div style="margin-top:1rem">{_table(f"<th>model</th>{head}", rows)}</div>'


def _intervals(report: Report, metric: str) -> list[tuple[str, float, float, float]]:
    return [
        (name, found[metric].value, found[metric].low, found[metric].high)
        for name, found in report.models.items()
        if metric in found
    ]


def curves_section(curves: Sequence[Mapping[str, object]]) -> str:
    """Draw what training logged: a chart a run and metric, a line a phase."""
    charts: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = {}
    for point in curves:
        run, _, phase = str(point["phase"]).rpartition("/")
        lines = charts.setdefault((run, str(point["metric"])), {})
        where = (float(str(point["step"])), float(str(point["value"])))
        lines.setdefault(phase, []).append(where)
    figures = [
        f'<figure class="box"><h3>{escape(f"{run}: {metric}" if run else metric)}</h3>'
        f"{chart}</figure>"
        for (run, metric), lines in charts.items()
        if (chart := line_chart(metric, {name: sorted(line) for name, line in lines.items()}))
    ]
    if not figures:
        return ""
    return section("Learning curves", "", f'<div class="grid-of">{"".join(figures)}</div>')


def calibration_section(report: Report, model: str) -> str:
    """Draw the calibration of the model and of the best calibrated other one."""
    if model not in report.calibration:
        return ""
    rivals = [name for name in report.calibration if name != model]
    rival = min(rivals, key=lambda n: report.models[n]["log_loss"].value, default=None)
    shown = {n: report.calibration[n] for n in (model, rival) if n is not None}
    return section(
        "Calibration",
        "Of the rows given a probability, how many were clicked. On the dashed line the two "
        "agree; a dot's area shows its rows.",
        f'<figure class="box" style="max-width:34rem">{calibration_chart(shown)}</figure>',
    )


def slices_section(report: Report, model: str) -> str:
    """Show the model's figures on groups of rows."""
    names = [
        n for n in report.main_metrics() if any(n in part.figures[model] for part in report.slices)
    ]
    if not report.slices or not names:
        return ""
    rows = []
    for part in report.slices:
        cells = "".join(_slice_cell(part.figures, model, n) for n in names)
        rows.append(
            f"<tr><td>{escape(part.name)}</td><td>{part.rows:,}</td><td>{part.users:,}</td>{cells}</tr>"
        )
    head = "".join(f"<th>{escape(n)}</th>" for n in names)
    return section(
        "Slices",
        f"Figures of {model} on groups of rows; small: the best of the others. Cold is what "
        "train never saw.",
        _table(f"<th>slice</th><th>rows</th><th>users</th>{head}", rows),
    )


def _slice_cell(figures: Mapping[str, Mapping[str, float]], model: str, metric: str) -> str:
    own = figures[model].get(metric, math.nan)
    others = [
        found[metric]
        for name, found in figures.items()
        if name != model and not math.isnan(found.get(metric, math.nan))
    ]
    if math.isnan(own):
        return "<td>&ndash;</td>"
    if not others:
        return f"<td>{own:.4f}</td>"
    best = min(others) if lower_is_better(metric) else max(others)
    better = own < best if lower_is_better(metric) else own > best
    value = f"<b>{own:.4f}</b>" if better else f"{own:.4f}"
    return f"<td>{value}<small>{best:.4f}</small></td>"


def examples_section(examples: Sequence[RecommendationExample]) -> str:
    """Show what users did and what the model would show them."""
    boxes = []
    for one in examples:
        history = "".join(f"<li><span>{escape(text)}</span></li>" for text in one.history)
        shown = "".join(
            f"<li><span>{escape(text)}</span><em>{score:.3f}</em></li>"
            for text, score in one.recommended
        )
        boxes.append(
            f'<div class="box example"><h3>{escape(one.user)}</h3><h4>Past</h4>'
            f"<ul>{history}</ul><h4>Recommended</h4><ol>{shown}</ol></div>"
        )
    if not boxes:
        return ""
    return section(
        "Examples of recommendations",
        "Past: oldest first.",
        f'<div class="grid-of">{"".join(boxes)}</div>',
    )


def rules_of(report: Report) -> dict[str, object]:
    """Return the protocol card with words for names."""
    rules: dict[str, object] = {
        name.replace("_", " "): value for name, value in report.card.to_dict().items()
    }
    rules["intervals"] = (
        f"95 %, {report.bootstrap:,} resamples of users, seed {report.seed}; ece and coverage: "
        "1.96 standard deviations of the resamples"
    )
    return rules


def describe(values: Mapping[str, object]) -> str:
    """Show names and values; nested ones as `name.inner`."""
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _flat(values, "")
    )
    return f'<div class="box"><dl>{rows}</dl></div>'


def _flat(values: Mapping[str, object], above: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        elif isinstance(value, (list, tuple)):
            yield f"{above}{name}", ", ".join(str(part) for part in value)
        else:
            yield f"{above}{name}", "unknown" if value is None else str(value)


def _table(head: str, rows: Sequence[str]) -> str:
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(figure: Figure | None, *, bold: bool) -> str:
    if figure is None or math.isnan(figure.value):
        return "<td>&ndash;</td>"
    value = f"<b>{figure.value:.4f}</b>" if bold else f"{figure.value:.4f}"
    return f"<td>{value}<small>{_range(figure)}</small></td>"


def _range(figure: Figure) -> str:
    if math.isnan(figure.low):
        return ""
    return f"{figure.low:z.3f} to {figure.high:z.3f}"


def _direction(metric: str) -> str:
    return "lower is better" if lower_is_better(metric) else "higher is better"
