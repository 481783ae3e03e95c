"""Executors of the model: Pretrainer, Trainer, Evaluator."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.runner import Context
from ssrec_tf import table_folder
from ssrec_tf.config import RunConfig

if TYPE_CHECKING:
    from ssrec_tf.evaluation import Report, Scores
    from ssrec_tf.recommenders import Recommender
    from ssrec_tf.splits import Split
    from ssrec_tf.tables import Tables

_CHECKED_ROWS = 1000
_SHOWN_USERS = 3


def pretrainer(context: Context) -> None:
    """Pretrain the encoder by predicting masked tokens; a killed run goes on."""
    from ssrec_tf import learning, weights
    from ssrec_tf.text_table import TextTable

    config: RunConfig = context.config
    _, split = table_folder.load(context.inputs["ExampleGen"])
    transformed = context.inputs["Transform"]
    text = TextTable.load(transformed / "text")
    encoder = learning.create_encoder(config.encoder, text, seed=config.pretrain.loop.seed)
    state = learning.pretrain(
        encoder,
        text,
        transformed / "examples",
        config.pretrain,
        past_only=split.past_only,
        workdir=context.work,
    )
    weights.save(encoder.backbone, context.output / "encoder.npz")
    _keep_logs(context)
    print(f"    best validation loss {state.best:.3f} at step {state.best_step}")


def trainer(context: Context) -> None:
    """Fine-tune the heads, export the SavedModel, compare it with Keras on raw strings."""
    from ssrec_tf import learning, weights
    from ssrec_tf.exporting import check_scores, export

    config: RunConfig = context.config
    tables, split = table_folder.load(context.inputs["ExampleGen"])
    model = _build_model(context, tables, split)
    weights.load(model.encoder.backbone, context.inputs["Pretrainer"] / "encoder.npz")
    examples = context.inputs["Transform"] / "examples"
    state = learning.fit(model, examples, past_only=split.past_only, workdir=context.work)
    weights.save(model, context.output / "model.npz")
    _keep_logs(context)
    card = {
        "name": config.name,
        "data": tables.name,
        "split": {"kind": split.kind, "sha256": split.digest},
        "train_rows": len(split.train),
        "best_step": state.best_step,
        "reading": config.train.reading,
    }
    folder = context.output / "saved_model"
    export(model, folder, max_history=config.train.max_history, card=card)
    worst = check_scores(folder, *_raw_rows(model, tables, split, examples, config))
    shown = ", ".join(f"{way} {value:.1e}" for way, value in worst.items())
    print(f"    SavedModel equals Keras; largest difference: {shown}")


def evaluator(context: Context) -> None:
    """Measure the test part once, beside the baselines; bless or not."""
    from ssrec_tf.evaluation import evaluate, gate
    from ssrec_tf.reporting import write_report

    config: RunConfig = context.config
    tables, split = table_folder.load(context.inputs["ExampleGen"])
    model = _trained_model(context, tables, split)
    users = _ranked_users(tables, split)
    examples = context.inputs["Transform"] / "examples"
    scores = {"ssrec_tf": _scores(model, tables, split, examples, config, users)}
    scores |= _baseline_scores(tables, split, users)
    report = evaluate(tables, split, "test", scores, config.evaluate, ranking_users=users)
    failures = gate(report, config.evaluate, "ssrec_tf", _last_blessed(context))
    curves = [
        row
        for name in ("Pretrainer", "Trainer")
        for row in json.loads((context.inputs[name] / "curve.json").read_text())
    ]
    shown = _examples(model, tables, users, scores["ssrec_tf"].ranking, split)
    write_report(context.output, report, curves=curves, examples=shown)
    body = {"blessed": not failures, "failures": failures}
    (context.output / "blessing.json").write_text(json.dumps(body, indent=2))
    (context.output / "table.txt").write_text(report.table())
    for failure in failures:
        print(f"    not blessed: {failure}")


def _build_model(context: Context, tables: Tables, split: Split) -> Recommender:
    from ssrec_tf import learning
    from ssrec_tf.statistics import LabelStatistics
    from ssrec_tf.text_table import TextTable

    config: RunConfig = context.config
    text = TextTable.load(context.inputs["Transform"] / "text")
    encoder = learning.create_encoder(config.encoder, text, seed=config.pretrain.loop.seed)
    statistics = LabelStatistics.of(tables, split.train)
    return learning.make_recommender(encoder, text, statistics, config.train)


def _trained_model(context: Context, tables: Tables, split: Split) -> Recommender:
    from ssrec_tf import weights

    model = _build_model(context, tables, split)
    weights.load(model, context.inputs["Trainer"] / "model.npz")
    return model


def _keep_logs(context: Context) -> None:
    """Publish the TensorBoard logs and the learning curve beside the weights."""
    shutil.copy(context.work / "curve.json", context.output / "curve.json")
    shutil.copytree(context.work / "tensorboard", context.output / "tensorboard")


def _scores(
    model: Recommender,
    tables: Tables,
    split: Split,
    examples: Path,
    config: RunConfig,
    users: np.ndarray,
) -> Scores:
    from ssrec_tf import learning
    from ssrec_tf.recommenders import TwoLevel
    from ssrec_tf.scoring import rank_part, score_part

    sizes = learning.batch_config(config.train, past_only=split.past_only)
    scores = score_part(model, examples, "test", sizes, split.test)
    if not isinstance(model, TwoLevel):
        return scores
    refs = 1 + tables.users.index.get_indexer(users)
    ranking = rank_part(model, examples, "test", sizes, refs)  # [users, items]
    train = tables.interactions.loc[split.train]
    train = train[train["user"].isin(users)]
    rows = {user: row for row, user in enumerate(users)}
    seen_rows = train["user"].map(rows).to_numpy()
    ranking[seen_rows, tables.items.index.get_indexer(train["item"])] = -np.inf
    return replace(scores, ranking=ranking)


def _baseline_scores(tables: Tables, split: Split, users: np.ndarray) -> dict[str, Scores]:
    from ssrec_tf.baselines import BASELINES

    test = tables.interactions.loc[split.test]
    scores = {}
    for baseline in BASELINES(tables):
        baseline.fit(tables, split)
        pairs = baseline.scores(test["user"].to_numpy(), test["item"].to_numpy())
        scores[baseline.name] = replace(pairs, ranking=baseline.rank(users))
    return scores


def _ranked_users(tables: Tables, split: Split) -> np.ndarray:
    """Users of the test part, sorted: those for whom the catalogue is ranked."""
    return np.asarray(np.sort(tables.interactions.loc[split.test, "user"].unique()))


def _raw_rows(
    model: Recommender, tables: Tables, split: Split, examples: Path, config: RunConfig
) -> tuple[list[str], list[str], dict[str, np.ndarray]]:
    """Render the first valid rows as raw strings, and score them by Keras from references."""
    from ssrec_tf import learning
    from ssrec_tf.scoring import render_pairs, score_rows

    rows = split.valid[:_CHECKED_ROWS]
    sizes = learning.batch_config(config.train, past_only=split.past_only)
    rating, click = score_rows(model, examples, "valid", sizes, split.valid)
    behaviours, items = render_pairs(model.text, tables, split, rows)
    expected = {"rating": rating[: len(rows)], "click_probability": click[: len(rows)]}
    return behaviours, items, expected


def _last_blessed(context: Context) -> Report | None:
    """The report of the newest other blessed evaluation of this run."""
    from ssrec_tf.evaluation import Report

    folders = sorted(
        context.output.parent.glob("*/blessing.json"), key=lambda path: path.stat().st_mtime
    )
    for path in reversed(folders):
        if not path.parent.name.startswith(".") and json.loads(path.read_text())["blessed"]:
            return Report.from_dict(json.loads((path.parent / "report.json").read_text()))
    return None


def _examples(
    model: Recommender, tables: Tables, users: np.ndarray, ranking: Any, split: Split
) -> list[dict[str, Any]]:
    """A few users with what they did and what they are recommended."""
    if ranking is None:
        return []
    texts = dict(zip(model.text.item_ids, model.text.item_texts, strict=True))
    train = tables.interactions.loc[split.train]
    shown = []
    for row, user in list(enumerate(users))[:_SHOWN_USERS]:
        history = train[train["user"] == user].tail(5)
        best = np.argsort(-ranking[row], kind="stable")[:5]
        ids = tables.items.index[best]
        shown.append(
            {
                "user": str(user),
                "history": [texts[item] for item in history["item"]],
                "recommended": [
                    {"text": texts[item], "score": float(ranking[row, column])}
                    for item, column in zip(ids, best, strict=True)
                ],
            }
        )
    return shown
