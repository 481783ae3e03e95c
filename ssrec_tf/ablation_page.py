"""The tables and curves of an ablation, as one Markdown page with its figures beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ssrec_tf import storage
from ssrec_tf.ablation import NONE, PLAIN, Group
from ssrec_tf.bench_models import code_digest
from ssrec_tf.bench_results import (
    Result,
    difference,
    drawn_metric,
    main_metrics,
    markdown_table,
    records,
    show_difference,
    show_figure,
    summarise,
)
from ssrec_tf.figures import Report
from ssrec_tf.report_charts import line_chart, standalone


def write_ablation(folder: Path, reports: Mapping[Group, Report], *, command: str) -> Path:
    """Write `ablation.md`, `figures.csv` and a curve for each split and objective.

    A curve shows the metric over the share of labels (its logarithm, base 10), beside that
    of `none`; it needs two shares or more.

    Args:
        folder: where; made where it is missing.
        reports: of `ablate`.
        command: what reproduces the page.

    Returns:
        The path of the page.

    Raises:
        StorageError: A file cannot be written.
    """
    results = {group: summarise(report, {}) for group, report in reports.items()}
    parts = [_head(results, command)]
    for kind in dict.fromkeys(group[0] for group in results):
        own = {group: result for group, result in results.items() if group[0] == kind}
        parts += [f"## {kind}", *(_tables(own)), *_curves(folder, kind, own)]
    rows = [
        {"split": kind, "control": control, "share": share, **row}
        for (kind, control, share), result in results.items()
        for row in records(result, NONE)
    ]
    frame = pd.DataFrame(rows).drop(columns="seconds").rename(columns={"model": "objective"})
    csv = frame.to_csv(index=False, float_format="%.6f")
    storage.atomic_write_text(folder / "figures.csv", csv)
    path = folder / "ablation.md"
    storage.atomic_write_text(path, "\n\n".join(part for part in parts if part) + "\n")
    return path


def _head(results: Mapping[Group, Result], command: str) -> str:
    card = next(iter(results.values())).report.card
    return "\n\n".join(
        [
            "# Ablation",
            "Written whole by a command; it is not edited by hand:",
            f"```bash\n{command}\n```",
            f"Data: {card.dataset}. Part: {card.part}. Code: {code_digest()[:16]}. All cells are "
            "fine-tuned for equally many steps and choose their best weights on the valid part. "
            "A share is that of the train rows whose labels are kept: fine-tuning and the "
            "histories at evaluation see those rows alone, pretraining all of them, the others "
            "without rating and click.",
            "± is the standard deviation over seeds (draw of the labels, weights, order); in "
            "brackets stand 95 % intervals over resamples of users and of seeds. Differences to "
            "none are paired: both on the same resamples of users, seeds drawn apart; bold where "
            "surely better.",
        ]
    )


def _tables(results: Mapping[Group, Result]) -> list[str]:
    parts = []
    for (_, control, share), result in results.items():
        metrics = main_metrics(result)
        rows = [["objective", "seeds", *metrics]]
        lines = [[f"less {NONE}", *metrics]]
        for name in result.report.models:
            cells = [show_figure(result, name, metric) for metric in metrics]
            rows.append([name, str(result.seeds[name]), *cells])
            if name != NONE and NONE in result.report.models:
                found = [difference(result.report, name, NONE, metric) for metric in metrics]
                lines.append([name, *(show_difference(one) for one in found)])
        title = f"### {share:g} of the labels" + ("" if control == PLAIN else f", {control}")
        parts += [title, markdown_table(rows), markdown_table(lines) if len(lines) > 1 else ""]
    return parts


def _curves(folder: Path, kind: str, results: Mapping[Group, Result]) -> list[str]:
    """Draw each objective beside none, one small chart each."""
    plain = {share: r for (_, control, share), r in results.items() if control == PLAIN}
    if len(plain) < 2:
        return []
    first = next(iter(plain.values()))
    metric = drawn_metric(first) or ""
    lines = {
        name: [
            (math.log10(share), found[metric].value)
            for share, result in sorted(plain.items())
            if metric in (found := result.report.models[name])
        ]
        for name in first.report.models
    }
    pictures = []
    for name in [name for name in lines if name != NONE] or list(lines):
        shown = {one: lines[one] for one in dict.fromkeys((name, NONE)) if one in lines}
        label = f"{metric} over log10 of the share of labels"
        chart = line_chart(label, shown, x_label="log10 of the share of labels")
        if chart:
            file = f"{kind}-{name}.svg"
            storage.atomic_write_text(folder / file, standalone(chart, list(shown)))
            pictures.append(f"![{metric} of {name} by share of labels]({file})")
    return pictures
