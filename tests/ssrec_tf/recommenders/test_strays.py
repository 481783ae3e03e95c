"""Strays: the regression by NumPy, and clicks that only they can explain."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from ssrec_tf import learning
from ssrec_tf.config import FactorConfig
from ssrec_tf.recommenders.strays import strays_left_out, strays_of
from ssrec_tf.scoring import score_part
from tests.ssrec_tf.conftest import World, planted_tables
from tests.ssrec_tf.recommenders.test_base import CONFIG, build
from tests.ssrec_tf.recommenders.test_factors import STARTS, TEXT, K, events_of, factors_of


def by_hand(told, row):
    """The stray of an item after the events of a list of (row, stray, rated)."""

    def loadings(row):
        return np.array([1.0, *row[:K], *row[-TEXT:]])

    rated = [(row, stray) for row, stray, there in told if there]
    design = np.array([loadings(row) for row, _ in rated]).reshape(-1, 1 + K + TEXT)
    above = np.array([stray - row[2 * K + 2] for row, stray in rated])
    penalty = np.diag([6.0] + [4.0] * (K + TEXT))
    weights = np.linalg.solve(design.T @ design + penalty, design.T @ above)
    return row[2 * K + 2] + loadings(row) @ weights


def of_first(events, start):
    """Events of the first user but the padding at their end."""
    rows, stars, strays = (part.numpy() for part in (events.rows, events.stars, events.strays))
    count = rows.shape[1] - 1
    return [(rows[0, i, start], strays[0, i], not np.isnan(stars[0, i])) for i in range(count)]


def test_strays_by_hand(world):
    layer = factors_of(world)
    history, targets = events_of(layer), events_of(layer, count=3, seed=9)
    found = strays_of(layer, history, targets.rows).numpy()
    for start, target in np.ndindex(STARTS, 3):
        row = targets.rows.numpy()[0, target, start]
        assert found[0, target, start] == pytest.approx(
            by_hand(of_first(history, start), row), abs=1e-4
        )
        # Of the second user nothing is known.
        own = targets.rows.numpy()[1, target, start, 2 * K + 2]
        assert found[1, target, start] == pytest.approx(own, abs=1e-6)


def test_each_event_strays_by_all_but_itself(world):
    layer = factors_of(world)
    history, targets = events_of(layer), events_of(layer, count=4, seed=8)
    targets = targets._replace(mask=tf.zeros_like(targets.mask))  # asked, and tell nothing
    found = strays_left_out(layer, history, targets).numpy()
    for start in range(STARTS):
        read, asked = of_first(history, start), of_first(targets, start)
        for place, event in enumerate(read + asked):
            others = [one for i, one in enumerate(read) if i != place]
            shown = place if place < len(read) else place + 1  # behind one event of padding
            assert found[0, shown, start] == pytest.approx(by_hand(others, event[0]), abs=1e-3)


def test_a_rating_strays_as_measured_and_none_does_not(world):
    model = build(world, pair_head="factorization")
    measured = model.statistics.click_beyond_rating
    ratings = tf.constant([[1.0, 3.2, 5.0, np.nan]])
    wanted = [measured[0], measured[2], measured[4], 0.0]
    assert model.strays(ratings).numpy()[0] == pytest.approx(wanted)


def generous_tables():
    """Half of the users give 3 or 5, the others 4 always: equal means, unequal clicks."""
    tables = planted_tables(events=20)
    rng = np.random.default_rng(0)
    log = tables.interactions.copy()
    even = log["user"].str[1:].astype(int) % 2 == 0
    log["rating"] = np.where(even, rng.choice([3.0, 5.0], len(log)), 4.0).astype(np.float32)
    log["click"] = (log["rating"] >= 4).astype(np.int8)
    return replace(tables, interactions=log)


@pytest.mark.slow
def test_users_of_one_mean_are_told_apart_by_their_strays(tmp_path):
    world = World(tmp_path, tables=generous_tables())
    model = build(
        world,
        pair_head="factorization",
        factors=FactorConfig(width=2, behaviour_width=0, waves=0),
        next_item_weight=0.0,
        loop=replace(CONFIG.loop, steps=40, evaluate_every=40),
    )
    learning.fit(model, world.examples, past_only=False, workdir=tmp_path / "work")
    sizes = learning.batch_config(model.config, past_only=False)
    scores = score_part(model, world.examples, "valid", sizes, world.split.valid)
    clicks = world.tables.interactions.loc[world.split.valid, "click"].to_numpy()
    # Whoever knows the two kinds of users and no more reaches 5 / 6.
    assert roc_auc_score(clicks, scores.click) > 0.75
    assert abs(roc_auc_score(clicks, scores.rating) - 0.5) < 0.2
