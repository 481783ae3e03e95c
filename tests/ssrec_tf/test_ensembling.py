"""Ensembles: SWAG's Gaussian by its moments, what members share, the mean by hand."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf import learning
from ssrec_tf.config import LoopConfig, from_dict
from ssrec_tf.config_ensemble import EnsembleConfig
from ssrec_tf.ensembling import Ensemble, fit_members, swag_draw
from ssrec_tf.errors import ConfigError
from tests.ssrec_tf.recommenders.test_base import CONFIG, batch_of, build, next_logits

LOOP = LoopConfig(steps=8, batch_size=8, evaluate_every=4, checkpoint_every=4, seed=2)


def members_of(world, folder, kind, **changes):
    """Of the reading that is compiled soonest: members are made alike for all."""
    ensemble = EnsembleConfig(kind=kind, members=2)
    model = build(world, "retrieval", loop=LOOP, ensemble=ensemble, **changes)
    return model, fit_members(model, world.examples, past_only=False, workdir=folder)


def weights_of(member):
    return np.concatenate([v.numpy().ravel() for v in member.trainable_variables])


def test_draws_have_swags_moments():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(5, 3)) @ np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 0.0], [0, 0, 3.0]])
    draws = np.stack([swag_draw(weights, rng) for _ in range(40_000)])
    above = weights - weights.mean(axis=0)
    # Equation 1: half the diagonal of the variances, half the low-rank covariance.
    covariance = np.diag((above**2).mean(axis=0)) / 2 + above.T @ above / (2 * (5 - 1))
    assert draws.mean(axis=0) == pytest.approx(weights.mean(axis=0), abs=0.05)
    assert np.cov(draws.T) == pytest.approx(covariance, abs=0.15)


def test_the_mean_by_hand(world):
    models = [build(world), build(world, loop=replace(CONFIG.loop, seed=5))]
    batch, seed = batch_of(world), tf.zeros([2], tf.int64)
    for model in models:  # fresh heads say next to nothing
        model.items.id_level.assign(tf.random.stateless_normal([31], [1, model.config.loop.seed]))
    told = Ensemble(models).predict(batch)
    scores = [model.scores_of(batch) for model in models]
    ratings = np.stack([np.clip(s.rating, 1.0, 5.0) for s in scores])
    clicks = np.stack([1 / (1 + np.exp(-s.click_logit.numpy())) for s in scores])
    assert np.abs(scores[0].rating - scores[1].rating).max() > 0.1
    assert np.abs(told.rating - ratings.mean(axis=0)).max() < 1e-5
    assert np.abs(told.click - clicks.mean(axis=0)).max() < 1e-5
    assert told.next_items.numpy().sum(axis=1) == pytest.approx(np.ones(8), abs=1e-5)
    logits = [next_logits(m, batch) for m in models]  # nothing seen is a target, too
    shares = [np.exp(x[:, 1:]) / np.exp(x[:, 1:]).sum(1, keepdims=True) for x in logits]
    assert np.abs(told.next_items[:, 1:] - np.mean(shares, axis=0)).max() < 1e-5
    outputs = models[0].outputs_of(batch, seed=seed, training=False)
    assert outputs.keep is None  # a teacher drops no id


@pytest.fixture
def counted(monkeypatch):
    """A training that takes no time: it adds 1 to the items' levels."""

    def fit(model, examples, *, past_only, workdir):
        trained.append((model.config.loop.seed, model.config.loop.steps, workdir.name))
        model.items.id_level.assign_add(tf.ones_like(model.items.id_level))

    trained = []
    monkeypatch.setattr(learning, "fit", fit)
    return trained


def test_deep_members_start_anew_from_seeds_of_their_own(world, tmp_path, counted):
    model, ensemble = members_of(world, tmp_path, "deep")
    assert counted == [(3, 8, "1"), (4, 8, "2")]
    assert [float(m.items.id_level[0]) for m in (model, *ensemble.members)] == [0.0, 1.0, 1.0]
    one, other = (member.items.id_embedding.numpy() for member in ensemble.members)
    assert np.abs(one - other).max() > 0.01
    assert all(member.encoder is model.encoder for member in ensemble.members)


def test_a_snapshot_goes_on_from_the_one_before(world, tmp_path, counted):
    _, ensemble = members_of(world, tmp_path, "snapshot")
    assert counted == [(3, 4, "1"), (4, 4, "2")]  # one training's steps in all
    one, other = ensemble.members
    assert [float(member.items.id_level[0]) for member in (one, other)] == [1.0, 2.0]
    assert np.array_equal(one.items.id_embedding, other.items.id_embedding)


def test_an_encoder_that_is_trained_is_each_members_own(world, tmp_path, counted):
    model, ensemble = members_of(world, tmp_path, "deep", encoder_steps=1)
    encoders = [each.encoder for each in (model, *ensemble.members)]
    assert len({id(encoder) for encoder in encoders}) == 3
    for own, member in zip(model.encoder.variables, encoders[1].variables, strict=True):
        assert np.array_equal(own, member)


@pytest.mark.slow
def test_swag_members_lie_around_the_walk(world, tmp_path):
    _, ensemble = members_of(world, tmp_path, "swag")
    paths = sorted((tmp_path / "walk" / "weights").glob("*.npy"))
    walked = np.stack([np.load(path) for path in paths])
    assert len(walked) == 20
    drawn = np.stack([weights_of(member) for member in ensemble.members])
    assert np.abs(drawn[0] - drawn[1]).max() > 0
    spread = np.abs(walked - walked.mean(axis=0)).max(axis=0)
    assert np.abs(drawn - walked.mean(axis=0)).max() < 10 * spread.max()
    still = spread == 0
    assert np.allclose(drawn[:, still], walked[0, still], atol=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "bagging"}, r"train\.ensemble\.kind is 'bagging': give one of none, deep"),
        ({"members": 1}, r"train\.ensemble\.members is 1: give a number of at least 2"),
        ({"teacher_weight": 1.5}, r"train\.ensemble\.teacher_weight is 1\.5: give a number from"),
        ({"drawn_items": -1}, r"train\.ensemble\.drawn_items is -1: give a number of at least 0"),
    ],
)
def test_faults_of_the_configuration(values, message):
    with pytest.raises(ConfigError, match=message):
        from_dict({"name": "x", "data": {"dataset": "d"}, "train": {"ensemble": values}})
