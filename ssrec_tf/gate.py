"""Good enough to be blessed? Against fixed bounds, a baseline, and the last blessed model."""

from __future__ import annotations

import math

from ssrec_tf.config import EvaluateConfig
from ssrec_tf.figures import Report, compare, lower_is_better

TOLERANCE = 0.01


def gate(
    report: Report,
    config: EvaluateConfig,
    model: str,
    last: Report | None = None,
    *,
    tolerance: float = TOLERANCE,
) -> list[str]:
    """Return why a model may not be pushed; nothing when it may.

    Args:
        report: Figures of the model and of the baselines.
        config: Its `thresholds`, `beat` and `beat_metric` (default: the first metric).
        model: Name of the model in `report`, and in `last`.
        last: Report of the last blessed model under the same protocol; where the protocol
            has changed (`last.card != report.card`) there is none to compare with.
        tolerance: How much worse than in `last` a watched metric may be, as a share of
            its value then. Watched are the metrics of `thresholds` and `beat_metric`.

    Returns:
        A line a failure, with both values.

    Raises:
        ProtocolError: The card of `last` differs.
        ConfigError: A metric or a model named in `config` is not in `report`.
    """
    failures = []
    for metric, bound in config.thresholds.items():
        value = report.figure(model, metric).value
        name = report.metric_name(metric)
        if not _reaches(name, value, bound):
            word = "most" if lower_is_better(name) else "least"
            failures.append(f"{model}: {name} is {value:.4f}, must be at {word} {bound:g}")
    if config.beat is not None:
        metric = config.beat_metric or report.main_metrics()[0]
        failures += _not_beaten(report, model, config.beat, metric)
    if last is not None:
        watched = {report.metric_name(name) for name in config.thresholds}
        if config.beat is not None or not watched:
            watched.add(report.metric_name(config.beat_metric or report.main_metrics()[0]))
        for name in sorted(watched):
            failures += _fallen_behind(report, last, model, name, tolerance)
    return failures


def _not_beaten(report: Report, model: str, baseline: str, metric: str) -> list[str]:
    name = report.metric_name(metric)
    own, other = report.figure(model, name).value, report.figure(baseline, name).value
    if own != other and _reaches(name, own, other):
        return []
    return [f"{model}: {name} is {own:.4f}, does not beat {baseline} with {other:.4f}"]


def _fallen_behind(
    report: Report, last: Report, model: str, name: str, tolerance: float
) -> list[str]:
    change = compare(report, model, last, model, name)
    before = last.figure(model, name).value
    worse = change.value if lower_is_better(name) else -change.value
    if worse <= tolerance * abs(before):  # False for NaN
        return []
    now = report.figure(model, name).value
    return [
        f"{model}: {name} is {now:.4f}, worse than the last blessed model's {before:.4f} "
        f"by more than {tolerance:.0%}"
    ]


def _reaches(name: str, value: float, bound: float) -> bool:
    if math.isnan(value):
        return False
    return value <= bound if lower_is_better(name) else value >= bound
