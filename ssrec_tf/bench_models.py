"""The models of a bench by name: fitted on the train rows, scored on a part."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ssrec_tf import baselines, learning
from ssrec_tf.baselines import Baseline
from ssrec_tf.config import RunConfig, to_dict
from ssrec_tf.datasets import load_data
from ssrec_tf.errors import ConfigError
from ssrec_tf.evaluation import Report, Scores, evaluate, part_rows
from ssrec_tf.examples import write_examples
from ssrec_tf.personal_data import hide_in_tables
from ssrec_tf.scoring import score_and_rank
from ssrec_tf.splits import Split, check_leakage, make_split
from ssrec_tf.statistics import LabelStatistics
from ssrec_tf.tables import Tables
from ssrec_tf.text_table import TextTable
from ssrec_tf.tuning import Parameters, configured

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


@dataclass(frozen=True)
class Bench:
    """What all models are fitted and measured on.

    Attributes:
        config: Of a run; its text and training are this project's model's.
        tables: The rows, personal data hidden where the configuration asks for it.
        split: Their parts.
    """

    config: RunConfig
    tables: Tables
    split: Split

    @classmethod
    def load(cls, config: RunConfig, base: Path) -> Bench:
        """Read the data of a configuration whose relative paths start from `base`."""
        tables = load_data(config.data, base=base)
        split = make_split(tables, config.split)
        check_leakage(tables, split)
        if config.text.mask_personal_data:
            tables = hide_in_tables(tables)
        return cls(config, tables, split)

    def users(self, part: str) -> np.ndarray:
        """Return the users ranked for: str [users of the part], sorted."""
        rows = part_rows(self.split, part)
        return np.sort(self.tables.interactions.loc[rows, "user"].unique())

    def metric(self, name: str) -> str:
        """Return the metric that tells a model's trials apart.

        The error of the rating where the model predicts one, else recall where it ranks,
        else the error of its probabilities.
        """
        rated = "rating" in self.tables.interactions
        if rated if name == OWN else baseline_kind(name).needs_rating:
            return "rmse"
        ranks = name != OWN or self.config.train.reading == "two_level"
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
            ConfigError: The model needs ratings that the log has not.
        """
        if name == OWN:
            return self._own(configured(self.config, parameters), part, seed, work)
        model = baseline_kind(name)(**parameters)
        if model.needs_rating and "rating" not in self.tables.interactions:
            raise ConfigError(f"{name} needs ratings, {self.tables.name} has none")
        model.fit(self.tables, self.split)
        rows = self.tables.interactions.loc[part_rows(self.split, part)]
        pairs = model.scores(rows["user"].to_numpy(), rows["item"].to_numpy())
        return replace(pairs, ranking=model.rank(self.users(part)))

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
        text = TextTable.build(tables, split, config.text)
        plain = to_dict(config)
        shared = digest_of([split.digest, *(plain[key] for key in ("data", "text"))])
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
        learning.fit(model, examples, workdir=work / "train", **ahead)
        sizes = learning.batch_config(train, **ahead)
        return score_and_rank(model, examples, part, sizes, tables, split, self.users(part))


def _kinds() -> dict[str, type[Baseline]]:
    return {kind.name: kind for kind in baselines.BASELINES} | dict(baselines.EXTENDED)
