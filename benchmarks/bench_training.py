"""Fine-tuning of the joint reading: pairs a CPU-second, beside PyTorch."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import main
from benchmarks.flops import PASSES, bert_flops
from benchmarks.measuring import interleave, timed
from benchmarks.ours import Stepper, World, pairs_of
from benchmarks.results import Comparison, Fact, Result, Roofline, Wanted
from benchmarks.torch_side import NAMES, TorchSide
from ssrec_tf import learning
from ssrec_tf.batching import Batch
from ssrec_tf.config import EncoderConfig, LoopConfig, OptimizerConfig, TrainConfig
from ssrec_tf.published import MINILM, bert_folder
from ssrec_tf.recommenders import Recommender

# A large rate, so that the losses of a few steps fall and a difference could show.
RATE, HISTORY, USERS = 2e-4, 20, 4
SHARED, FLOAT, ALONE = "ours, shared", "ours, shared, float32", "ours, one by one"
_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_LETTERS = [chr(97 + i) for i in range(26)] + [str(i) for i in range(10)] + list(".,-'()!&*/")


def measure(quick: bool) -> Result:
    """Train all on the same pairs from the same weights, in turns."""
    with tempfile.TemporaryDirectory() as name, TorchSide() as torch:
        folder = Path(name)
        bert = bert_for(quick, torch, folder)
        encoder = EncoderConfig(huggingface=str(bert))
        world = World.make(folder, str(bert))
        batches = world.steps(3 if quick else 24, USERS, HISTORY)
        torch.load(bert, world.write_rows(folder / "steps.json", batches), RATE)
        sides = {
            SHARED: make_stepper(world, encoder, batches, shared=16, dtype="bfloat16"),
            FLOAT: make_stepper(world, encoder, batches, shared=16, dtype="float32"),
            ALONE: make_stepper(world, encoder, batches, shared=0, dtype="float32"),
        }
        steps = 1 if quick else 2
        alternatives = torch.alternatives(steps)
        alternatives |= {name: timed(side.run(steps)) for name, side in sides.items()}
        runs = interleave(alternatives, rounds=2 if quick else 5)
        curves = {name: torch.curve(name) for name in torch.workers}
        versions, tokens = torch.versions(), _tokens(sides[SHARED], batches)
    config = sides[SHARED].model.encoder.backbone
    return Result(
        name="training",
        title="Fine-tuning, joint reading",
        text=_text(config, versions),
        unit="pairs",
        runs=runs,
        comparisons=[
            Comparison(SHARED, NAMES["classic"], Wanted(at_least=4)),
            Comparison(SHARED, NAMES["best"], Wanted(at_least=2)),
            Comparison(FLOAT, NAMES["best"]),
            Comparison(ALONE, NAMES["classic"]),
        ],
        facts=_facts(sides[SHARED].losses, curves, tokens),
        rooflines=[
            Roofline(
                SHARED,
                "bfloat16",
                flops=PASSES
                * bert_flops(
                    tokens[0],
                    tokens[1],
                    width=config.hidden_dim,
                    layers=config.num_layers,
                    inner=config.intermediate_dim,
                ),
                formula=f"{tokens[0]:.1f} tokens a pair in sequences of {tokens[1]:.0f}",
            ),
            Roofline(
                NAMES["classic"],
                "float32",
                flops=PASSES
                * bert_flops(
                    128,
                    128,
                    width=config.hidden_dim,
                    layers=config.num_layers,
                    inner=config.intermediate_dim,
                ),
                formula="128 tokens a pair in sequences of 128",
            ),
        ],
        notes=[
            "That shared candidates score as each alone, to 1e-5, is a test: "
            "`tests/ssrec_tf/recommenders/test_joint.py`."
        ],
    )


def bert_for(quick: bool, torch: TorchSide, folder: Path) -> Path:
    """MiniLM's folder, or a small one for a quick run."""
    if not quick:
        return bert_folder(MINILM)
    words = [*_WORDS, *_LETTERS, *map("##{}".format, _LETTERS)]
    return torch.fresh_folder(folder / "bert", words)


