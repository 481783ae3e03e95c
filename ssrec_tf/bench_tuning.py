"""A search for good parameters under a budget of trials, resumable.

Trial n is a function of the seed, n and what the trials before it gave, so a search that
was killed goes on to the same end, and one of more trials begins with those of fewer.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ssrec_tf import storage
from ssrec_tf.baselines.base import Baseline
from ssrec_tf.baselines.optional import library
from ssrec_tf.config import RunConfig, from_dict, to_dict
from ssrec_tf.config_io import override
from ssrec_tf.errors import ConfigError, NonFiniteError
from ssrec_tf.figures import lower_is_better
from ssrec_tf.search_space import Range, Space

if TYPE_CHECKING:
    import optuna

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes:
        parameters: The best trial's.
        metric: What was measured, on the valid part.
        value: The best trial's.
        trials: How many were measured, those without a finite value included.
    """

    parameters: Parameters
    metric: str
    value: float
    trials: int

    def describe(self) -> str:
        """Say it in a line."""
        values = ", ".join(f"{name}={value:.4g}" for name, value in self.parameters.items())
        return f"{self.trials} trials, valid {self.metric} {self.value:.4f}: {values}"


def tune(
    space: Space,
    defaults: Parameters,
    measure: Callable[[Parameters], float],
    *,
    metric: str,
    trials: int,
    journal: Path,
    study: str,
    seed: int = 0,
) -> Tuned:
    """Search with the tree-structured Parzen estimator; the first trial is the defaults.

    Args:
        space: What is drawn, from where.
        defaults: The first trial; a default outside its range is moved to its nearest bound.
        measure: Fits with parameters, and returns the metric on the valid part. When it
            raises `NonFiniteError` the trial counts and has no value.
        metric: Its name, which tells whether low is good.
        trials: The budget; those the journal holds already count.
        journal: File of the trials; several studies may share it.
        study: Name under which the trials stand in it.
        seed: Of the draws.

    Raises:
        ConfigError: optuna is not installed, or no trial gave a number.

    Reference:
        Bergstra, Bardenet, Bengio and Kégl 2011, "Algorithms for hyper-parameter
        optimization"; Akiba et al. 2019, "Optuna", arXiv:1907.10902.
    """
    low = lower_is_better(metric)
    search = _open(journal, study, "minimize" if low else "maximize")
    while (number := len(_done(search))) < trials:
        # A sampler made anew for every trial: one that lived on would be another after a kill.
        search.sampler = library("optuna.samplers").TPESampler(seed=seed + number)
        if number == 0:
            search.enqueue_trial(_within(space, defaults))
        trial = search.ask()
        drawn = {name: _draw(trial, name, bounds) for name, bounds in space.items()}
        try:
            search.tell(trial, measure(drawn))
        except NonFiniteError:
            search.tell(trial, state=library("optuna.trial").TrialState.PRUNED)
    done = _done(search)[:trials]
    valued = [trial for trial in done if trial.value is not None]
    if not valued:
        raise ConfigError(f"{study}: none of {len(done)} trials gave a finite {metric}")
    best = (min if low else max)(valued, key=lambda trial: float(trial.value or 0.0))
    return Tuned(best.params, metric, float(best.value or 0.0), len(done))


def own_space(config: RunConfig, *, rated: bool) -> Space:
    """Return the keys of a configuration that are tuned of this project's model.

    A factorization alone is held back by its prior: weight decay and dropout do not touch it.

    Args:
        config: of a run.
        rated: whether its data have ratings.
    """
    train = config.train
    head = train.pair_head_of(rated=rated) if train.reading == "two_level" else "neural"
    space = {"train.optimizer.learning_rate": Range(1e-3, 3e-2, log=True)}
    if head != "neural":
        space["train.factors.precision"] = Range(30.0, 3000.0, log=True)
        space["train.factors.level_precision"] = Range(3.0, 100.0, log=True)
        space["train.factors.rare_items"] = Range(0.0, 300.0)
    if head != "factorization":
        space["train.optimizer.weight_decay"] = Range(0.01, 2.0, log=True)
        space["train.dropout"] = Range(0.0, 0.5)
    return MappingProxyType(space)


def baseline_defaults(kind: type[Baseline]) -> Parameters:
    """Return what a baseline's constructor takes by default for what its space names."""
    known = inspect.signature(kind).parameters
    return {name: known[name].default for name in kind.space}


def config_values(config: RunConfig, space: Space) -> Parameters:
    """Return what a configuration holds under a space's keys.

    Raises:
        ConfigError: A key is not in the configuration, or holds no number.
    """
    found = {}
    for key in space:
        value: Any = to_dict(config)
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"{key} cannot be tuned: give a key of the configuration, a number")
        found[key] = value
    return found


def configured(config: RunConfig, parameters: Parameters) -> RunConfig:
    """Return a configuration with other values under some keys.

    Raises:
        ConfigError: A key is unknown, or a value is out of its key's bounds.
    """
    if not parameters:
        return config
    # JSON is YAML, and YAML is what assignments are read as.
    assignments = [f"{key}={json.dumps(value)}" for key, value in parameters.items()]
    return from_dict(override(to_dict(config), assignments))


def _open(journal: Path, study: str, direction: str) -> optuna.Study:
    found = library("optuna")
    found.logging.set_verbosity(found.logging.WARNING)
    with storage.storage_errors(journal):
        journal.parent.mkdir(parents=True, exist_ok=True)
        backend = found.storages.journal.JournalFileBackend(str(journal))
    search: optuna.Study = found.create_study(
        storage=found.storages.JournalStorage(backend),
        study_name=study,
        direction=direction,
        load_if_exists=True,
    )
    for trial in search.get_trials(deepcopy=False):
        if not trial.state.is_finished():  # of a process that was killed
            search.tell(trial.number, state=found.trial.TrialState.FAIL)
    return search


def _done(search: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Return the trials that were measured, in order: with a value, or not finite."""
    states = library("optuna.trial").TrialState
    found: list[optuna.trial.FrozenTrial] = search.get_trials(
        deepcopy=False, states=(states.COMPLETE, states.PRUNED)
    )
    return found


def _draw(trial: optuna.Trial, name: str, bounds: Range) -> float:
    if bounds.whole:
        return trial.suggest_int(name, int(bounds.low), int(bounds.high), log=bounds.log)
    return trial.suggest_float(name, bounds.low, bounds.high, log=bounds.log)


def _within(space: Space, defaults: Parameters) -> dict[str, float]:
    return {name: min(max(defaults[name], b.low), b.high) for name, b in space.items()}
