"""Executors of the model: Pretrainer, Trainer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.progress import stages
from pipeline.runner import Context
from ssrec_tf import table_folder
from ssrec_tf.config import RunConfig

if TYPE_CHECKING:
    from ssrec_tf.recommenders import Recommender
    from ssrec_tf.splits import Split
    from ssrec_tf.tables import Tables

_CHECKED_ROWS = 1000


def pretrainer(context: Context) -> None:
    """Pretrain the encoder by predicting masked tokens; a killed run goes on."""
    from ssrec_tf import learning, replicas, weights
    from ssrec_tf.text_table import TextTable

    config: RunConfig = context.config
    _, split = table_folder.load(context.inputs["ExampleGen"])
    transformed = context.inputs["Transform"]
    text = TextTable.load(transformed / "text")
    with replicas.make_strategy(config.devices.strategy).scope():
        encoder = learning.create_encoder(config.encoder, text, seed=config.pretrain.loop.seed)
        state = learning.pretrain(
            encoder,
            text,
            transformed / "examples",
            config.pretrain,
            past_only=split.past_only,
            workdir=context.work,
        )
    weights.save(encoder, context.output / "encoder.npz")
    _keep_logs(context)
    if state.step:
        print(f"    best validation loss {state.best:.3f} at step {state.best_step}")
    else:
        print("    the encoder is left as it is: pretrain.loop.steps is 0")


def trainer(context: Context) -> None:
    """Fine-tune the heads, export the SavedModel, compare it with Keras on raw strings."""
    from ssrec_tf import distillation, replicas, settling, weights
    from ssrec_tf.exporting import check_scores, export, with_odd_pairs
    from ssrec_tf.serving_assets import serving_assets

    config: RunConfig = context.config
    tables, split = table_folder.load(context.inputs["ExampleGen"])
    examples = context.inputs["Transform"] / "examples"
    with replicas.make_strategy(config.devices.strategy).scope():
        model = build_model(context, tables, split)
        weights.load(model.encoder, context.inputs["Pretrainer"] / "encoder.npz")
        state = distillation.fit(model, examples, past_only=split.past_only, workdir=context.work)
    path = context.output / "model.npz"
    if config.devices.strategy != "one":  # what is served lies on one device
        weights.save(model, path)
        model = build_model(context, tables, split)
        weights.load(model, path)
    settling.finish(model, examples, past_only=split.past_only)
    weights.save(model, path)
    print(f"    best validation loss {state.best:.4f} at step {state.best_step}")
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
    with stages("export", 3) as begin:
        begin("write the SavedModel")
        graph = export(
            model,
            folder,
            max_history=config.train.max_history,
            card=card,
            extra=serving_assets(tables, split, config.text),
        )
        begin("render and score raw rows")
        rows = _raw_rows(model, tables, split, examples)
        begin("compare with Keras, loaded three ways")
        worst = check_scores(folder, *with_odd_pairs(graph, *rows))
    shown = ", ".join(f"{way} {value:.1e}" for way, value in worst.items())
    print(f"    SavedModel equals Keras; largest difference: {shown}")


def build_model(context: Context, tables: Tables, split: Split) -> Recommender:
    """Build the recommender that the configuration names, with fresh weights."""
    from ssrec_tf import learning
    from ssrec_tf.statistics import LabelStatistics
    from ssrec_tf.text_table import TextTable

    config: RunConfig = context.config
    text = TextTable.load(context.inputs["Transform"] / "text")
    encoder = learning.create_encoder(config.encoder, text, seed=config.pretrain.loop.seed)
    statistics = LabelStatistics.of(tables, split.train)
    return learning.make_recommender(encoder, text, statistics, config.train)


def _keep_logs(context: Context) -> None:
    """Publish the TensorBoard logs and the learning curve beside the weights."""
    shutil.copy(context.work / "curve.json", context.output / "curve.json")
    shutil.copytree(context.work / "tensorboard", context.output / "tensorboard")


def _raw_rows(
    model: Recommender, tables: Tables, split: Split, examples: Path
) -> tuple[list[str], list[str], dict[str, np.ndarray]]:
    """Render some valid rows as raw strings, and score them by Keras from references."""
    from ssrec_tf import learning
    from ssrec_tf.scoring import render_pairs, score_rows

    # User by user, so that few batches hold them.
    users = tables.interactions.loc[split.valid, "user"]
    rows = users.sort_values(kind="stable").index.to_numpy()[:_CHECKED_ROWS]
    sizes = learning.batch_config(model.config, past_only=split.past_only)
    rating, click = score_rows(model, examples, "valid", sizes, rows)
    behaviours, items = render_pairs(model.text, tables, split, rows)
    return behaviours, items, {"rating": rating, "click_probability": click}