def make_stepper(
    world: World,
    encoder: EncoderConfig,
    batches: Sequence[Batch],
    *,
    shared: int,
    dtype: str,
    dropout: float = 0.1,
    xla: bool = False,
) -> Stepper[Recommender]:
    """The joint reading, with the optimizer of the PyTorch side."""
    config = TrainConfig(
        reading="joint",
        targets_per_sequence=shared,
        max_history=HISTORY,
        max_targets=16,
        dropout=dropout,
        id_dropout=0.0,
        click_weight=0.0,
        next_item_weight=0.0,
        loop=LoopConfig(batch_size=USERS, compute_dtype=dtype, xla=xla),
        optimizer=OptimizerConfig(learning_rate=RATE, warmup_steps=0, decay=False),
    )
    made = learning.create_encoder(encoder, world.text, seed=7)
    model = learning.make_recommender(made, world.text, world.statistics, config)
    head: Any = model.head  # at nothing, as that of the other side
    head.kernel.assign(0.0 * head.kernel)
    return Stepper(model, config, batches, 1000)


def _tokens(side: Stepper[Recommender], batches: Sequence[Batch]) -> tuple[float, float]:
    """Tokens of shared sequences, padding included: a pair, and in a sequence."""
    model, tokens, pairs, lengths = side.model, 0, 0, []
    for batch in batches:
        behaviour = model.behaviour_of(batch)
        targets = batch["target_items"]
        words = np.concatenate([np.ones([*targets.shape, 1]), model.texts.items(targets, None)], 2)
        words *= (targets.numpy() != 0)[..., None]
        made = model.assembler.shared(
            behaviour.user, model._events(behaviour, model._own), words.astype(np.int32), 128
        )
        lengths.append(made.token_ids.shape[1])
        tokens, pairs = tokens + int(np.prod(made.token_ids.shape)), pairs + pairs_of(batch)
    return tokens / pairs, float(np.mean(lengths))


def _facts(
    ours: Sequence[float], curves: dict[str, list[float]], tokens: tuple[float, float]
) -> list[Fact]:
    """How far the losses of the same steps are apart, beside their noise."""
    facts = [Fact("tokens a pair, shared", tokens[0], "tokens")]
    for name, curve in curves.items():
        # The first steps differ by how the fresh heads start.
        late = slice(len(curve) // 3, None)
        apart = np.asarray(ours)[late] - np.asarray(curve)[late]
        error = float(np.std(apart, ddof=1) / np.sqrt(len(apart)))
        facts.append(
            Fact(
                f"loss of ours less that of {NAMES[name]}, the same steps",
                float(np.mean(apart)),
                "variances of the ratings (two standard errors either side)",
                Wanted(at_most=2 * error),
                float(np.mean(apart)) - 2 * error,
                float(np.mean(apart)) + 2 * error,
            )
        )
    return facts


def _text(backbone: object, versions: str) -> str:
    layers, width = backbone.num_layers, backbone.hidden_dim  # type: ignore[attr-defined]
    return f"""
MovieLens-100k, random split. A BERT of {layers} layers, {width} wide, the same weights on both
sides, heads of zeros, AdamW at {RATE:g}, one update for all pairs of {USERS} users
({HISTORY} newest events and up to 16 targets each; some 50 pairs).
*{NAMES["classic"]}*: a `Dataset` that tokenizes in `__getitem__`, padded to 128,
`BertForSequenceClassification`, batches of 16, float32.
*{NAMES["best"]}*: tokenized before the clock starts, sorted by length, dynamic padding, batches of
16, bfloat16 autocast. *{SHARED}*: `train.targets_per_sequence: 16`, `train.loop.compute_dtype:
bfloat16`. *{ALONE}*: a sequence a pair, float32, padded to 128. PyTorch's threads wait
without spinning, so that waiting is not counted as work ({versions})."""


if __name__ == "__main__":
    sys.exit(main(measure))
