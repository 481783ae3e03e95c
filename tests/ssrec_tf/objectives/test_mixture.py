"""Mixtures: one encoder, weighed sums, weights that move, a curve with every part's name."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.config import EncoderConfig, LoopConfig, OptimizerConfig
from ssrec_tf.config_objectives import OBJECTIVES
from ssrec_tf.errors import ConfigError
from ssrec_tf.learning import create_encoder, pretrain
from ssrec_tf.objectives import MaskedToken, Mixture, make_objective
from tests.ssrec_tf.objectives.conftest import SEED, config, walks


def test_the_default_is_masked_tokens_alone(encoder, world):
    assert type(make_objective(encoder, world.text, config())) is MaskedToken


def test_all_objectives_share_one_encoder(encoder, world):
    names = tuple(name for name in OBJECTIVES if name not in ("next_token", "permutation"))
    objective = make_objective(encoder, world.text, config(objectives=dict.fromkeys(names, 1)))
    assert tuple(objective.parts) == names
    objective.losses_of(walks(), seed=SEED, training=False)
    ids = [id(variable) for variable in objective.variables]
    assert len(ids) == len(set(ids))
    assert {id(variable) for variable in encoder.variables} <= set(ids)
    for part in objective.parts.values():
        assert part.encoder is encoder
        assert {id(variable) for variable in part.variables} <= set(ids)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "name"), [("gpt2", "next_token"), ("xlnet", "permutation")]
)
def test_an_encoder_pretrains_by_the_objective_made_for_it(world, tmp_path, architecture, name):
    settings = config(
        objectives={name: 1.0},
        optimizer=OptimizerConfig(3e-3, warmup_steps=2),
        loop=LoopConfig(steps=12, batch_size=8, evaluate_every=6, checkpoint_every=12),
    )
    encoder = create_encoder(EncoderConfig(architecture), world.text, seed=1)
    state = pretrain(
        encoder, world.text, world.examples, settings, past_only=False, workdir=tmp_path
    )
    losses = [
        row["value"] for row in state.curve if row["phase"] == "valid" and row["metric"] == "loss"
    ]
    # Knowing nothing is ln(vocabulary); `film`, `number` and `.` are soon known.
    assert losses[1] < losses[0] < np.log(world.text.vocabulary.size) + 0.3


def test_the_loss_is_the_weighted_sum_and_draws_hang_on_no_companion(encoder, world):
    weights = {"masked_rating": 0.5, "masked_token": 2.0}
    objective = make_objective(encoder, world.text, config(objectives=weights))
    found = objective.losses_of(walks(), seed=SEED, training=False)
    expected = 2 * found["masked_token/loss"] + 0.5 * found["masked_rating/loss"]
    assert float(found["loss"]) == pytest.approx(float(expected), rel=1e-6)
    alone = Mixture(
        {"masked_rating": objective.parts["masked_rating"]},
        config(objectives={"masked_rating": 1.0}),
    )
    assert (
        alone.losses_of(walks(), seed=SEED, training=False)["loss"] == (found["masked_rating/loss"])
    )


def test_weights_move_linearly_and_validation_takes_the_last(encoder, world):
    settings = config(
        objectives={"masked_token": 1.0, "masked_rating": 0.0},
        objectives_end={"masked_token": 0.5, "masked_rating": 1.0},
        loop=LoopConfig(steps=11),
    )
    objective = make_objective(encoder, world.text, settings)
    found = [
        {name: float(weight) for name, weight in objective.weights_at(step).items()}
        for step in (tf.constant(0, tf.int64), tf.constant(4, tf.int64), tf.constant(99, tf.int64))
    ]
    assert found[0] == pytest.approx({"masked_token": 1.0, "masked_rating": 0.0})
    assert found[1] == pytest.approx({"masked_token": 0.8, "masked_rating": 0.4})
    assert found[2] == pytest.approx({"masked_token": 0.5, "masked_rating": 1.0})
    for training, (first, second) in ((True, (0.8, 0.4)), (False, (0.5, 1.0))):
        seed = tf.constant([1, 4], tf.int64)
        losses = objective.losses_of(walks(), seed=seed, training=training)
        expected = first * losses["masked_token/loss"] + second * losses["masked_rating/loss"]
        assert float(losses["loss"]) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.slow
def test_a_pretraining_names_every_part_in_its_curve(world, tmp_path):
    settings = config(
        objectives={"masked_token": 1.0, "masked_rating": 1.0},
        objectives_end={"masked_token": 0.0},
        loop=LoopConfig(steps=2, batch_size=4, evaluate_every=2),
    )
    encoder = create_encoder(EncoderConfig(), world.text, seed=1)
    state = pretrain(
        encoder, world.text, world.examples, settings, past_only=False, workdir=tmp_path
    )
    metrics = {row["metric"] for row in state.curve if row["phase"] == "valid"}
    assert metrics == {
        "loss",
        *(f"masked_token/{key}" for key in ("loss", "masked_token_accuracy", "perplexity")),
        *(f"masked_rating/{key}" for key in ("loss", "accuracy", "rmse")),
    }


def test_unknown_names_are_refused(encoder, world):
    with pytest.raises(ConfigError, match=r"pretrain\.objectives\.masked_tokens is no objective"):
        make_objective(encoder, world.text, replace(config(), objectives={"masked_tokens": 1.0}))
