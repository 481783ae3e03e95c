"""Sources of the next item, weighed on rows that none of them has seen."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf import learning
from ssrec_tf.balancing import balance_sources, finish
from ssrec_tf.batching import evaluation_batches
from tests.ssrec_tf.conftest import World, planted_tables
from tests.ssrec_tf.recommenders.test_base import build
from tests.ssrec_tf.recommenders.test_two_level import circle_tables


def sizes_of(model, past_only=False):
    return learning.batch_config(model.config, past_only=past_only)


def loss_by_hand(model, world, past_only=False):
    """Mean cross-entropy of the valid rows among the items that a user has not met, to call."""
    query = tf.function(model.query_of, reduce_retracing=True, autograph=False)
    batches = list(evaluation_batches(world.examples, "valid", sizes_of(model, past_only)))

    def loss():
        found = []
        for batch in batches:
            logits = (query(batch).numpy() @ model.index().numpy().T).astype(np.float64)
            np.put_along_axis(logits, batch["history_items"].numpy(), -np.inf, axis=1)  # and 0
            targets = batch["target_items"].numpy()
            logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
            found += list(np.take_along_axis(logs, targets, axis=1)[targets != 0])
        return -np.mean(found)

    return loss


def test_it_ends_where_no_weight_is_better_and_moves_nothing_else(world):
    model = build(world)
    learning.store_behaviour(model, world.examples)
    model.companion_scale.assign(4.0)  # much too sure of itself
    scales = model.source_scales
    kept = [v.numpy().copy() for v in model.variables if not any(v is s for s in scales)]
    loss = loss_by_hand(model, world)
    before = loss()
    balance_sources(model, world.examples, sizes_of(model))
    after = loss()
    assert after < before - 0.1
    for scale in scales:
        here = float(scale)
        for step in (-0.2, 0.2):
            scale.assign(here + step)
            assert loss() > after - 2e-3
        scale.assign(here)
    others = [v.numpy() for v in model.variables if not any(v is s for s in scales)]
    assert all(np.array_equal(old, new) for old, new in zip(kept, others, strict=True))


def test_what_tells_the_next_item_is_believed_and_what_does_not_is_not(tmp_path):
    found, world = [], World(tmp_path, tables=circle_tables(), kind="leave_one_out")
    for _ in range(2):
        model = build(world)
        learning.store_behaviour(model, world.examples)
        model.order_scale.assign(-2.0)
        finish(model, world.examples, past_only=True)
        found.append([float(scale) for scale in model.source_scales])
    assert found[0] == found[1]
    assert float(model.order_scale) > 1.0  # everyone walks around one circle
    assert loss_by_hand(model, world, True)() < 0.5 * np.log(12)  # of the 12 items that are left


@pytest.mark.parametrize("changes", [{"reading": "retrieval"}, {"next_item_weight": 0.0}])
def test_one_source_is_left_alone(world, changes):
    model = build(world, **changes)
    before = [v.numpy().copy() for v in model.variables]
    balance_sources(model, world.examples, sizes_of(model))
    after = [tf.convert_to_tensor(v).numpy() for v in model.variables]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


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
