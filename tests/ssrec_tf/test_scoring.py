"""Whom a catalogue is ranked for, where users by items are more than fits."""

import numpy as np
import pytest

from ssrec_tf import learning, scoring
from ssrec_tf.scoring import rank_part, ranked_users
from tests.ssrec_tf.recommenders.test_base import build


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(scoring, "_FEWEST_USERS", 3)
    monkeypatch.setattr(scoring, "_MOST_SCORES", 12 * 30)  # 30 items


def test_all_users_of_a_part_are_ranked_for_if_they_are_few(world):
    users = ranked_users(world.tables, world.split, "test")
    there = world.tables.interactions["user"].iloc[world.split.test]
    assert users.tolist() == sorted(set(there))


def test_of_too_many_as_many_as_fit_are_drawn_and_always_the_same(world, few):
    users = ranked_users(world.tables, world.split, "test")
    assert len(users) == len(set(users)) == 12
    assert users.tolist() == sorted(users)
    assert users.tolist() == ranked_users(world.tables, world.split, "test").tolist()
    there = sorted(set(world.tables.interactions["user"].iloc[world.split.test]))
    assert set(users) < set(there)
    assert users.tolist() != there[:12]


@pytest.mark.parametrize("world_name", ["world", "streaming_world"])
def test_some_users_are_ranked_for_as_among_all(world_name, request):
    world = request.getfixturevalue(world_name)
    model = build(world)
    sizes = learning.batch_config(model.config, past_only=world.split.past_only)

    def ranking(users):
        return rank_part(model, world.examples, "test", sizes, world.tables, world.split, users)

    users = ranked_users(world.tables, world.split, "test")
    every, some = ranking(users), ranking(users[1::3])
    assert every.shape == (len(users), 30)
    assert not np.isnan(every).any()
    assert some == pytest.approx(every[1::3], abs=1e-6)
