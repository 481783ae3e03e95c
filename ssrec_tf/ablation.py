"""`ssrec ablate`: what each self-supervised objective adds, by share of labels and by control.

A cell is one training: a split, an objective, a share of the train labels, a control, a
seed. All cells are fine-tuned for equally many steps, with no early stop, and choose their
best weights on the whole valid part. Their scores are kept one by one: killed, an ablation
goes on at the cell it was in, and within it at the last checkpoint.

What a share means. Of the train rows a seeded draw is kept, the same for all objectives.
Fine-tuning sees kept rows alone, as labels, as histories and in the statistics of the
labels; so do the histories a row is scored beside. Pretraining still sees every train row
as behaviour, but what was not kept has no rating and no click in it ("seen: ..."): labels
are what is scarce, behaviour is not.

Controls. `scrambled_titles` deals the items' attributes out anew: an item keeps its
identity, its words mean nothing. `shuffled_history` puts a user's train events into
another order. What language or order is worth is what is lost. Controls run at the largest
share alone.

Reference:
    Yuan et al. 2023, arXiv:2303.13835 (text against ids, with scarce labels); Hewitt and
    Liang 2019, arXiv:1909.03368 (control tasks).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ssrec_tf import distillation, learning, settling
from ssrec_tf.bench import read_scores, write_scores
from ssrec_tf.bench_models import code_digest, data_digest, read_and_split
from ssrec_tf.config import LoopConfig, RunConfig, to_dict
from ssrec_tf.config_encoder import can_learn
from ssrec_tf.config_objectives import OBJECTIVES
from ssrec_tf.errors import ConfigError
from ssrec_tf.evaluation import Report, Scores, evaluate
from ssrec_tf.examples import write_examples
from ssrec_tf.scoring import ranked_users, score_and_rank
from ssrec_tf.splits import Split, event_order
from ssrec_tf.statistics import LabelStatistics
from ssrec_tf.tables import Tables
from ssrec_tf.text_table import TextTable

NONE = "none"
MIXED = "mixed"
PLAIN = "plain"


Group = tuple[str, str, float]  # split, control, share


@dataclass(frozen=True)
class Cell:
    """One training.

    Attributes:
        split: kind of the split.
        objective: one of `OBJECTIVES`; none, for no pretraining; or mixed, for what the
            configuration weighs (all that its encoder can learn from in equal parts, where
            it weighs one alone).
        share: of the train rows whose labels are kept, above 0 and at most 1.
        control: plain, or one of `CONTROLS`.
        seed: of the draw, the control and both trainings.
    """

    split: str
    objective: str
    share: float
    control: str
    seed: int

    @property
    def group(self) -> Group:
        """The cells this one stands beside in a report."""
        return self.split, self.control, self.share


def scrambled_titles(tables: Tables, rows: np.ndarray, seed: int) -> Tables:
    """Give every item another one's attributes, by a permutation; `rows` do not count."""
    order = np.random.RandomState(seed).permutation(len(tables.items))
    return replace(tables, items=tables.items.iloc[order].set_axis(tables.items.index))


def shuffled_history(tables: Tables, rows: np.ndarray, seed: int) -> Tables:
    """Deal what a user did in `rows` (item, rating, click ...) anew over their moments."""
    log = tables.interactions
    random = np.random.RandomState(seed)
    draw = random.permutation(len(log))
    moments = rows[np.lexsort((event_order(log)[rows], log["user"].to_numpy()[rows]))]
    sources = rows[np.lexsort((draw[rows], log["user"].to_numpy()[rows]))]
    what = [name for name in log.columns if name not in ("user", "time")]
    order = np.arange(len(log))
    order[moments] = sources  # user by user: both are sorted by user first
    changed = {name: log[name].array.take(order) for name in what}
    return replace(tables, interactions=log.assign(**changed))


CONTROLS: dict[str, Callable[[Tables, np.ndarray, int], Tables]] = {
    "scrambled_titles": scrambled_titles,
    "shuffled_history": shuffled_history,
}


def plan(
    *,
    objectives: Sequence[str],
    splits: Sequence[str],
    shares: Sequence[str],
    controls: Sequence[str],
    seeds: Sequence[int],
) -> list[Cell]:
    """List the cells: all objectives at all shares, and at the largest under each control.

    Raises:
        ConfigError: An unknown objective or control, or a share that is none.
    """
    for name in objectives:
        if name not in (NONE, MIXED, *OBJECTIVES):
            known = ", ".join((NONE, MIXED, *OBJECTIVES))
            raise ConfigError(f"--objectives {name}: give some of {known}")
    for name in controls:
        if name not in CONTROLS:
            raise ConfigError(f"--controls {name}: give some of {', '.join(CONTROLS)}")
    numbers = [_share(share) for share in shares]
    settings = [(PLAIN, share) for share in numbers]
    settings += [(control, max(numbers)) for control in controls]
    return [
        Cell(split, objective, share, control, seed)
        for split in splits
        for control, share in settings
        for objective in objectives
        for seed in seeds
    ]


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise ConfigError(f"--shares {text}: give numbers above 0 and at most 1")
    return share


