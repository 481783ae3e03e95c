"""A report as one page that needs nothing else, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from ssrec_tf import storage
from ssrec_tf.errors import ConfigError, DataError
from ssrec_tf.figures import Report
from ssrec_tf.report_sections import (
    RecommendationExample,
    calibration_section,
    curves_section,
    describe,
    examples_section,
    headline_section,
    rules_of,
    section,
    slices_section,
    tiles_section,
)
from ssrec_tf.report_style import STYLE

__all__ = ["RecommendationExample", "read_report", "render_report", "write_report"]


def write_report(
    folder: str | Path,
    report: Report,
    *,
    curves: Sequence[Mapping[str, object]] = (),
    examples: Sequence[RecommendationExample] = (),
    card: Mapping[str, object] | None = None,
    model: str | None = None,
    tuning: Mapping[str, object] | None = None,
) -> Path:
    """Write `report.html` and `report.json`.

    Args:
        folder: Made where it is missing.
        report: The figures.
        curves: What training logged: `step` (number), `phase` (text), `metric` (text) and
            `value` (number) each. Phases of a metric share a chart; write a phase as
            `pretraining/valid` to keep the charts of several runs apart.
        examples: Recommendations for some users.
        card: The model card, as names and values to be shown.
        model: The model the page is about; by default the first of the report.
        tuning: The budget of a search and what it chose, as names and values to be shown.

    Returns:
        The path of the page.

    Raises:
        ConfigError: The report holds no such model.
        StorageError: The folder cannot be written.
    """
    model = model if model is not None else next(iter(report.models), "")
    if model not in report.models:
        known = ", ".join(report.models) or "none"
        raise ConfigError(f"no model {model!r} in the report: give one of {known}")
    page = render_report(
        report, model=model, curves=curves, examples=examples, card=card or {}, tuning=tuning or {}
    )
    text = json.dumps(report.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    storage.atomic_write_text(Path(folder) / "report.json", text + "\n")
    path = Path(folder) / "report.html"
    storage.atomic_write_text(path, page)
    return path


def read_report(path: str | Path) -> Report:
    """Read a `report.json` back.

    Raises:
        StorageError: The file cannot be read.
        DataError: It is no report.
    """
    with storage.storage_errors(path, "read"):
        text = Path(path).read_text("utf-8")
    try:
        values = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: no JSON ({error}): evaluate again") from error
    return Report.from_dict(values)


def render_report(
    report: Report,
    *,
    model: str,
    curves: Sequence[Mapping[str, object]],
    examples: Sequence[RecommendationExample],
    card: Mapping[str, object],
    tuning: Mapping[str, object],
) -> str:
    """Return the page; see `write_report`."""
    title = f"{model} on {report.card.dataset}"
    rules = report.card
    sections = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{rules.rows:,} rows of the {escape(rules.part)} part, split '
        f"{escape(rules.split)} {escape(rules.split_digest[:16])}</p>",
        tiles_section(report, model),
        headline_section(report, model),
        section("Tuning", "", describe(tuning)) if tuning else "",
        curves_section(curves),
        calibration_section(report, model),
        slices_section(report, model),
        examples_section(examples),
        section(
            "Protocol",
            "Only figures with an equal card may be compared.",
            describe(rules_of(report)),
        ),
        section("Model", "", describe(card)) if card else "",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><main>{chr(10).join(part for part in sections if part)}</main></body></html>\n"
    )
