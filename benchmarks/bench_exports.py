"""Smaller encoders for texts that no catalogue holds: how much sooner, and how much worse."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import tensorflow as tf

from benchmarks.command import main
from benchmarks.measuring import ROOT
from benchmarks.results import Fact, Result, Wanted
from ssrec_tf import distillation, learning, settling
from ssrec_tf.bench_models import read_and_split
from ssrec_tf.config import RunConfig, load_config
from ssrec_tf.encoders import Encoder
from ssrec_tf.evaluation import part_rows
from ssrec_tf.examples import write_examples
from ssrec_tf.recommenders import Indexed, Recommender
from ssrec_tf.scoring import score_rows
from ssrec_tf.statistics import LabelStatistics
from ssrec_tf.text_table import TextTable

CONFIG = ROOT / "configs" / "movielens-100k-cold.yaml"
WHOLE, FEWER, HALVED, INTEGER = "whole", "layers: 3", "bfloat16", "int8"
LAYERS, BATCHES = 3, (1, 32)
# What a smaller export must reach to be offered.
WORSE, SOONER = Wanted(at_most=0.005), Wanted(at_most=0.75)

Encode = Callable[[tf.Tensor], tf.Tensor]


class World:
    """MovieLens-100k with films that training never saw, scored on its valid part."""

    def __init__(self, folder: Path, config: RunConfig) -> None:
        """Split, render and write the examples."""
        self.folder, self.config = folder, config
        self.tables, self.split = read_and_split(config, base=CONFIG.parent)
        self.text = TextTable.build(self.tables, self.split, config.text)
        self.examples = folder / "examples"
        write_examples(self.tables, self.split, self.examples, max_targets=64)
        self.rows = part_rows(self.split, "valid")
        self.truth = self.tables.interactions["rating"].to_numpy()[self.rows]

    def trained(self, layers: int) -> Indexed:
        """Train the heads over an encoder of so many layers, 0 for all."""
        config = replace(self.config.encoder, layers=layers)
        encoder = learning.create_encoder(config, self.text, seed=7)
        labels = LabelStatistics.of(self.tables, self.split.train)
        model = learning.make_recommender(encoder, self.text, labels, self.config.train)
        workdir = self.folder / f"train-{layers}"
        distillation.fit(model, self.examples, workdir=workdir, past_only=False)
        settling.finish(model, self.examples, past_only=False)
        return cast(Indexed, model)

    def error(self, model: Recommender) -> float:
        """RMSE on the valid part, whose films are known by their texts alone."""
        sizes = learning.batch_config(model.config, past_only=False)
        found, _ = score_rows(model, self.examples, "valid", sizes, self.rows)
        return float(np.sqrt(np.mean((found - self.truth) ** 2)))


def measure(quick: bool) -> Result:
    """Train over the whole encoder and over fewer layers, and shrink the whole one's numbers."""
    config = load_config(CONFIG)
    if quick:
        loop = replace(config.train.loop, steps=2, evaluate_every=2)
        config = replace(config, train=replace(config.train, loop=loop, max_history=32))
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), config)
        fewer = world.trained(LAYERS)
        errors = {FEWER: world.error(fewer)}
        model = world.trained(0)
        errors[WHOLE] = world.error(model)
        encoders = {
            WHOLE: model.encoder,
            FEWER: fewer.encoder,
            HALVED: recast(model.encoder, "bfloat16"),
            INTEGER: quantized(model.encoder),
        }
        encode = {name: encoding(model, encoder) for name, encoder in encoders.items()}
        for name in (HALVED, INTEGER):
            model.items.store(of_catalogue(encode[name], world.text))
            errors[name] = world.error(model)
        times = {n: latencies(encode, world.text, n, 5 if quick else 100) for n in BATCHES}
    return Result(
        name="exports",
        title="Smaller encoders",
        text=f"""
What of the serving graph reads a text that the catalogue lacks is the encoder; here that of
`configs/movielens-100k-cold.yaml`, MiniLM, 6 layers of 384. *{FEWER}*: `encoder.layers: {LAYERS}`,
the first, the last and one between, heads trained over it. *{HALVED}* and *{INTEGER}*: Keras' own,
under the heads of the whole. Errors are those on the valid part's films, which training never saw;
times, in turns, those of encoding titles. Offered is what is at most 0.005 worse and takes at
most 0.75 of the time.""",
        facts=[fact for name in (FEWER, HALVED, INTEGER) for fact in _facts(name, errors, times)],
        notes=[
            f"RMSE of the whole: {errors[WHOLE]:.4f}.",
            *(f"The whole takes {_p95(times[n][WHOLE]):.1f} ms for {n}, p95." for n in BATCHES),
        ],
    )


def recast(encoder: Encoder, dtype: str) -> Encoder:
    """The same encoder, its weights and sums in another type."""
    old = encoder.backbone
    new = type(old).from_config({**old.get_config(), "dtype": dtype})
    for before, after in zip(old.weights, new.weights, strict=True):
        after.assign(tf.cast(before, after.dtype))
    return Encoder(new, encoder.vocabulary)


def quantized(encoder: Encoder) -> Encoder:
    """The same encoder, its matrices in int8 by Keras."""
    made = recast(encoder, "float32")
    made.backbone.quantize("int8")
    return made


def encoding(model: Indexed, encoder: Encoder) -> Encode:
    """Vectors of texts: int32 [n, item width] to float32 [n, encoder width], compiled."""

    def encode(words: tf.Tensor) -> tf.Tensor:
        return tf.cast(encoder(model.assembler.item(words))[1], tf.float32)

    return tf.function(encode, reduce_retracing=True, autograph=False)  # type: ignore[no-any-return]


def of_catalogue(encode: Encode, text: TextTable) -> tf.Tensor:
    """Vectors of all items: float32 [items + 1, encoder width]."""
    tokens = tf.constant(text.item_tokens)
    return tf.concat([encode(tokens[i : i + 64]) for i in range(0, len(tokens), 64)], axis=0)


def latencies(
    encode: Mapping[str, Encode], text: TextTable, count: int, rounds: int
) -> dict[str, list[float]]:
    """Seconds of encoding `count` texts by each, in turns; two rounds warm up."""
    rng, found = np.random.default_rng(0), {name: list[float]() for name in encode}
    for number in range(rounds + 2):
        drawn = rng.integers(1, len(text.item_tokens), count)
        tokens = tf.constant(text.item_tokens[drawn])
        for name, function in encode.items():
            began = time.perf_counter()
            function(tokens).numpy()
            if number >= 2:
                found[name].append(time.perf_counter() - began)
    return found


def _facts(
    name: str, errors: Mapping[str, float], times: Mapping[int, Mapping[str, list[float]]]
) -> list[Fact]:
    """Bounds stand on what is offered only; of the others the figures say why it is not."""
    worse, sooner = (WORSE, SOONER) if name == FEWER else (None, None)
    shares = [
        Fact(
            f"{name}: p95 of {count} {'text' if count == 1 else 'texts'} over that of the whole",
            _p95(found[name]) / _p95(found[WHOLE]),
            "",
            sooner,
        )
        for count, found in times.items()
    ]
    return [
        Fact(f"{name}: RMSE less the whole's", errors[name] - errors[WHOLE], "", worse),
        *shares,
    ]


def _p95(seconds: list[float]) -> float:
    return 1e3 * float(np.percentile(seconds, 95))


if __name__ == "__main__":
    sys.exit(main(measure))
