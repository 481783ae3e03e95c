"""What is settled once all is learnt, on rows of the valid part."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import minimize

from ssrec_tf import settling
from ssrec_tf.config import FactorConfig
from ssrec_tf.recommenders.nearby import SHARPNESS
from ssrec_tf.scoring import score_part
from ssrec_tf.settling import Rater, finish, settle_levels, settle_shares, settle_unmet, shares_of
from ssrec_tf.statistics import LabelStatistics
from tests.ssrec_tf.conftest import World, planted_tables
from tests.ssrec_tf.recommenders.test_base import build
from tests.ssrec_tf.test_balancing import sizes_of


def test_what_is_of_the_past_ends_at_what_is_popular_of_late(tmp_path):
    tables = planted_tables()
    tables.interactions["time"] *= 86_400  # a row a day
    world = World(tmp_path, kind="time", tables=tables)

    def finished(past_only=True):
        model = build(world, "retrieval", popularity_days=30.0)
        model.items.next_bias.assign(tf.range(31.0))
        finish(model, world.examples, past_only=past_only)
        return model.items.next_bias.numpy()

    first, trained = finished(), np.arange(31.0)
    log = tables.interactions.loc[world.split.train]
    weights = np.exp(-(log["time"].max() - log["time"]) / 86_400 / 30)
    shares = np.zeros((2, 31))
    for item, weight in zip(log["item"], weights, strict=True):
        shares[:, 1 + tables.items.index.get_loc(item)] += [1.0, weight]
    ever = (shares[0] + 1) / (len(log) + 31)
    recent = (shares[1] + 200 * ever) / (weights.sum() + 200)
    assert np.allclose(first - trained, np.log(recent / ever), atol=1e-5)
    assert np.ptp((first - trained)[1:]) > 0.05
    assert np.array_equal(finished(past_only=False), trained)


@pytest.fixture(scope="module")
def cold_world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("cold"), kind="cold_item")


def factorized(world, often, seed=3):
    model = build(world, pair_head="factorization", factors=FactorConfig(met_often=often))
    rng = np.random.default_rng(seed)
    for table in (model.items.factors.of_id, model.items.factors.of_word):
        table.assign(rng.normal(size=table.shape))
    model.items.settle()
    return model


def rater_of(model, world):
    return Rater(model, world.examples, sizes_of(model))


def error_on_valid(model, world):
    """Of all the valid part's rows, scored as every evaluation scores them."""
    found = score_part(model, world.examples, "valid", sizes_of(model), world.split.valid)
    truth = world.tables.interactions["rating"].to_numpy()[world.split.valid]
    return np.mean((found.rating - truth) ** 2)


@pytest.mark.parametrize("seed", [3, 4])
def test_an_unmet_item_is_read_as_suits_the_valid_part(cold_world, monkeypatch, seed):
    monkeypatch.setattr(settling, "_FEWEST", 1)
    model = factorized(cold_world, 0.0, seed)
    settle_unmet(rater_of(model, cold_world))
    errors = {
        often: error_on_valid(factorized(cold_world, often, seed), cold_world)
        for often in (1.0, 3.0, 10.0, 30.0, 100.0)
    }
    assert len(set(errors.values())) > 1
    assert errors[model.items.factors.unmet.often] == min(errors.values())
    assert error_on_valid(model, cold_world) == pytest.approx(min(errors.values()), rel=1e-5)


@pytest.mark.parametrize("often", [0.0, 7.0])
def test_what_is_given_or_rests_on_few_rows_is_not_chosen(cold_world, often, monkeypatch):
    monkeypatch.setattr(settling, "_FEWEST", 1 if often else 10_000)
    model = factorized(cold_world, often)
    before = model.items.factors.unmet.of_word.numpy()
    settle_unmet(rater_of(model, cold_world))
    assert model.items.factors.unmet.often == (often or 100.0)
    assert np.array_equal(before, model.items.factors.unmet.of_word.numpy())


def biases_by_hand(world, damping):
    """Of items, by the normal equations of all ratings at once; and how often each was rated."""
    log = world.tables.interactions.loc[world.split.train]
    places = [1 + world.tables.items.index.get_loc(item) for item in log["item"]]
    users = log["user"].astype("category").cat.codes.to_numpy()
    design = np.zeros((len(log), 31 + users.max() + 1))
    design[np.arange(len(log)), places] = 1.0
    design[np.arange(len(log)), 31 + users] = 1.0
    statistics = LabelStatistics.of(world.tables, world.split.train)
    stars = (log["rating"].to_numpy() - statistics.mean) / statistics.deviation
    penalty = np.diag([damping] * 31 + [3.0] * (design.shape[1] - 31))
    found = np.linalg.solve(design.T @ design + penalty, design.T @ stars)
    return found[:31], np.bincount(places, minlength=31)


