"""Sources of the next item, weighed on rows that none of them has seen."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf import balancing, learning
from ssrec_tf.balancing import balance_sources
from ssrec_tf.batching import evaluation_batches
from ssrec_tf.settling import finish
from tests.ssrec_tf.conftest import World, planted_tables
from tests.ssrec_tf.recommenders.test_base import build
from tests.ssrec_tf.recommenders.test_two_level import circle_tables


def sizes_of(model, past_only=False):
    return learning.batch_config(model.config, past_only=past_only)


def gain_by_hand(model, world, past_only=False):
    """Mean discounted gain of the valid rows, each alone among what its user has not met."""
    query = tf.function(model.query_of, reduce_retracing=True, autograph=False)
    batches = list(evaluation_batches(world.examples, "valid", sizes_of(model, past_only)))

    def gain():
        found = []
        for batch in batches:
            logits = query(batch).numpy() @ model.index().numpy().T
            for scores, met, wanted in zip(
                logits,
                batch["history_items"].numpy(),
                batch["target_items"].numpy(),
                strict=True,
            ):
                for target in wanted[wanted > 0]:
                    others = set(range(1, len(scores))) - set(met) - set(wanted)
                    higher = sum(scores[other] > scores[target] for other in others)
                    found.append(1.0 / np.log2(2 + higher))
        return np.mean(found)

    return gain


def unsettled(model):
    """Weights that settling leaves as they are."""
    settled = {id(v) for v in [model.balance, *model.source_readings]}
    return [v for v in model.variables if id(v) not in settled]


def leaps_tables():
    """A leap to any item, the one item that follows it, a leap again: the newest event decides."""
    tables, rng = planted_tables(events=12), np.random.default_rng(3)
    follows = rng.permutation(30)

    def walk(events):
        left, items = set(range(30)), []
        while len(items) < events + 1:
            item = int(rng.choice([i for i in left if follows[i] in left and follows[i] != i]))
            items += [item, int(follows[item])]
            left -= set(items)
        return items[1 : events + 1]  # of the first leap the landing only

    log = tables.interactions.sort_values("user", kind="stable")
    counts = log.groupby("user").size()
    places = np.concatenate([walk(count) for count in counts])
    time = 881_250_949 + 60 * log.groupby("user").cumcount().to_numpy()
    return replace(
        tables, interactions=log.assign(item=tables.items.index.to_numpy()[places], time=time)
    )


def settled_leaps(tmp_path):
    """A model by whose reading an old event says about as much as the newest, then settled."""
    world = World(tmp_path, tables=leaps_tables(), kind="leave_one_out")
    model = build(world)
    learning.store_behaviour(model, world.examples)
    model.order_keep.assign(3.0)
    balance_sources(model, world.examples, sizes_of(model, True))
    return model, gain_by_hand(model, world, True)()


def test_how_a_history_is_read_is_settled_too(tmp_path, monkeypatch):
    model, gain = settled_leaps(tmp_path / "both")
    monkeypatch.setattr(balancing, "_make_likeliest", lambda *_: None)
    alone, by_factors = settled_leaps(tmp_path / "factors")
    assert alone.order_keep.numpy() == 3.0
    assert model.order_keep.numpy() < 2.0
    assert gain > by_factors + 0.05


def test_the_start_that_ends_higher_counts(world, monkeypatch):
    def spoilt(model, *_):
        model.balance.assign([0.0, 0.0, 0.0, 0.0, -1.0])
        model.order_keep.assign(-9.0)

    found = []
    for likeliest in (lambda *_: None, spoilt):
        monkeypatch.setattr(balancing, "_make_likeliest", likeliest)
        model = build(world)
        balance_sources(model, world.examples, sizes_of(model))
        found.append((model.balance.numpy(), model.order_keep.numpy()))
    (plain, keep), (after, keep_after) = found
    assert np.array_equal(plain, after)
    assert keep == keep_after


def test_what_was_met_stays_barred_whatever_the_factors():
    parts = np.array([[[0.0, 3.0, 2.0, 1.0]], [[0.0, 1.0, 1.0, 1.0]]], np.float32)
    barred = np.array([[-np.inf, -np.inf, 0.0, 0.0]], np.float32)
    rows = balancing._Rows([], barred, [np.array([3])])
    assert balancing._gain(parts, rows, np.array([1.0, 1.0])) == pytest.approx(1 / np.log2(3))
    assert balancing._gain(parts, rows, np.array([-1.0, -1.0])) == pytest.approx(1.0)


def test_what_tells_the_next_item_is_believed_and_what_does_not_is_not(tmp_path):
    found, world = [], World(tmp_path, tables=circle_tables(), kind="leave_one_out")
    for _ in range(2):
        model = build(world)
        learning.store_behaviour(model, world.examples)
        noise = np.random.default_rng(0).normal(0.0, 4.0, model.items.next_bias.shape)
        model.items.next_bias.assign(noise)  # a popularity that drowns all else and says nothing
        kept = [v.numpy().copy() for v in unsettled(model)]
        before = gain_by_hand(model, world, True)()
        balance_sources(model, world.examples, sizes_of(model, True))
        found.append(model.balance.numpy())
    gain = gain_by_hand(model, world, True)
    after, factors = gain(), found[0]
    assert np.array_equal(*found)
    assert (factors > 0).all()
    assert factors[1] > 5 * abs(factors[-1])  # everyone walks around one circle
    assert before < 0.7
    assert after > 0.9
    for source in range(len(factors)):
        for step in (0.7, 1.4):
            model.balance.assign(factors * np.where(np.arange(len(factors)) == source, step, 1.0))
            assert gain() < after + 0.01
    others = [v.numpy() for v in unsettled(model)]
    assert all(np.array_equal(old, new) for old, new in zip(kept, others, strict=True))


def test_the_autoencoder_is_silent_until_it_is_asked_on_rows_it_has_not_seen(implicit_world):
    model = build(implicit_world, successor_width=0, companion_width=0, autoencoder_width=8)
    learning.store_behaviour(model, implicit_world.examples)
    width = model.config.width
    gain = gain_by_hand(model, implicit_world, True)
    before = gain()
    model.balance.assign(tf.ones_like(model.balance))
    batch = next(iter(evaluation_batches(implicit_world.examples, "valid", sizes_of(model, True))))
    speaks = model.query_of(batch).numpy()
    model.balance.assign([1.0, 1.0, 1.0, 0.0, 1.0])
    silent = model.query_of(batch).numpy()
    assert np.flatnonzero((speaks != silent).any(axis=0)).tolist() == list(range(width, width + 8))
    assert not silent[:, width : width + 8].any()
    finish(model, implicit_world.examples, past_only=True)
    assert gain() > before + 0.05


def test_a_source_that_says_nothing_stays_silent(world):
    model = build(world, autoencoder_width=0)
    balance_sources(model, world.examples, sizes_of(model))
    assert model.balance.numpy()[3] == 0.0
    assert np.abs(model.balance.numpy()).max() < 20.0


def test_many_rows_are_looked_at_evenly(world, monkeypatch):
    monkeypatch.setattr(balancing, "_FEWEST", 1)
    monkeypatch.setattr(balancing, "_SCORES", 31 * 16)
    model = build(world)
    rows = balancing._rows(world.examples, sizes_of(model), 31)
    every = list(evaluation_batches(world.examples, "valid", sizes_of(model)))
    assert 0 < len(rows.targets) < sum(len(batch["user"]) for batch in every)
    parts = balancing._by_source(model, model.query_of, rows)
    assert parts.shape == (5, len(rows.targets), 31)
    # By the factors, the sources' scores add up to what the model says of the next item.
    query = model.query_of(rows.batches[0]).numpy()
    together = np.tensordot(model.balance.numpy(), parts, 1)[: len(query)]
    assert together == pytest.approx(query @ model.index().numpy().T, abs=1e-4)


def test_without_valid_rows_all_stays_as_it_was_trained(world, monkeypatch):
    model = build(world)
    monkeypatch.setattr(balancing, "some_batches", lambda *_: iter(()))
    balance_sources(model, world.examples, sizes_of(model))
    assert model.balance.numpy().tolist() == [1.0, 1.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize("changes", [{"reading": "retrieval"}, {"next_item_weight": 0.0}])
def test_one_source_is_left_alone(world, changes):
    model = build(world, **changes)
    before = [v.numpy().copy() for v in model.variables]
    balance_sources(model, world.examples, sizes_of(model))
    after = [tf.convert_to_tensor(v).numpy() for v in model.variables]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))
