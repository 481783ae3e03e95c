"""Results over seeds: averaged, compared in pairs, shown as Markdown and as rows of a CSV."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from ssrec_tf.bootstrap import percentile_interval
from ssrec_tf.figures import Difference, Figure, Report, compare

_SHOWN = ("rmse", "mae", "auc", "gauc", "log_loss", "recall@", "ndcg@", "mrr@")
_DRAWN = ("rmse", "ndcg@", "auc")


@dataclass(frozen=True)
class Result:
    """The bench on one split.

    Attributes:
        report: Figures by model; models of several seeds averaged, see `averaged`.
        spread: Standard deviation over seeds by metric by model, NaN of one seed.
        seeds: Trainings by model.
        seconds: Wall-clock seconds of fitting and scoring by model, a mean over seeds.
        tuned: What a search found, a line by model; empty without one.
    """

    report: Report
    spread: Mapping[str, Mapping[str, float]]
    seeds: Mapping[str, int]
    seconds: Mapping[str, float]
    tuned: Mapping[str, str]


def summarise(
    report: Report, seconds: Mapping[str, float], tuned: Mapping[str, str] = MappingProxyType({})
) -> Result:
    """Average a report's models over their seeds.

    Args:
        report: Of `bench`: `name/seed` for a model of several seeds, else `name`.
        seconds: By the same names; NaN where one is not known.
        tuned: What a search found, by model.
    """
    groups = _groups(report)
    spread = {
        name: {
            metric: float(np.std([report.models[m][metric].value for m in members], ddof=1))
            if len(members) > 1
            else math.nan
            for metric in report.models[members[0]]
        }
        for name, members in groups.items()
    }
    return Result(
        report=averaged(report),
        spread=spread,
        seeds={name: len(members) for name, members in groups.items()},
        seconds={
            name: float(np.mean([seconds.get(m, math.nan) for m in members]))
            for name, members in groups.items()
        },
        tuned=tuned,
    )


def averaged(report: Report) -> Report:
    """Put one model in the place of its seeds: `name` for `name/1`, `name/2` and so on.

    A figure is the mean over seeds. A resample of it draws seeds beside users, each model's
    its own, the users being those of all models: so differences stay paired, and an interval
    speaks of the method, not of the trainings that were run.
    """
    models = {}
    for number, (name, members) in enumerate(_groups(report).items()):
        first, count = report.models[members[0]], len(members)
        if count == 1:
            models[name] = first
            continue
        rng = np.random.default_rng([report.seed, number])
        drawn = rng.integers(0, count, (count, report.bootstrap))
        models[name] = {
            metric: _mean_figure([report.models[member][metric] for member in members], drawn)
            for metric in first
        }
    return replace(report, models=models, slices=(), calibration={})


def _groups(report: Report) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in report.models:
        groups.setdefault(name.rpartition("/")[0] or name, []).append(name)
    return groups


def _mean_figure(figures: Sequence[Figure], drawn: np.ndarray) -> Figure:
    """Mean over seeds, [seeds], with seeds resampled: `drawn` int [seeds, bootstrap]."""
    value = float(np.mean([figure.value for figure in figures]))
    kept = [figure.samples for figure in figures if figure.samples is not None]
    if len(kept) < len(figures) or math.isnan(value):
        return Figure(value)
    every = np.array(kept, np.float64)  # [seeds, bootstrap]
    mean = every.mean(axis=0)
    resampled = np.take_along_axis(every, drawn, axis=0).mean(axis=0)  # [bootstrap]
    # Of n seeds a resample's variance is short by (n - 1) / n, which is much of few.
    samples = mean + math.sqrt(len(every) / (len(every) - 1)) * (resampled - mean)
    return Figure(value, *percentile_interval(samples), samples.astype(np.float32))


def main_metrics(result: Result) -> list[str]:
    """Return the metrics that a table shows."""
    return [name for name in result.report.main_metrics() if name.startswith(_SHOWN)]


def drawn_metric(result: Result) -> str | None:
    """Return the metric that a chart is worth."""
    names = main_metrics(result)
    return next((m for start in _DRAWN for m in names if m.startswith(start)), None)


def show_figure(result: Result, model: str, metric: str) -> str:
    """Return value, spread and interval of a figure, bold where it is the best."""
    figure = result.report.models[model].get(metric)
    if figure is None or math.isnan(figure.value):
        return "-"
    value = f"{figure.value:.4f}"
    value = f"**{value}**" if model in result.report.best(metric) else value
    spread = result.spread[model].get(metric, math.nan)
    if not math.isnan(spread):
        value += f" ± {spread:.4f}"
    return value if math.isnan(figure.low) else f"{value} ({figure.low:z.3f}-{figure.high:z.3f})"


def difference(report: Report, model: str, against: str, metric: str) -> Difference | None:
    """Subtract, where both have the metric."""
    have = all(metric in report.models[name] for name in (model, against))
    return compare(report, model, report, against, metric) if have else None


def show_difference(found: Difference | None) -> str:
    """Return `+0.0100 (+0.0050 to +0.0150)`, bold where it is surely better."""
    if found is None or math.isnan(found.value):
        return "-"
    shown = f"{found.value:+z.4f}"
    shown = f"**{shown}**" if found.better else shown
    return shown if math.isnan(found.low) else f"{shown} ({found.low:+z.4f} to {found.high:+z.4f})"


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first row is its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---" + "|---:" * (len(rows[0]) - 1) + "|")
    return "\n".join(lines)


def records(result: Result, against: str | None) -> list[dict[str, str | float]]:
    """Return a row for each model and metric, with its difference to `against`."""
    rows: list[dict[str, str | float]] = []
    for model, found in result.report.models.items():
        for metric, figure in found.items():
            less = None
            if against in result.report.models and model != against:
                less = difference(result.report, model, str(against), metric)
            less = less or Difference(math.nan, math.nan, math.nan, None)
            rows.append(
                {
                    "part": result.report.card.part,
                    "model": model,
                    "metric": metric,
                    "value": figure.value,
                    "low": figure.low,
                    "high": figure.high,
                    "seeds": result.seeds[model],
                    "spread": result.spread[model][metric],
                    "difference": less.value,
                    "difference_low": less.low,
                    "difference_high": less.high,
                    "seconds": result.seconds[model],
                }
            )
    return rows
