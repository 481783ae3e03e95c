"""The models of a bench by name: fitted on the train rows, scored on a part."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ssrec_tf import baselines, distillation, learning, settling, storage
from ssrec_tf.baselines import Baseline
from ssrec_tf.bench_tuning import Parameters, configured
from ssrec_tf.config import RunConfig, to_dict
from ssrec_tf.datasets import load_data
from ssrec_tf.errors import ConfigError
from ssrec_tf.evaluation import Report, Scores, evaluate
from ssrec_tf.examples import write_examples
from ssrec_tf.leakage import check_leakage
from ssrec_tf.personal_data import hide_in_tables
from ssrec_tf.scoring import ranked_users, score_and_rank, score_baseline
from ssrec_tf.splits import Split, make_split
from ssrec_tf.statistics import LabelStatistics
from ssrec_tf.tables import Tables
from ssrec_tf.text_table import TextTable

OWN = "ssrec_tf"


def known_models() -> tuple[str, ...]:
    """Names that `bench` takes."""
    return (OWN, *_kinds())


def baseline_kind(name: str) -> type[Baseline]:
    """Return the class of a name of `known_models` other than `OWN`."""
    return _kinds()[name]


def digest_of(body: object) -> str:
    """Return a short name for plain values: equal values, equal names."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()[:16]


@functools.cache
def code_digest() -> str:
    """SHA-256 of this package's sources: figures of other code are not to be reused."""
    return storage.code_version(Path(__file__).parent, ("**/*.py",))


def data_digest(tables: Tables) -> str:
    """SHA-256 over the rows, items and users."""
    frames = (tables.interactions, tables.items, tables.users)
    hashes = [pd.util.hash_pandas_object(frame).to_numpy().tobytes() for frame in frames]
    return hashlib.sha256(b"".join(hashes)).hexdigest()


def read_and_split(config: RunConfig, *, base: Path) -> tuple[Tables, Split]:
    """Read a run's data and split it, as the pipeline's ExampleGen does."""
    tables = load_data(config.data, base=base)
    split = make_split(tables, config.split)
    check_leakage(tables, split)
    return (hide_in_tables(tables) if config.text.mask_personal_data else tables), split


@dataclass(frozen=True)
class Bench:
    """What all models are fitted and measured on.

    Attributes:
        config: Of a run; its text and training are this project's model's.
        tables: The rows, personal data hidden where the configuration asks for it.
        split: Their parts.
        base: What relative paths in `config` start from.
    """

    config: RunConfig
    tables: Tables
    split: Split
    base: Path = Path()

    @classmethod
    def load(cls, config: RunConfig, base: Path) -> Bench:
        """Read the data of a configuration whose relative paths start from `base`."""
        return cls(config, *read_and_split(config, base=base), base)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the data."""
        return data_digest(self.tables)

    def users(self, part: str) -> np.ndarray:
        """Return the users ranked for: str [users of the part], sorted."""
        return ranked_users(self.tables, self.split, part)

    def check(self, name: str) -> None:
        """Refuse a model before anything is fitted that learns from what the log has not.

        Raises:
            ConfigError: It needs ratings.
        """
        allowed = [OWN, *(n for n, kind in _kinds().items() if kind.can_learn_from(self.tables))]
        if name not in allowed:
            raise ConfigError(
                f"{name} needs ratings, {self.tables.name} has none: leave it out; "
                f"{', '.join(allowed)} do without"
            )

    def metric(self, name: str) -> str:
        """Return the metric that tells a model's trials apart.

        The error of the rating where the model predicts one and is not for retrieval, else
        recall where it ranks, else the error of its probabilities.
        """
        rated, reading = "rating" in self.tables.interactions, self.config.train.reading
        own = rated and reading != "retrieval"
        if own if name == OWN else baseline_kind(name).needs_rating:
            return "rmse"
        ranks = name != OWN or reading != "joint"
        return f"recall@{self.config.evaluate.k}" if ranks else "log_loss"

    def scores(self, name: str, part: str, seed: int, parameters: Parameters, work: Path) -> Scores:
        """Fit a model and score a part.

        Args:
            name: Of `known_models`.
            part: valid or test.
            seed: Of this project's model.
            parameters: Keys of the configuration for this project's model, arguments of the
                constructor for the others.
            work: Gets this project's training, which goes on there after a kill.

        Raises:
            ConfigError: The model needs ratings that the log has not, or another kind of
                split.
        """
        if name == OWN:
            return self._own(configured(self.config, parameters), part, seed, work)
        model = baseline_kind(name)(**parameters)
        return score_baseline(model, self.tables, self.split, part, self.users(part))

    def report(
        self, scores: Mapping[str, Scores], part: str, *, bootstrap: int | None = None
    ) -> Report:
        """Measure scores of a part; `bootstrap` in place of the configuration's resamples."""
        config = self.config.evaluate
        if bootstrap is not None:
            config = replace(config, bootstrap=bootstrap)
        return evaluate(
            self.tables, self.split, part, scores, config,
            ranking_users=self.users(part), split_seed=self.config.split.seed,
        )  # fmt: skip

    def _own(self, config: RunConfig, part: str, seed: int, work: Path) -> Scores:
        """Train as the pipeline does; a killed training goes on from its checkpoints.

        What does not depend on the heads' seed and parameters lies beside `work`, and is
        made once for all of them.
        """
        tables, split = self.tables, self.split
        train = replace(config.train, loop=replace(config.train.loop, seed=seed))
        text = TextTable.build(tables, split, config.text, base=self.base)
        plain = to_dict(config)
        known = [code_digest(), self.digest, split.kind, split.digest]
        shared = digest_of([*known, plain["data"], plain["text"]])
        examples = work.parent / f"examples-{digest_of([shared, train.max_targets])}"
        if not (examples / "examples.json").exists():
            write_examples(tables, split, examples, max_targets=train.max_targets)
        encoder = learning.create_encoder(config.encoder, text, seed=config.pretrain.loop.seed)
        ahead = {"past_only": split.past_only}
        before = digest_of([shared, train.max_targets, plain["encoder"], plain["pretrain"]])
        pretrained = work.parent / f"pretrain-{before}"
        learning.pretrain(encoder, text, examples, config.pretrain, workdir=pretrained, **ahead)
        model = learning.make_recommender(
            encoder, text, LabelStatistics.of(tables, split.train), train
        )
        distillation.fit(model, examples, workdir=work / "train", **ahead)
        settling.finish(model, examples, **ahead)
        sizes = learning.batch_config(model.config, **ahead)
        return score_and_rank(model, examples, part, sizes, tables, split, self.users(part))


def _kinds() -> dict[str, type[Baseline]]:
    return {kind.name: kind for kind in baselines.BASELINES} | dict(baselines.EXTENDED)
