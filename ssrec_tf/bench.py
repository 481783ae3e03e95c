"""`ssrec bench`: models side by side on the same rows of one split, resumable.

Every model's scores are kept beside the report under a name that holds the data, the
split, the part, the model, its seed, what it was configured by and this package's code; a
model whose scores are there is not fitted again.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ssrec_tf import bench_tuning, storage
from ssrec_tf.bench_models import (
    OWN,
    Bench,
    baseline_kind,
    code_digest,
    digest_of,
    known_models,
)
from ssrec_tf.bench_tuning import Parameters, Tuned
from ssrec_tf.config import RunConfig, to_dict
from ssrec_tf.errors import ConfigError
from ssrec_tf.evaluation import Report, Scores, compare
from ssrec_tf.reporting import write_report
from ssrec_tf.search_space import Space

_FIELDS = ("rating", "click", "ranking")


def bench(
    config: RunConfig,
    *,
    base: Path,
    folder: Path,
    models: Sequence[str],
    variants: Mapping[str, Parameters] = MappingProxyType({}),
    part: str = "valid",
    seeds: Sequence[int] = (7,),
    trials: int = 0,
    own_space: Space | None = None,
    tuned_in: Path | None = None,
    tell: Callable[[str], None] = print,
) -> Report:
    """Fit models on the train rows and measure them on one part.

    With `trials`, each model that has a space is first tuned on the valid part, whichever
    part is measured, and then measured with the best parameters; the others are measured
    as they are. This project's model is tuned with the first seed.

    Args:
        config: of a run; its data, split, text and training are this project's model's.
        base: what relative paths in it start from.
        folder: gets the scores, `table.txt`, `report.html`, `report.json`, after tuning
            `parameters.json`, and `seconds.json`, what fitting and scoring each model took
            once (of a training that was interrupted: since it went on; a pretraining that
            several seeds share counts for the first).
        models: names of `known_models`; what the data do not allow is an error.
        variants: this project's model with keys set otherwise, by the name each is measured
            under, beside `models`; not tuned.
        part: "valid", or "test" once all is decided.
        seeds: of this project's model, each trained anew; the others have one seed.
        trials: of each model; 0 for no tuning.
        own_space: keys of `config` that are tuned of this project's model, instead of
            `bench_tuning.own_space`.
        tuned_in: where the trials are kept, for another part to find them; by default
            `folder / "tuning"`.
        tell: called with a line for each model.

    Returns:
        The report, whose protocol card says by which rules.

    Raises:
        ConfigError: a model is unknown or needs ratings that the log has not; a key of
            `own_space` or of a variant is none; or `trials` is negative.
    """
    _check(config, models, variants, trials)
    data = Bench.load(config, base)
    for name in models:
        data.check(name)
    rated = "rating" in data.tables.interactions
    own = bench_tuning.own_space(config, rated=rated) if own_space is None else own_space
    found: dict[str, Tuned] = {}
    scores: dict[str, Scores] = {}
    seconds: dict[str, float] = {}

    def measure(name: str, shown: str, parameters: Parameters) -> None:
        own_model = name == OWN
        for seed in seeds if own_model else (0,):
            label = f"{shown}/{seed}" if own_model and len(seeds) > 1 else shown
            kept = folder / "scores" / f"{name}-{_key(data, part, name, seed, parameters)}"
            if not (kept / "scores.npz").exists():
                tell(f"fit {label}")
                work, begun = folder / "work" / kept.name, time.monotonic()
                fitted = data.scores(name, part, seed, parameters, work)
                write_scores(kept, fitted, time.monotonic() - begun)
            scores[label], seconds[label] = read_scores(kept)

    for name in models:
        space = own if name == OWN else baseline_kind(name).space
        if trials and space:
            where = tuned_in or folder / "tuning"
            found[name] = _tune(data, name, space, trials, seeds[0], where, tell)
            tell(f"tuned {name}: {found[name].describe()}")
        measure(name, name, found[name].parameters if name in found else {})
    for shown, parameters in variants.items():
        measure(OWN, shown, parameters)
    report = data.report(scores, part)
    _write(folder, report, models, found, trials)
    storage.atomic_write_text(folder / "seconds.json", json.dumps(seconds, indent=1) + "\n")
    return report


def _check(
    config: RunConfig, models: Sequence[str], variants: Mapping[str, Parameters], trials: int
) -> None:
    """Refuse before anything is fitted what cannot be measured."""
    for name in models:
        if name not in known_models():
            raise ConfigError(f"no model {name!r}: give some of {', '.join(known_models())}")
    for name, parameters in variants.items():
        try:
            bench_tuning.configured(config, parameters)
        except ConfigError as error:
            raise ConfigError(f"variant {name!r}: {error}") from error
    if trials < 0:
        raise ConfigError(f"trials is {trials}: give a number of at least 0")


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
                interval = f"{found.low:+z.4f} to {found.high:+z.4f}"
                lines.append(f"{model} - {against}  {metric} {found.value:+z.4f} ({interval})")
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


def _tune(
    data: Bench,
    name: str,
    space: Space,
    trials: int,
    seed: int,
    folder: Path,
    tell: Callable[[str], None],
) -> Tuned:
    """Search for a model's parameters on the valid part; trials already kept count."""
    metric = data.metric(name)
    drawn = {key: [bounds.low, bounds.high, bounds.log] for key, bounds in space.items()}
    study = f"{name}-{_key(data, metric, name, seed, {'space': drawn})}"

    def measure(parameters: Parameters) -> float:
        tell(f"try {name} with {parameters}")
        work = folder / "work" / f"{name}-{_key(data, 'valid', name, seed, parameters)}"
        scores = data.scores(name, "valid", seed, parameters, work)
        shutil.rmtree(work, ignore_errors=True)
        return data.report({name: scores}, "valid", bootstrap=0).figure(name, metric).value

    defaults = (
        bench_tuning.config_values(data.config, space)
        if name == OWN
        else bench_tuning.baseline_defaults(baseline_kind(name))
    )
    journal = folder / "trials.journal"
    return bench_tuning.tune(
        space, defaults, measure, metric=metric, trials=trials, journal=journal, study=study
    )


def _key(data: Bench, part: str, name: str, seed: int, parameters: Mapping[str, object]) -> str:
    body: list[object] = [code_digest(), data.digest, data.split.kind, data.split.digest]
    body += [part, name, seed]
    if name == OWN:
        plain = to_dict(data.config)
        body += [plain[key] for key in ("data", "text", "encoder", "pretrain", "train")]
    if parameters:
        body.append(dict(parameters))
    return digest_of(body)


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


def _write(
    folder: Path, report: Report, models: Sequence[str], found: Mapping[str, Tuned], trials: int
) -> None:
    """Write the table and the page, and, after tuning, the parameters and the budget."""
    table = report.table() + "\n"
    notes: dict[str, str] = {}
    if trials:
        notes["budget"] = f"{trials} trials a model, measured on valid"
        notes |= {
            name: found[name].describe() if name in found else "has no space: as it is"
            for name in models
        }
        table += "\n" + "".join(f"{name}: {note}\n" for name, note in notes.items())
        body = {"trials": trials, "models": {name: asdict(one) for name, one in found.items()}}
        storage.atomic_write_text(folder / "parameters.json", json.dumps(body, indent=1) + "\n")
    write_report(folder, report, tuning=notes)
    storage.atomic_write_text(folder / "table.txt", table)
