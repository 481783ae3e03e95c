"""`ssrec bench`: models side by side on the same rows of one split, resumable.

Every model's scores are kept beside the report under a name that holds the data, the
split, the part, the model, its seed, what it was configured by and this package's code; a
model whose scores are there is not fitted again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ssrec_tf import baselines, learning, storage
from ssrec_tf.config import RunConfig, to_dict
from ssrec_tf.datasets import load_data
from ssrec_tf.errors import ConfigError
from ssrec_tf.evaluation import Report, Scores, compare, evaluate
from ssrec_tf.examples import write_examples
from ssrec_tf.leakage import check_leakage
from ssrec_tf.personal_data import hide_in_tables
from ssrec_tf.reporting import write_report
from ssrec_tf.scoring import ranked_users, score_and_rank, score_baseline
from ssrec_tf.splits import Split, make_split
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
        folder: gets the scores, `table.txt`, `report.html`, `report.json` and
            `seconds.json`, what fitting and scoring each model took (of a training that was
            interrupted: since it went on).
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
    tables, split = read_and_split(config, base=base)
    users = ranked_users(tables, split, part)
    scores: dict[str, Scores] = {}
    seconds: dict[str, float] = {}
    data = data_digest(tables)
    for name in models:
        for seed in seeds if name == OWN else (0,):
            label = f"{OWN}/{seed}" if name == OWN and len(seeds) > 1 else name
            kept = folder / "scores" / f"{name}-{_key(config, data, split, part, name, seed)}"
            if not (kept / "scores.npz").exists():
                tell(f"fit {label}")
                work, begun = folder / "work" / kept.name, time.monotonic()
                found = (
                    _own(config, tables, split, part, users, seed, work, base)
                    if name == OWN
                    else _baseline(name, tables, split, part, users)
                )
                write_scores(kept, found, time.monotonic() - begun)
            scores[label], seconds[label] = read_scores(kept)
    report = evaluate(
        tables, split, part, scores, config.evaluate,
        ranking_users=users, split_seed=config.split.seed,
    )  # fmt: skip
    write_report(folder, report)
    storage.atomic_write_text(folder / "table.txt", report.table() + "\n")
    storage.atomic_write_text(folder / "seconds.json", json.dumps(seconds, indent=1) + "\n")
    return report


def read_and_split(config: RunConfig, *, base: Path) -> tuple[Tables, Split]:
    """Read a run's data and split it, as the pipeline's ExampleGen does."""
    tables = load_data(config.data, base=base)
    split = make_split(tables, config.split)
    check_leakage(tables, split)
    return (hide_in_tables(tables) if config.text.mask_personal_data else tables), split


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


@functools.cache
def code_digest() -> str:
    """SHA-256 of this package's sources: figures of other code are not to be reused."""
    return storage.code_version(Path(__file__).parent, ("**/*.py",))


def data_digest(tables: Tables) -> str:
    """SHA-256 over the rows, items and users."""
    frames = (tables.interactions, tables.items, tables.users)
    hashes = [pd.util.hash_pandas_object(frame).to_numpy().tobytes() for frame in frames]
    return hashlib.sha256(b"".join(hashes)).hexdigest()


def _key(config: RunConfig, data: str, split: Split, part: str, name: str, seed: int) -> str:
    body = [code_digest(), data, split.kind, split.digest, part, name, seed]
    if name == OWN:
        plain = to_dict(config)
        body += [plain[key] for key in ("data", "text", "encoder", "pretrain", "train")]
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()[:16]


def write_scores(folder: Path, scores: Scores, seconds: float) -> None:
    """Keep a model's scores, and what they took, whole or not at all."""
    arrays = {name: getattr(scores, name) for name in _FIELDS}
    with storage.atomic_folder(folder, replace=True) as staged:
        np.savez(staged / "scores.npz", **{k: v for k, v in arrays.items() if v is not None})
        (staged / "seconds.json").write_text(json.dumps(seconds))


def read_scores(folder: Path) -> tuple[Scores, float]:
    """Read back what `write_scores` wrote."""
    with np.load(folder / "scores.npz") as arrays:
        scores = Scores(**{name: arrays[name] for name in arrays.files})
    return scores, float(json.loads((folder / "seconds.json").read_text()))


def _baseline(name: str, tables: Tables, split: Split, part: str, users: np.ndarray) -> Scores:
    kinds = {kind.name: kind for kind in baselines.BASELINES} | dict(baselines.EXTENDED)
    return score_baseline(kinds[name](), tables, split, part, users)


def _own(
    config: RunConfig,
    tables: Tables,
    split: Split,
    part: str,
    users: np.ndarray,
    seed: int,
    work: Path,
    base: Path,
) -> Scores:
    """Train as the pipeline does; a killed training goes on from its checkpoints."""
    train = replace(config.train, loop=replace(config.train.loop, seed=seed))
    text = TextTable.build(tables, split, config.text, base=base)
    examples = work / "examples"
    if not (examples / "examples.json").exists():
        write_examples(tables, split, examples, max_targets=train.max_targets)
    encoder = learning.create_encoder(config.encoder, text, seed=config.pretrain.loop.seed)
    ahead = {"past_only": split.past_only}
    learning.pretrain(encoder, text, examples, config.pretrain, workdir=work / "pretrain", **ahead)
    model = learning.make_recommender(encoder, text, LabelStatistics.of(tables, split.train), train)
    learning.fit(model, examples, workdir=work / "train", **ahead)
    sizes = learning.batch_config(train, **ahead)
    return score_and_rank(model, examples, part, sizes, tables, split, users)