def ablate(
    config: RunConfig,
    cells: Sequence[Cell],
    *,
    base: Path,
    folder: Path,
    part: str = "valid",
    tell: Callable[[str], None] = print,
) -> dict[Group, Report]:
    """Train what is not yet trained, and measure all cells.

    Args:
        config: of a run; every cell takes its data, text, encoder and sizes.
        cells: of `plan`.
        base: what relative paths in `config` start from.
        folder: gets the cells' scores, and their work while they are trained.
        part: "valid", or "test" once all is decided.
        tell: called with a line for each cell that is trained.

    Returns:
        A report for each split, control and share, of models `objective/seed`; all of one
        split have one protocol card, for the rows measured are the same.
    """
    reports: dict[Group, Report] = {}
    for kind in dict.fromkeys(cell.split for cell in cells):
        chosen = replace(config.split, kind=kind)
        tables, split = read_and_split(replace(config, split=chosen), base=base)
        data, users = data_digest(tables), ranked_users(tables, split, part)
        # Group by group: a ranking is users times items, and there may be hundreds of cells.
        for group in dict.fromkeys(cell.group for cell in cells if cell.split == kind):
            scores: dict[str, Scores] = {}
            for cell in [cell for cell in cells if cell.group == group]:
                key = _key(config, data, split, part, cell)
                place = folder / "scores" / key
                if not (place / "scores.npz").exists():
                    tell(f"train {_name(cell)}")
                    work = folder / "work" / key
                    begun = time.monotonic()
                    found = run_cell(config, cell, tables, split, part, users, work, base)
                    write_scores(place, found, time.monotonic() - begun)
                    shutil.rmtree(work)  # checkpoints of hundreds of cells would fill a disk
                scores[f"{cell.objective}/{cell.seed}"] = read_scores(place)[0]
            reports[group] = evaluate(
                tables, split, part, scores, config.evaluate,
                ranking_users=users, split_seed=chosen.seed,
            )  # fmt: skip
    return reports


def run_cell(
    config: RunConfig,
    cell: Cell,
    tables: Tables,
    split: Split,
    part: str,
    users: np.ndarray,
    work: Path,
    base: Path = Path(),
) -> Scores:
    """Pretrain and fine-tune one cell, and score a part; see the module for the rules.

    Args:
        config: of the run.
        cell: what to train.
        tables: the data as they are.
        split: of `tables`, of the cell's kind.
        part: valid or test.
        users: for whom the catalogue is ranked, str [users].
        work: examples and checkpoints; a killed cell goes on from here.
        base: what relative paths in `config` start from.
    """
    labelled = kept_rows(split.train, cell.share, cell.seed)
    dropped = np.setdiff1d(split.train, labelled)
    if cell.control != PLAIN:
        tables = CONTROLS[cell.control](tables, split.train, cell.seed)
    settings = settings_of(config, cell)
    text = TextTable.build(tables, split, config.text, base=base)
    scarce = replace(split, train=labelled)
    for name, rows, parts in (
        ("behaviour", without_labels(tables, dropped), split),
        ("examples", tables, scarce),
    ):
        if not (work / name / "examples.json").exists():
            write_examples(rows, parts, work / name, max_targets=settings.train.max_targets)
    ahead = {"past_only": split.past_only}
    pretraining = settings.pretrain
    encoder = learning.create_encoder(config.encoder, text, seed=cell.seed)
    learning.pretrain(
        encoder, text, work / "behaviour", pretraining, workdir=work / "pretrain", **ahead
    )
    statistics = LabelStatistics.of(tables, labelled)
    model = learning.make_recommender(encoder, text, statistics, settings.train)
    distillation.fit(model, work / "examples", workdir=work / "train", **ahead)
    settling.finish(model, work / "examples", **ahead)
    sizes = learning.batch_config(model.config, **ahead)
    # The whole split: what a user has seen does not hang on whose labels were kept.
    return score_and_rank(model, work / "examples", part, sizes, tables, split, users)


def kept_rows(train: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Draw the train rows whose labels are kept: int64 [rows], ascending.

    A smaller share's rows are among a larger one's, of the same seed.
    """
    order = np.random.RandomState(seed).permutation(len(train))
    return np.sort(train[order[: max(1, round(len(train) * share))]])


def without_labels(tables: Tables, rows: np.ndarray) -> Tables:
    """Leave the events of `rows`, take their rating and click: NaN."""
    log = tables.interactions
    if not len(rows):
        return tables
    changed = {name: log[name].astype(np.float32) for name in ("rating", "click") if name in log}
    for column in changed.values():
        column.iloc[rows] = np.nan
    return replace(tables, interactions=log.assign(**changed))


def settings_of(config: RunConfig, cell: Cell) -> RunConfig:
    """Return the configuration of a cell: its objective, its seed, and no early stop."""
    pretrain = replace(config.pretrain, loop=_loop(config.pretrain.loop, cell.seed))
    if cell.objective == NONE:
        pretrain = replace(pretrain, loop=replace(pretrain.loop, steps=0))
    elif cell.objective != MIXED:
        pretrain = replace(pretrain, objectives={cell.objective: 1.0}, objectives_end={})
    elif len(pretrain.objectives) == 1:
        learnt = [name for name in OBJECTIVES if can_learn(config.encoder.architecture, name)]
        pretrain = replace(pretrain, objectives=dict.fromkeys(learnt, 1.0), objectives_end={})
    train = replace(config.train, loop=_loop(config.train.loop, cell.seed))
    return replace(config, pretrain=pretrain, train=train)


def _loop(loop: LoopConfig, seed: int) -> LoopConfig:
    # A patience that no run can use up: every cell takes all of its steps.
    return replace(loop, seed=seed, patience=loop.steps + 1)


def _key(config: RunConfig, data: str, split: Split, part: str, cell: Cell) -> str:
    plain: dict[str, Any] = to_dict(settings_of(config, cell))
    body = [code_digest(), data, split.digest, part, asdict(cell)]
    body += [plain[name] for name in ("text", "encoder", "pretrain", "train")]
    digest = hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()
    return f"{_name(cell).replace(' ', '-')}-{digest[:16]}"


def _name(cell: Cell) -> str:
    return f"{cell.split} {cell.control} {cell.share:g} {cell.objective} {cell.seed}"
