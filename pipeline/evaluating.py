"""Executor of the Evaluator: the test part read once, beside the baselines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.modelling import build_model
from pipeline.progress import stages
from pipeline.runner import Context
from ssrec_tf import table_folder
from ssrec_tf.config import RunConfig

if TYPE_CHECKING:
    from ssrec_tf.evaluation import Scores
    from ssrec_tf.figures import Report
    from ssrec_tf.recommenders import Recommender
    from ssrec_tf.report_sections import RecommendationExample
    from ssrec_tf.splits import Split
    from ssrec_tf.tables import Tables

MODEL = "ssrec_tf"
_SHOWN_USERS = 3
_SHOWN_ITEMS = 5


def evaluator(context: Context) -> None:
    """Measure the test part once, beside the baselines; bless or not."""
    from ssrec_tf.baselines import available
    from ssrec_tf.evaluation import evaluate
    from ssrec_tf.gate import gate
    from ssrec_tf.reporting import write_report
    from ssrec_tf.scoring import ranked_users, score_baseline

    config: RunConfig = context.config
    tables, split = table_folder.load(context.inputs["ExampleGen"])
    examples = context.inputs["Transform"] / "examples"
    users = ranked_users(tables, split, "test")
    with stages("evaluate", 4) as begin:
        begin("score the test rows, rank the catalogue")
        model = _trained_model(context, tables, split)
        scores = {MODEL: _scores(model, tables, split, examples, users)}
        ranking = scores[MODEL].ranking
        begin("fit the baselines")
        for baseline in available(tables):
            scores[baseline.name] = score_baseline(baseline, tables, split, "test", users)
        begin("measure, resample")
        report = evaluate(
            tables,
            split,
            "test",
            scores,
            config.evaluate,
            ranking_users=users,
            split_seed=config.split.seed,
        )
        failures = gate(report, config.evaluate, MODEL, _last_blessed(context, report))
        begin("write the report")
        shown = _examples(model, tables, users, ranking, split)
        curves = _curves(context)
        write_report(context.output, report, curves=curves, examples=shown, card=_card(context))
    body = {"blessed": not failures, "failures": failures}
    (context.output / "blessing.json").write_text(json.dumps(body, indent=2))
    (context.output / "table.txt").write_text(report.table())
    for failure in failures:
        print(f"    not blessed: {failure}")


def _curves(context: Context) -> list[dict[str, Any]]:
    return [
        {**row, "phase": f"{phase}/{row['phase']}"}
        for name, phase in (("Pretrainer", "pretraining"), ("Trainer", "fine-tuning"))
        for row in json.loads((context.inputs[name] / "curve.json").read_text())
    ]


def _card(context: Context) -> dict[str, Any]:
    path = context.inputs["Trainer"] / "saved_model" / "assets.extra" / "model_card.json"
    card: dict[str, Any] = json.loads(path.read_text())
    return {name: value for name, value in card.items() if name != "signatures"}


def _trained_model(context: Context, tables: Tables, split: Split) -> Recommender:
    from ssrec_tf import weights

    model = build_model(context, tables, split)
    weights.load(model, context.inputs["Trainer"] / "model.npz")
    return model


def _scores(
    model: Recommender,
    tables: Tables,
    split: Split,
    examples: Path,
    users: np.ndarray,
) -> Scores:
    from ssrec_tf import learning
    from ssrec_tf.scoring import score_and_rank

    sizes = learning.batch_config(model.config, past_only=split.past_only)
    return score_and_rank(model, examples, "test", sizes, tables, split, users)


def _last_blessed(context: Context, report: Report) -> Report | None:
    """The newest blessed report of this run that was made under the same protocol."""
    from ssrec_tf.reporting import read_report

    folders = sorted(
        context.output.parent.glob("*/blessing.json"), key=lambda path: path.stat().st_mtime
    )
    for path in reversed(folders):
        if not path.parent.name.startswith(".") and json.loads(path.read_text())["blessed"]:
            last = read_report(path.parent / "report.json")
            if last.card == report.card:
                return last
    return None


def _examples(
    model: Recommender,
    tables: Tables,
    users: np.ndarray,
    ranking: np.ndarray | None,
    split: Split,
) -> list[RecommendationExample]:
    """A few users with what they did and what they are recommended."""
    from ssrec_tf.report_sections import RecommendationExample

    if ranking is None:
        return []
    texts = dict(zip(model.text.item_ids, model.text.item_texts, strict=True))
    train = tables.interactions.loc[split.train]
    shown = []
    for row, user in list(enumerate(users))[:_SHOWN_USERS]:
        history = train[train["user"] == user].tail(_SHOWN_ITEMS)
        best = np.argsort(-ranking[row], kind="stable")[:_SHOWN_ITEMS]
        shown.append(
            RecommendationExample(
                user=str(user),
                history=[texts[item] for item in history["item"]],
                recommended=[
                    (texts[tables.items.index[column]], float(ranking[row, column]))
                    for column in best
                ],
            )
        )
    return shown
