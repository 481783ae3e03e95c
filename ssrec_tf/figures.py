"""A report's figures: what was measured, how sure it is, and whether it is good enough."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ssrec_tf.bootstrap import percentile_interval
from ssrec_tf.errors import ConfigError, DataError
from ssrec_tf.metrics import LOWER_IS_BETTER, CalibrationBin
from ssrec_tf.protocol import ProtocolCard

MAIN_METRICS = ("rmse", "mae", "auc", "gauc", "log_loss", "ndcg", "recall@", "mrr", "coverage")


@dataclass(frozen=True)
class Figure:
    """One metric of one model.

    Attributes:
        value: On the rows as they are; NaN where the metric does not exist.
        low: Lower end of the 95 % interval; NaN without one.
        high: Its upper end.
        samples: float32 [bootstrap], the value on every resample of users, kept for the
            metrics that are compared in pairs; None for the rest.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    samples: np.ndarray | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Slice:
    """A group of rows measured on its own.

    Attributes:
        name: Which rows.
        rows: How many.
        users: Of how many users.
        figures: Value by metric by model; no intervals.
    """

    name: str
    rows: int
    users: int
    figures: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Difference:
    """One model's metric less another's, on the same resamples of users.

    Attributes:
        value: a - b.
        low: Lower end of the 95 % interval; NaN where resamples are not paired.
        high: Its upper end.
        better: Whether a is better, when the interval leaves out 0; else None.
    """

    value: float
    low: float
    high: float
    better: bool | None