@pytest.mark.parametrize(("drawn", "seed", "wanted"), [("levels", 3, 1.0), ("all", 4, 0.0)])
def test_levels_return_to_biases_as_suits_the_valid_part(world, drawn, seed, wanted):
    model = factorized(world, 7.0, seed)
    width = model.config.factors.width
    if drawn == "levels":
        for table in (model.items.factors.of_id, model.items.factors.of_word):
            table.assign(table.numpy() * (np.arange(table.shape[-1]) == width))
    own = model.items.factors.of_id.numpy()
    levels = model.items.every().factors.numpy()[..., width]
    plain, counts = biases_by_hand(world, 5.0)
    assert (counts[1:] > 0).any()
    way = (plain[:, None] - levels) * (100.0 / (counts + 100.0))[:, None]
    errors = {}
    for back in (0.0, 0.25, 0.5, 0.75, 1.0):
        moved = own.copy()
        moved[..., width] += back * way * (counts > 0)[:, None]
        model.items.factors.of_id.assign(moved)
        errors[back] = error_on_valid(model, world), moved
    model.items.factors.of_id.assign(own)
    settle_levels(rater_of(model, world))
    best = min(errors, key=lambda back: errors[back][0])
    assert len({error for error, _ in errors.values()}) == 5
    assert best == wanted  # drawn alone, they say nothing
    assert model.items.factors.of_id.numpy() == pytest.approx(errors[best][1], abs=1e-3)


def test_shares_are_the_least_squares_with_rows_of_doubt():
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(400, 3)) * [1.0, 0.5, 2.0]
    truth = parts @ [0.8, 1.0, 0.3] + rng.normal(size=400)

    mostly = np.array([1.0, 0.7, 1.0])

    def loss(shares):
        doubt = 100.0 * np.mean(parts**2, axis=0) @ (shares - mostly) ** 2
        return np.sum((truth - parts @ shares) ** 2) + doubt

    found = shares_of(parts, truth, mostly)
    assert found == pytest.approx(minimize(loss, np.ones(3), tol=1e-12).x, abs=1e-4)
    assert 0.3 < found[2] < 0.5
    assert shares_of(parts * [1, 0, 1], truth, mostly)[1] == 0.7
    assert shares_of(parts[:0], truth[:0], mostly).tolist() == [1.0, 0.7, 1.0]


def test_what_is_noise_is_believed_less_and_the_valid_part_is_rated_better(world, monkeypatch):
    monkeypatch.setattr(settling, "_DOUBT", 1.0)
    model = factorized(world, 7.0)
    before = error_on_valid(model, world)
    settle_shares(rater_of(model, world))
    shares = model.items.factors.shares.numpy()
    assert shares[0, [0, 2]].max() < 0.5  # drawn levels and tastes say nothing
    assert error_on_valid(model, world) < before - 0.5
    settle_shares(rater_of(model, world))  # from anywhere, the same
    assert model.items.factors.shares.numpy() == pytest.approx(shares, abs=1e-4)


def test_the_met_and_the_unmet_have_shares_of_their_own(world, cold_world, monkeypatch):
    monkeypatch.setattr(settling, "_DOUBT", 1.0)
    warm, cold = (factorized(one, 7.0) for one in (world, cold_world))
    before = error_on_valid(cold, cold_world)
    for model, one in ((warm, world), (cold, cold_world)):
        settle_shares(rater_of(model, one))
    met, unmet = warm.items.factors.shares.numpy()
    assert np.abs(met - [1.0, 1.0, 1.0, 0.8]).max() > 0.3
    assert unmet.tolist() == [1.0, 1.0, 1.0, 0.5]  # nobody asked
    met, unmet = cold.items.factors.shares.numpy()
    assert met == pytest.approx([1.0, 1.0, 1.0, 0.8])
    assert np.abs(unmet - [1.0, 1.0, 1.0, 0.5]).max() > 0.3
    assert error_on_valid(cold, cold_world) < 0.9 * before


def test_what_a_neural_head_reads_is_left_whole(world):
    model = build(world, pair_head="both")
    settle_shares(rater_of(model, world))
    assert model.items.factors.shares.numpy().tolist() == [[1.0, 1.0, 1.0, 0.0]] * 2


@pytest.mark.parametrize("rows", ["few", "none"])
def test_by_few_valid_rows_a_part_counts_as_it_mostly_does(world, cold_world, rows, monkeypatch):
    monkeypatch.setattr(settling, "_FEWEST", 10_000)
    if rows == "none":
        monkeypatch.setattr(settling, "some_batches", lambda *_: iter(()))
    for one in (world, cold_world):
        model = factorized(one, 7.0)
        settle_shares(rater_of(model, one))
        found = model.items.factors.shares.numpy()
        assert found == pytest.approx(np.array([[1, 1, 1, 0.8], [1, 1, 1, 0.5]]))
        assert model.items.factors.sharpness.numpy() == pytest.approx(np.array([SHARPNESS[0]] * 2))
