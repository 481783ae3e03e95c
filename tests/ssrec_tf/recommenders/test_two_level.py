"""What the two-level reading knows of the next item before a step is trained."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf import learning
from ssrec_tf.batching import evaluation_batches
from ssrec_tf.config_regularisation import RegularisationConfig
from ssrec_tf.cooccurrence import told_by_texts
from tests.ssrec_tf.conftest import World, planted_tables
from tests.ssrec_tf.recommenders.test_base import batch_of, build, next_logits


def circle_tables():
    """Everyone walks around one circle of 30 items, from anywhere, in order of time."""
    tables = planted_tables(events=20)
    log = tables.interactions.copy()
    place = log.groupby("user").cumcount().to_numpy()
    start = log["user"].str[1:].astype(int).to_numpy() * 7
    log["item"] = tables.items.index.to_numpy()[(start + place) % len(tables.items)]
    return replace(tables, interactions=log.assign(time=881_250_949 + 60 * place))


@pytest.mark.parametrize("width", [0, 16])
def test_what_follows_what_is_known_before_a_step_is_trained(tmp_path, width):
    world = World(tmp_path, tables=circle_tables(), kind="leave_one_out")
    model = build(world, successor_width=width, companion_width=0)
    learning.store_behaviour(model, world.examples)
    sizes = learning.batch_config(model.config, past_only=True)
    hits = []
    for batch in evaluation_batches(world.examples, "valid", sizes):
        hits += list(
            next_logits(model, batch).argmax(axis=1) == batch["target_items"].numpy()[:, 0]
        )
    assert (np.mean(hits) > 0.9) == (width > 0)
    assert width or np.mean(hits) < 0.3  # one in twelve by chance


@pytest.mark.parametrize("width", [0, 16])
def test_what_goes_together_is_known_before_a_step_is_trained(implicit_world, width):
    model = build(implicit_world, successor_width=0, companion_width=width)
    learning.store_behaviour(model, implicit_world.examples)
    sizes = learning.batch_config(model.config, past_only=True)
    hits = []
    for batch in evaluation_batches(implicit_world.examples, "valid", sizes):
        # Users of one kind take items of one kind only, and an item's kind is its parity.
        best = next_logits(model, batch).argmax(axis=1)
        hits += list(best % 2 == batch["target_items"].numpy()[:, 0] % 2)
    assert (np.mean(hits) > 0.95) == (width > 0)


def test_a_new_item_stands_where_those_of_like_texts_stand(world):
    model = build(world)
    learning.store_behaviour(model, world.examples)
    items, known = model.items, np.flatnonzero(world.text.known_items)
    texts = items.texts_of(tf.constant(known))
    new = items.read(texts, tf.zeros(len(known), tf.int32))
    directions = items.read(texts, tf.constant(known)).directions.numpy()
    told = told_by_texts(directions, items.order.numpy()[known])
    config, expected = model.config, directions @ told[:-1] + told[-1]
    follows, known_by = config.successor_width, config.autoencoder_width
    widths = [follows, follows, config.companion_width, known_by]
    before, after, beside, knows, finds = np.split(expected, np.cumsum(widths), axis=1)
    assert new.as_met.numpy() == pytest.approx(np.hstack([before, beside, knows]), abs=1e-5)
    assert new.as_found.numpy() == pytest.approx(np.hstack([after, beside, finds]), abs=1e-5)
    assert all(np.abs(part).max() > 0.01 for part in (before, after, beside, knows, finds))


def test_popularity_weighs_less_once_something_is_known(world):
    model, batch = build(world), dict(batch_of(world))
    known = model.query_of(batch).numpy()
    for name in ("items", "times"):
        batch[f"history_{name}"] = batch[f"history_{name}"] * 0
    unknown = model.query_of(batch).numpy()
    assert (known[:, -1] == 0.5).all()
    assert (unknown[:, -1] == 1.0).all()
    assert not unknown[:, model.config.width : -1].any()


def test_companions_weigh_more_the_more_there_are(world):
    batch = dict(batch_of(world))
    found = []
    for growth in (0.0, 0.5):
        model = build(world)
        learning.store_behaviour(model, world.examples)
        model.companion_growth.assign(growth)
        parts = np.split(model.query_of(batch).numpy(), np.cumsum(model.source_widths), axis=1)
        found.append(parts[2])
    events = (batch["history_items"].numpy() != 0).sum(axis=1)
    assert found[1] == pytest.approx(found[0] * np.sqrt(1.0 + events)[:, None], rel=1e-4)
    assert np.abs(found[0]).max() > 0.01


def test_smoothed_next_items_by_hand(world):
    smoothing = RegularisationConfig(label_smoothing=0.2)
    model, batch = build(world, regularisation=smoothing), batch_of(world)
    outputs = model.outputs_of(batch, seed=tf.zeros([2], tf.int64), training=False)
    logits = next_logits(model, batch)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)  # [batch, items + 1]
    losses = []
    for row, targets in enumerate(batch["target_items"].numpy()):
        ranked = shares[row][np.isfinite(logits[row])]
        evenly = np.log(ranked).mean()
        losses += [0.8 * np.log(shares[row, item]) + 0.2 * evenly for item in targets if item]
    found = model.next_item_loss(outputs, batch, training=True)
    assert float(found) == pytest.approx(-np.mean(losses), rel=1e-4)
