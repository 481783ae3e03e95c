"""`ssrec bench --splits`: the bench on several splits, and all of it as one page.

The page is Markdown, written whole: what it says follows from the scores that are kept.
Beside it lie a CSV of the same figures and a chart for each split.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from ssrec_tf import baselines, storage
from ssrec_tf.bench import bench
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
from ssrec_tf.bench_tuning import Parameters, Tuned
from ssrec_tf.config import RunConfig, from_dict, load_config, to_dict
from ssrec_tf.errors import ConfigError
from ssrec_tf.figures import lower_is_better
from ssrec_tf.report_charts import interval_chart, standalone
from ssrec_tf.splits import STREAMING


def split_configs(
    path: Path, splits: Sequence[str], overrides: Sequence[str] = ()
) -> dict[str, tuple[RunConfig, Path]]:
    """Read what each split is benched with.

    Args:
        path: YAML of a run.
        splits: `kind` each, or `kind=other.yaml` for a run of its own.
        overrides: as in `load_config`; of all runs.

    Returns:
        By kind, the configuration with that `split.kind`, and the folder its paths start
        from.

    Raises:
        ConfigError: A kind is unknown or given twice, or a configuration is wrong.
    """
    found: dict[str, tuple[RunConfig, Path]] = {}
    for entry in splits:
        kind, _, own = entry.partition("=")
        if kind in found:
            raise ConfigError(f"--splits names {kind} twice: give it once")
        chosen = Path(own) if own else path
        plain = to_dict(load_config(chosen, overrides))
        plain["split"]["kind"] = kind
        found[kind] = (from_dict(plain), chosen.resolve().parent)
    return found


def bench_splits(
    configs: Mapping[str, tuple[RunConfig, Path]],
    *,
    folder: Path,
    models: Sequence[str],
    variants: Mapping[str, Parameters] = MappingProxyType({}),
    part: str,
    seeds: Sequence[int],
    trials: int = 0,
    tuned_in: Path | None = None,
    against: str | None = None,
    tell: Callable[[str], None] = print,
) -> dict[str, Result]:
    """Bench every split in a folder of its own; see `bench`.

    A model that streams is left out of the splits that do not.

    Raises:
        ConfigError: as in `bench`, or `against`, with which the page compares, is none of
            the models; before anything is fitted.

    Returns:
        The results by split, in the order of `configs`; several seeds averaged.
    """
    if against is not None and against not in (*models, *variants):
        raise ConfigError(f"--against {against}: give one of {', '.join((*models, *variants))}")
    streaming = {name for name, kind in baselines.EXTENDED.items() if kind.streaming}
    results = {}
    for kind, (config, base) in configs.items():
        tell(f"split {kind}")
        own = folder / kind
        report = bench(
            config,
            base=base,
            folder=own,
            models=[name for name in models if kind in STREAMING or name not in streaming],
            variants=variants,
            part=part,
            seeds=seeds,
            trials=trials,
            tuned_in=tuned_in,
            tell=tell,
        )
        seconds = json.loads((own / "seconds.json").read_text())
        results[kind] = summarise(report, seconds, _searches(own) if trials else {})
    return results


def _searches(folder: Path) -> dict[str, str]:
    """Read back what a bench's searches found, a line for each model."""
    kept = json.loads((folder / "parameters.json").read_text())["models"]
    return {name: Tuned(**found).describe() for name, found in kept.items()}


def write_page(
    path: Path, results: Mapping[str, Result], *, command: str, against: str | None
) -> None:
    """Write the page, and beside it `<stem>/figures.csv` and a chart a split.

    Args:
        path: Of the Markdown file.
        results: Of `bench_splits`.
        command: What reproduces the page, from a checkout.
        against: The model that the others are compared with; None for no comparison.

    Raises:
        StorageError: A file cannot be written.
    """
    assets = path.with_suffix("")
    sections = []
    for kind, result in results.items():
        metric, picture = drawn_metric(result), ""
        if metric and (chart := _chart(result, metric, against)):
            storage.atomic_write_text(assets / f"{kind}.svg", chart)
            picture = f"![{metric} by model]({assets.name}/{kind}.svg)"
        sections.append(_section(kind, result, against, picture))
    rows = [
        {"split": kind, **row}
        for kind, result in results.items()
        for row in records(result, against)
    ]
    csv = pd.DataFrame(rows).to_csv(index=False, float_format="%.6f")
    storage.atomic_write_text(assets / "figures.csv", csv)
    storage.atomic_write_text(path, "\n\n".join([_head(results, command), *sections]) + "\n")


def _head(results: Mapping[str, Result], command: str) -> str:
    card = next(iter(results.values())).report.card
    return "\n".join(
        [
            "# Benchmarks",
            "",
            "Written whole by a command; it is not edited by hand:",
            "",
            "```bash",
            command,
            "```",
            "",
            f"Data: {card.dataset}. Part: {card.part}; all models are fitted on {card.fitted_on} "
            f"and tuned on {card.tuned_on}. A click: {card.click}. Code: {code_digest()[:16]}.",
            "",
            "± is the standard deviation over seeds of training; in brackets stand 95 % intervals "
            "over resamples of users, and of seeds where there are several. Differences are "
            "paired: both models on the same resamples of users, seeds drawn apart; bold is the "
            "best, or what is surely better. "
            "Seconds are wall-clock, of fitting and scoring once, without the search, on the "
            "machine that wrote this; a pretraining that seeds share counts for the first.",
        ]
    )


def _section(kind: str, result: Result, against: str | None, picture: str) -> str:
    card = result.report.card
    metrics = main_metrics(result)
    rows = [["model", "seeds", *metrics, "seconds"]]
    for name in result.report.models:
        cells = [show_figure(result, name, metric) for metric in metrics]
        rows.append([name, str(result.seeds[name]), *cells, f"{result.seconds[name]:.1f}"])
    parts = [
        f"## {kind}",
        f"{card.rows:,} rows; split sha256 {card.split_digest[:16]}, seed {card.split_seed}. "
        f"Histories: {card.histories}. Ranked: {card.ranked_users:,} users; candidates: "
        f"{card.candidates}."
        + (
            " A model that keeps no history scores as without streaming."
            if kind in STREAMING
            else ""
        ),
        markdown_table(rows),
        picture,
    ]
    if against is not None and against in result.report.models and len(result.report.models) > 1:
        lines = [[f"less {against}", *metrics]]
        for name in result.report.models:
            if name != against:
                found = [difference(result.report, name, against, metric) for metric in metrics]
                lines.append([name, *(show_difference(one) for one in found)])
        parts.append(markdown_table(lines))
    parts.append("\n".join(f"- {name}: {found}" for name, found in result.tuned.items()))
    return "\n\n".join(part for part in parts if part)


def _chart(result: Result, metric: str, own: str | None) -> str:
    rows = [
        (name, found[metric].value, found[metric].low, found[metric].high)
        for name, found in result.report.models.items()
        if metric in found
    ]
    label = f"{metric}, {'lower' if lower_is_better(metric) else 'higher'} is better"
    chart = interval_chart(label, rows, own or "")
    return standalone(chart) if chart else ""
