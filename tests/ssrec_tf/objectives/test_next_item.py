"""The next item: the future is not read, each text is read once, the planted walk is learnt."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.config_objectives import TaskConfig
from ssrec_tf.objectives import NextItem
from tests.ssrec_tf.objectives.conftest import SEED, config, learn, walks


def make(encoder, world, **tasks):
    return NextItem(encoder, world.text, config(tasks=TaskConfig(**tasks)))


def test_states_read_no_later_event(encoder, world):
    objective = make(encoder, world)
    batch, changed = walks(), walks()
    items = batch["history_items"].numpy()
    items[:, 3:6] = items[::-1, 3:6]
    changed["history_items"] = tf.constant(items)
    before, after = (
        objective.states_of(objective.window.draw(each, SEED), SEED, training=False).numpy()
        for each in (batch, changed)
    )
    assert before[:, :3] == pytest.approx(after[:, :3], abs=1e-5)
    assert abs(before[:, 3:6] - after[:, 3:6]).max() > 1e-2


def test_each_item_of_a_batch_is_found_once(encoder, world):
    items = walks()["history_items"]
    found, place = make(encoder, world).distinct(items, SEED)
    assert sorted(found.numpy()[found.numpy() > 0]) == sorted(set(items.numpy().ravel()) - {0})
    assert np.array_equal(tf.gather(found, tf.maximum(place, 0))[place >= 0], items[items > 0])
    assert np.array_equal(place < 0, items == 0)


def test_too_many_items_are_drawn_by_chance_and_by_the_seed(encoder, world):
    objective, items = make(encoder, world, texts=5), walks()["history_items"]
    (found, place), again, other = (objective.distinct(items, s) for s in (SEED, SEED, SEED + 1))
    assert found.shape == (5,)
    assert np.array_equal(found, again[0])
    assert set(found.numpy()) != set(other[0].numpy())
    there = place.numpy() >= 0
    assert set(items.numpy()[there]) == set(found.numpy())


def test_loss_is_the_mean_cross_entropy_of_what_follows(encoder, world):
    objective, batch = make(encoder, world), walks()
    found = objective.losses_of(batch, seed=SEED, training=False)
    seeds = tf.random.experimental.stateless_split(SEED, 3)
    events = objective.window.draw(batch, seeds[0])
    states = objective.states_of(events, seeds[1], training=False)
    logits = objective.head(states).numpy().astype(np.float64)
    items, total = events.items.numpy(), []
    for row in range(16):
        for event in range(5):
            line = logits[row, event]
            # Items are numbered from 1, their classes from 0.
            total.append(np.log(np.exp(line).sum()) - line[items[row, event + 1] - 1])
    assert float(found["loss"]) == pytest.approx(np.mean(total), rel=1e-4)


@pytest.mark.slow
def test_the_planted_walk_is_learnt(encoder, world):
    assert learn(make(encoder, world), 50)["accuracy"] > 0.9
