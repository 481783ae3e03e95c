"""`ssrec bench`: models side by side on the same rows of one split, resumable.

Every model's scores are kept beside the report under a name that holds the data, the
split, the part, the model, its seed and what it was configured by; a model whose scores
are there is not fitted again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ssrec_tf import baselines, distillation, learning, storage
from ssrec_tf.config import RunConfig, to_dict
from ssrec_tf.datasets import load_data
from ssrec_tf.errors import ConfigError
from ssrec_tf.evaluation import Report, Scores, compare, evaluate, part_rows
from ssrec_tf.examples import write_examples
from ssrec_tf.personal_data import hide_in_tables
from ssrec_tf.reporting import write_report
from ssrec_tf.scoring import score_and_rank
from ssrec_tf.splits import Split, check_leakage, make_split
from ssrec_tf.statistics import LabelStatistics
from ssrec_tf.tables import Tables
from ssrec_tf.text_table import TextTable

OWN = "ssrec_tf"
_FIELDS = ("rating", "click", "ranking")


def known_models() -> tuple[str, ...]:
    """Names that `bench` takes."""
    return (OWN, *(kind.name for kind in baselines.BASELINES), *baselines.EXTENDED)


def bench(
    config: RunConfig,
    *,
    base: Path,
    folder: Path,
    models: Sequence[str],
    part: str = "valid",
    seeds: Sequence[int] = (7,),
    tell: Callable[[str], None] = print,
) -> Report:
    """Fit models on the train rows and measure them on one part.

    Args:
        config: of a run; its data, split, text and training are this project's model's.
        base: what relative paths in it start from.
        folder: gets the scores, `table.txt`, `report.html` and `report.json`.
        models: names of `known_models`; what the data do not allow is an error.
        part: "valid", or "test" once all is decided.
        seeds: of this project's model, each trained anew; the others have one seed.
        tell: called with a line for each model.

    Returns:
        The report, whose protocol card says by which rules.

    Raises:
        ConfigError: a model is unknown or needs ratings that the log has not.
    """
    for name in models:
        if name not in known_models():
            raise ConfigError(f"no model {name!r}: give some of {', '.join(known_models())}")
    tables = load_data(config.data, base=base)
    split = make_split(tables, config.split)
    check_leakage(tables, split)
    if config.text.mask_personal_data:
        tables = hide_in_tables(tables)
    users = np.sort(tables.interactions.loc[part_rows(split, part), "user"].unique())
    scores: dict[str, Scores] = {}
    for name in models:
        for seed in seeds if name == OWN else (0,):
            label = f"{OWN}/{seed}" if name == OWN and len(seeds) > 1 else name
            kept = folder / "scores" / f"{name}-{_key(config, split, part, name, seed)}"
            if not (kept / "scores.npz").exists():
                tell(f"fit {label}")
                work = folder / "work" / kept.name
                found = (
                    _own(config, tables, split, part, users, seed, work)
                    if name == OWN
                    else _baseline(name, tables, split, part, users)
                )
                _keep(kept, found)
            scores[label] = _kept(kept)
    report = evaluate(
        tables, split, part, scores, config.evaluate,
        ranking_users=users, split_seed=config.split.seed,
    )  # fmt: skip
    write_report(folder, report)
    storage.atomic_write_text(folder / "table.txt", report.table() + "\n")
    return report


def differences(report: Report, against: str) -> list[str]:
    """Each model's main figures less `against`'s, with the interval of the pairs: a line each.

    Raises:
        ConfigError: `against` is not in the report.
    """
    if against not in report.models:
        raise ConfigError(
            f"no model {against!r} to subtract: give one of {', '.join(report.models)}"
        )
    lines = []
    for model in report.models:
        for metric in report.main_metrics():
            here = metric in report.models[model] and metric in report.models[against]
            if model == against or not here:
                continue
            found = compare(report, model, report, against, metric)
            if not np.isnan(found.low):
                interval = f"{found.low:+.4f} to {found.high:+.4f}"
                lines.append(f"{model} - {against}  {metric} {found.value:+.4f} ({interval})")
    return lines


def spread(report: Report) -> list[str]:
    """Mean and standard deviation over the seeds of this project's model: a line a metric."""
    own = [figures for name, figures in report.models.items() if name.startswith(f"{OWN}/")]
    lines = []
    for metric in report.main_metrics() if own else ():
        values = [figures[metric].value for figures in own if metric in figures]
        if values:
            shown = f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
            lines.append(f"{OWN}  {metric} {shown} over {len(values)} seeds")
    return lines


def _key(config: RunConfig, split: Split, part: str, name: str, seed: int) -> str:
    body = [split.kind, split.digest, part, name, seed]
    if name == OWN:
        plain = to_dict(config)
        body += [plain[key] for key in ("data", "text", "encoder", "pretrain", "train")]
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _keep(folder: Path, scores: Scores) -> None:
    arrays = {name: getattr(scores, name) for name in _FIELDS}
    with storage.atomic_folder(folder, replace=True) as staged:
        np.savez(staged / "scores.npz", **{k: v for k, v in arrays.items() if v is not None})


def _kept(folder: Path) -> Scores:
    with np.load(folder / "scores.npz") as arrays:
        return Scores(**{name: arrays[name] for name in arrays.files})


def _baseline(name: str, tables: Tables, split: Split, part: str, users: np.ndarray) -> Scores:
    kinds = {kind.name: kind for kind in baselines.BASELINES} | dict(baselines.EXTENDED)
    model = kinds[name]()
    if model.needs_rating and "rating" not in tables.interactions:
        raise ConfigError(f"{name} needs ratings, {tables.name} has none")
    model.fit(tables, split)
    rows = tables.interactions.loc[part_rows(split, part)]
    pairs = model.scores(rows["user"].to_numpy(), rows["item"].to_numpy())
    return replace(pairs, ranking=model.rank(users))


def _own(
    config: RunConfig,
    tables: Tables,
    split: Split,
    part: str,
    users: np.ndarray,
    seed: int,
    work: Path,
) -> Scores:
    """Train as the pipeline does; a killed training goes on from its checkpoints."""
    train = replace(config.train, loop=replace(config.train.loop, seed=seed))
    text = TextTable.build(tables, split, config.text)
    examples = work / "examples"
    if not (examples / "examples.json").exists():
        write_examples(tables, split, examples, max_targets=train.max_targets)
    encoder = learning.create_encoder(config.encoder, text, seed=config.pretrain.loop.seed)
    ahead = {"past_only": split.past_only}
    learning.pretrain(encoder, text, examples, config.pretrain, workdir=work / "pretrain", **ahead)
    model = learning.make_recommender(encoder, text, LabelStatistics.of(tables, split.train), train)
    distillation.fit(model, examples, workdir=work / "train", **ahead)
    sizes = learning.batch_config(train, **ahead)
    return score_and_rank(model, examples, part, sizes, tables, split, users)