@dataclass(frozen=True)
class Report:
    """Figures of several models under one protocol card.

    Attributes:
        card: The protocol.
        bootstrap: Number of resamples of users.
        seed: Of the resamples.
        models: Figure by metric by model, in the order of the scores given.
        slices: Groups of rows.
        calibration: Bins by model, for models with click probabilities.
    """

    card: ProtocolCard
    bootstrap: int
    seed: int
    models: Mapping[str, Mapping[str, Figure]]
    slices: tuple[Slice, ...] = ()
    calibration: Mapping[str, tuple[CalibrationBin, ...]] = field(default_factory=dict)

    def figure(self, model: str, metric: str) -> Figure:
        """Return a figure; `ndcg`, `ndcg@k` and `ndcg@10` name the same one when k is 10.

        Raises:
            ConfigError: No such model, or it has no such metric.
        """
        if model not in self.models:
            known = ", ".join(self.models)
            raise ConfigError(f"no model {model!r} in the report: give one of {known}")
        found = self.models[model]
        metric = self.metric_name(metric)
        if metric not in found:
            known = ", ".join(found) or "none"
            raise ConfigError(f"{model} has no metric {metric!r}: give one of {known}")
        return found[metric]

    def metric_name(self, metric: str) -> str:
        """Return a metric's full name: with its cutoff, where it has one."""
        names = self.metrics()
        full = f"{metric.removesuffix('@k')}@{self.card.k}"
        return full if metric not in names and full in names else metric

    def metrics(self) -> tuple[str, ...]:
        """Return the names of all metrics any model has."""
        return tuple(dict.fromkeys(name for found in self.models.values() for name in found))

    def main_metrics(self) -> tuple[str, ...]:
        """Return those of the metrics that belong in a first table."""
        return tuple(n for n in self.metrics() if n.startswith(MAIN_METRICS))

    def table(self, *, intervals: bool = False) -> str:
        """Return the main figures as aligned text, a model a line, the best marked `*`.

        Args:
            intervals: Whether a second line gives the models' 95 % intervals.
        """
        names = self.main_metrics()
        columns = [["model"]] + [[f"{name} "] for name in names]
        best = {name: self.best(name) for name in names}
        for model, found in self.models.items():
            figures = [found.get(name, Figure(math.nan)) for name in names]
            columns[0].append(model)
            # Every cell ends in its mark, so that the figures stay aligned.
            for name, figure, column in zip(names, figures, columns[1:], strict=True):
                mark = " *"[model in best[name]]
                column.append("- " if math.isnan(figure.value) else f"{figure.value:.4f}{mark}")
            if intervals and not all(math.isnan(figure.low) for figure in figures):
                columns[0].append("")
                for figure, column in zip(figures, columns[1:], strict=True):
                    known = not math.isnan(figure.low)
                    column.append(f"{figure.low:z.3f}-{figure.high:z.3f} " if known else "")
        widths = [max(map(len, column)) for column in columns]
        lines = []
        for first, *cells in zip(*columns, strict=True):
            aligned = [f"{cell:>{w}}" for cell, w in zip(cells, widths[1:], strict=True)]
            lines.append("  ".join([f"{first:<{widths[0]}}", *aligned]).rstrip())
        return "\n".join(lines)

    def best(self, metric: str) -> frozenset[str]:
        """Return the models no other one beats on a metric, to four digits."""
        values = {
            model: round(found[metric].value, 4)
            for model, found in self.models.items()
            if metric in found and not math.isnan(found[metric].value)
        }
        if not values:
            return frozenset()
        top = (min if lower_is_better(metric) else max)(values.values())
        found = frozenset(model for model, value in values.items() if value == top)
        return found if len(found) < len(values) or len(values) == 1 else frozenset()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: NaN as None, resamples as base64 of float32."""
        return _to_dict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Report:
        """Build a report from the values of `to_dict`.

        Raises:
            DataError: They are not of this form.
        """
        try:
            return _from_dict(values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"report: {type(error).__name__}: {error}: evaluate again with this version"
            ) from error


def lower_is_better(metric: str) -> bool:
    """Tell whether a metric is an error."""
    return metric in LOWER_IS_BETTER


def compare(a: Report, model_a: str, b: Report, model_b: str, metric: str) -> Difference:
    """Subtract model b's figure from model a's, on the same resamples of users.

    Args:
        a: Report that holds `model_a`.
        model_a: Name of a model.
        b: Report that holds `model_b`; may be the same.
        model_b: Name of a model.
        metric: Name of a metric both have.

    Raises:
        ProtocolError: The reports' cards differ.
        ConfigError: A model or a metric is not there.
    """
    a.card.check_same(b.card)
    one, two = a.figure(model_a, metric), b.figure(model_b, metric)
    value = one.value - two.value
    paired = (a.bootstrap, a.seed) == (b.bootstrap, b.seed)
    if not paired or one.samples is None or two.samples is None:
        return Difference(value, math.nan, math.nan, None)
    low, high = percentile_interval(one.samples.astype(np.float64) - two.samples)
    if not (low > 0 or high < 0):
        return Difference(value, low, high, None)
    return Difference(value, low, high, (high < 0) == lower_is_better(a.metric_name(metric)))


def _to_dict(report: Report) -> dict[str, Any]:
    return {
        "protocol": report.card.to_dict(),
        "bootstrap": {"samples": report.bootstrap, "seed": report.seed, "level": 0.95},
        "models": {
            model: {
                name: {"value": _plain(f.value), "low": _plain(f.low), "high": _plain(f.high)}
                for name, f in found.items()
            }
            for model, found in report.models.items()
        },
        "slices": [
            {
                "name": part.name,
                "rows": part.rows,
                "users": part.users,
                "figures": {
                    model: {name: _plain(value) for name, value in found.items()}
                    for model, found in part.figures.items()
                },
            }
            for part in report.slices
        ],
        "calibration": {
            model: [[one.rows, one.predicted, one.clicked] for one in bins]
            for model, bins in report.calibration.items()
        },
        "samples": {
            model: {name: _pack(f.samples) for name, f in found.items() if f.samples is not None}
            for model, found in report.models.items()
        },
    }


def _from_dict(values: Mapping[str, Any]) -> Report:
    samples = values["samples"]
    return Report(
        card=ProtocolCard.from_dict(values["protocol"]),
        bootstrap=int(values["bootstrap"]["samples"]),
        seed=int(values["bootstrap"]["seed"]),
        models={
            model: {
                name: Figure(
                    _number(f["value"]),
                    _number(f["low"]),
                    _number(f["high"]),
                    _unpack(samples.get(model, {}).get(name)),
                )
                for name, f in found.items()
            }
            for model, found in values["models"].items()
        },
        slices=tuple(
            Slice(
                part["name"],
                int(part["rows"]),
                int(part["users"]),
                {
                    model: {name: _number(value) for name, value in found.items()}
                    for model, found in part["figures"].items()
                },
            )
            for part in values["slices"]
        ),
        calibration={
            model: tuple(CalibrationBin(int(n), float(p), float(c)) for n, p, c in bins)
            for model, bins in values["calibration"].items()
        },
    )


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _pack(samples: np.ndarray) -> str:
    return base64.b64encode(samples.astype("<f4").tobytes()).decode("ascii")


def _unpack(text: str | None) -> np.ndarray | None:
    return None if text is None else np.frombuffer(base64.b64decode(text), "<f4")
