"""The factorization: each formula by NumPy, then data that only it can explain."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf import learning
from ssrec_tf.config import FactorConfig, from_dict
from ssrec_tf.errors import ConfigError
from ssrec_tf.recommenders.factors import Factors
from ssrec_tf.recommenders.nearby import SHARPNESS, places_of, told_nearby
from ssrec_tf.recommenders.reading import Events
from ssrec_tf.recommenders.unmet import UnmetItems
from ssrec_tf.scoring import score_part
from tests.ssrec_tf.conftest import World, planted_tables
from tests.ssrec_tf.recommenders.test_base import CONFIG, batch_of, build, fitted

SIZES = FactorConfig(width=3, precision=7.0, behaviour_width=4, text_width=2, waves=2, starts=2)
K, TEXT, STARTS, ENCODED, DAY = SIZES.width, SIZES.text_width, SIZES.starts, 6, 86_400
ROW = 2 * K + 3 + TEXT


def factors_of(world, config=SIZES, common=None, ids=True):
    words = len(world.text.vocabulary.words)
    common = np.ones(words) if common is None else common
    common[0] = 0.0  # padding
    layer = Factors(world.text, ENCODED, common, config, ids=ids)
    rng = np.random.default_rng(0)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    vectors, texts = rng.normal(size=layer.behaviour.shape), rng.normal(size=(20, ENCODED))
    layer.store(vectors, texts)
    return layer


def floats(values):
    return tf.constant(values, tf.float32)


# Items


@pytest.mark.parametrize("ids", [True, False])
def test_an_items_row_by_hand(world, ids):
    common = np.ones(len(world.text.vocabulary.words))
    common[9] = 0.0  # too rare a word
    layer = factors_of(world, common=common, ids=ids)
    if ids:  # any will do
        rng = np.random.default_rng(5)
        for table in (layer.unmet.of_word, layer.unmet.of_axis):
            table.assign(rng.normal(size=table.shape) * (np.arange(table.shape[0]) > 0)[:, None])
    words = np.array([[5, 7, 7, 9, 0], [5, 7, 7, 9, 0]], np.int32)
    directions = np.random.default_rng(1).normal(size=(2, ENCODED))
    inputs = tf.constant([4, 4]), tf.constant(words), floats(directions), floats([1.0, 0.0])
    rows, by_text = (part.numpy() for part in layer.read(*inputs))
    assert rows.shape == (2, STARTS, ROW)
    said = layer.of_word.numpy()[5] + 2 * layer.of_word.numpy()[7]
    met = np.tensordot(layer.behaviour.numpy()[4], layer.of_behaviour.numpy(), 1)
    known = said + layer.of_id.numpy()[4] + met  # [starts, 2 k + 3]
    assert rows[0, :, :-TEXT] == pytest.approx(known, abs=1e-5)
    # Of the second its text alone tells where it stands.
    along = directions @ layer.text_axes.numpy()
    if ids:
        of_word, of_axis = layer.unmet.of_word.numpy(), layer.unmet.of_axis.numpy()
        said = of_word[5] + 2 * of_word[7] + along[1] @ of_axis[:-1] + of_axis[-1]
        said = said.reshape(STARTS, -1)
    assert rows[1, :, :-TEXT] == pytest.approx(said, abs=1e-5)
    if ids:
        assert by_text[1] == pytest.approx(rows[1])
        difference = (along[0] - along[1]) @ of_axis[:-1]  # of the same words
        difference = difference.reshape(STARTS, -1)
        assert by_text[0, :, :-TEXT] == pytest.approx(said + difference, abs=1e-5)
    else:
        assert np.array_equal(by_text, rows)
    if ids:  # in training all are met, so time is spared
        rows = layer.read(*inputs, training=True)[0].numpy()
        assert rows[0, :, :-TEXT] == pytest.approx(known, abs=1e-5)
    for start in range(STARTS):
        scale = layer.text_scale.numpy()[start, 0]
        assert rows[:, start, -TEXT:] == pytest.approx(along * scale, abs=1e-5)


def test_an_unmet_item_stands_where_the_met_with_its_words_stand(world):
    layer = factors_of(world)
    rng = np.random.default_rng(3)
    refs = np.arange(1, 31)
    words = rng.integers(6, 12, (30, 4)).astype(np.int32)
    texts = rng.normal(size=(30, ENCODED))
    # What is known of an item by its id is what its words and its text say, in other numbers.
    of_word = rng.normal(size=(12, STARTS, 2 * K + 3))
    of_axis = rng.normal(size=(TEXT, STARTS, 2 * K + 3))
    told = of_word[words].sum(1) + np.tensordot(texts @ layer.text_axes.numpy(), of_axis, 1)
    layer.behaviour.assign(np.zeros(layer.behaviour.shape))
    layer.of_word.assign(np.zeros(layer.of_word.shape))
    layer.of_id.assign(np.concatenate([np.zeros((1, *told.shape[1:])), told]))
    layer.settle(refs, words, texts, np.full(30, 5))
    new, direction = np.array([[6, 6, 9, 11]], np.int32), rng.normal(size=(1, ENCODED))
    found = layer.read(tf.constant([0]), tf.constant(new), floats(direction), floats([0.0]))[0]
    wanted = of_word[new[0]].sum(0)
    wanted = wanted + np.tensordot(direction[0] @ layer.text_axes.numpy(), of_axis, 1)
    assert found.numpy()[0, :, :-TEXT] == pytest.approx(wanted, abs=0.1)
    before = found.numpy()
    layer.settle(refs[:1], words[:1], texts[:1], np.ones(1))  # one item tells nothing of others
    found = layer.read(tf.constant([0]), tf.constant(new), floats(direction), floats([0.0]))[0]
    assert np.array_equal(found.numpy(), before)


def test_axes_are_those_along_which_texts_differ_most(world):
    layer = factors_of(world)
    rng = np.random.default_rng(2)
    # Most along the third entry, then along the first.
    texts = rng.normal(size=(500, ENCODED)) * np.array([3.0, 0.1, 9.0, 0.1, 0.1, 0.1])
    layer.store(np.zeros(layer.behaviour.shape), texts)
    axes = layer.text_axes.numpy()
    unit = np.abs(axes / np.linalg.norm(axes, axis=0))
    assert unit[2, 0] > 0.99
    assert unit[0, 1] > 0.99
    assert np.mean(np.sum((texts @ axes) ** 2, axis=1)) == pytest.approx(1.0, rel=1e-4)
    layer.store(np.zeros(layer.behaviour.shape), texts[:1])  # one text has one direction
    assert np.abs(texts[0] @ layer.text_axes.numpy()) == pytest.approx([1.0, 0.0], abs=1e-4)


def test_training_begins_at_given_levels_and_changes_nothing_else(world):
    layer = factors_of(world)
    before = layer.of_id.numpy()
    levels = np.random.default_rng(4).normal(size=len(before)).astype(np.float32)
    layer.assign_levels(levels[:, None])
    after = layer.of_id.numpy()
    assert np.array_equal(after[..., K], np.stack([levels] * STARTS, axis=1))
    assert np.array_equal(np.delete(after, K, axis=-1), np.delete(before, K, axis=-1))


@pytest.mark.parametrize("id_dropout", [0.2, 1.0])
def test_levels_start_at_the_biases_of_train_where_ids_speak(world, id_dropout):
    model = build(world, pair_head="factorization", factors=SIZES, id_dropout=id_dropout)
    learning.store_behaviour(model, world.examples)
    found = model.items.factors.of_id.numpy()[..., K]
    if id_dropout == 1.0:
        assert not found.any()
        return
    log = world.tables.interactions.loc[world.split.train]
    stars = (log["rating"] - model.statistics.mean) / model.statistics.deviation
    users = np.eye(len(world.tables.users))[world.tables.users.index.get_indexer(log["user"])]
    items = np.eye(31)[1 + world.tables.items.index.get_indexer(log["item"])]
    penalty = np.repeat([3.0, SIZES.level_precision], [users.shape[1], 31])
    design = np.concatenate([users, items], axis=1)
    wanted = np.linalg.solve(design.T @ design + np.diag(penalty), design.T @ stars.to_numpy())
    assert found[:, 0] == pytest.approx(wanted[users.shape[1] :], abs=5e-3)
    assert np.array_equal(found[:, 0], found[:, 1])


@pytest.mark.parametrize("id_dropout", [0.2, 1.0])
def test_an_unknown_item_has_factors_of_its_text_only(world, id_dropout):
    model = build(world, pair_head="factorization", factors=SIZES, id_dropout=id_dropout)
    factors = model.items.factors
    for variable in factors.trainable_variables:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    model.items.settle()
    texts = model.items.texts_of(tf.constant([4]))
    known = model.items.read(texts, tf.constant([4])).factors.numpy()
    unknown = model.items.read(texts, tf.constant([0])).factors.numpy()
    assert np.array_equal(known[..., -TEXT:], unknown[..., -TEXT:])  # the text is the same
    if id_dropout == 1.0:  # ids never speak: words learn to do without
        there = texts.words.numpy()[0]
        there = there[(model.items._common_words()[there] > 0)]
        assert len(there)
        wanted = factors.of_word.numpy()[there].sum(0)
        assert unknown[0, :, :-TEXT] == pytest.approx(wanted, abs=1e-5)
        assert np.array_equal(known, unknown)
        return
    assert np.abs(known - unknown)[..., :-TEXT].min() > 1e-4
    # What it is told is what was learnt of the others, by how often each was met.
    refs = np.flatnonzero(world.text.known_items)
    texts, told = model.items.texts_of(refs), UnmetItems(model.items._common_words(), SIZES, (2, 9))
    rows, along = model.items.read(texts, refs), factors.text_axes.numpy()
    learnt = rows.factors.numpy()[..., :-TEXT]
    places = rows.directions.numpy() @ along
    told.fit(texts.words.numpy(), places, learnt, world.text.item_counts[refs])
    at = np.flatnonzero(refs == 4)
    wanted = told.read(texts.words.numpy()[at], places[at]).numpy()
    assert unknown[..., :-TEXT] == pytest.approx(wanted, abs=1e-4)


# Users


def events_of(layer, count=5, seed=3):
    """Of two users; of the first the second has no rating and the last is padding."""
    rng = np.random.default_rng(seed)
    stars = rng.normal(size=(2, count))
    stars[0, 1] = np.nan
    mask = np.array([[1.0] * (count - 1) + [0.0], [0.0] * count])
    times = 881_250_949 + rng.integers(0, 3 * DAY, (2, count))
    waves = layer.waves(tf.constant(times), tf.constant([[881_250_949]] * 2, tf.int64))
    rows = rng.normal(size=(2, count, STARTS, ROW))
    strays = np.where(np.isnan(stars), 0.0, rng.normal(size=stars.shape))
    places = rng.normal(size=(2, count, STARTS, 3))
    floating = (floats(part) for part in (stars, strays, mask))
    return Events(floats(rows), floats(places), waves, *floating)


USER = tf.constant([[6, 8, 8, 0], [0, 0, 0, 0]], tf.int32)


def weights_by_hand(layer, start, events):
    """Weights of the first user after the events of a list of (row, wave, star or None)."""
    words = layer.user_prior.of_word.numpy()[:, start]
    chosen = sum(row[K + 1 : 2 * K + 2] for row, _, _ in events) / np.sqrt(len(events))
    prior = layer.user_prior.start.numpy()[start] + words[6] + 2 * words[8] + chosen
    scale = np.repeat(layer.drift.numpy()[start], 2 * SIZES.waves)
    rated = [(row, wave, star) for row, wave, star in events if not np.isnan(star)]
    design = np.array([[1.0, *row[:K], *row[-TEXT:], *(wave * scale)] for row, wave, star in rated])
    above = np.array([star - row[K] for row, _, star in rated])
    prior = np.concatenate([prior, np.zeros(design.shape[1] - len(prior))])
    penalty = np.diag([3.0] + [1.0] * (design.shape[1] - 1))
    found = prior + np.linalg.solve(
        design.T @ design + penalty, design.T @ (above - design @ prior)
    )
    return found, scale


def of_first(events, start):
    rows, waves, stars = (part.numpy() for part in (events.rows, events.waves, events.stars))
    return [(rows[0, i, start], waves[0, i], stars[0, i]) for i in range(rows.shape[1] - 1)]


def score_by_hand(weights, scale, row, wave):
    loadings = np.concatenate([[1.0], row[:K], row[-TEXT:], wave * scale])
    return row[K] + loadings @ weights


def test_the_posterior_is_a_ridge_regression_around_the_prior(world):
    layer = factors_of(world)
    events = events_of(layer)
    found = layer.posterior(events, USER).numpy()
    for start in range(STARTS):
        wanted, _ = weights_by_hand(layer, start, of_first(events, start))
        assert found[0, start] == pytest.approx(wanted, abs=1e-4)
        # Of the second user nothing is known.
        assert found[1, start, : K + 1] == pytest.approx(
            layer.user_prior.start.numpy()[start], abs=1e-5
        )
    assert not found[1, :, K + 1 :].any()


def test_ratings_that_are_none_and_padding_say_nothing(world):
    layer = factors_of(world)
    before = layer.posterior(events_of(layer), USER).numpy()
    rows, places, waves, stars, strays, mask = (part.numpy() for part in events_of(layer))
    stars[:, 4], stars[1] = 100.0, 100.0
    rows[0, 4], rows[1], waves[0, 4], waves[1] = 100.0, 100.0, 100.0, 100.0
    rows[0, 1][:, [*range(K + 1), -1]] = 100.0  # an event without a rating: not asked
    changed = Events(rows, places, waves, stars, strays, mask)
    assert layer.posterior(changed, USER).numpy() == pytest.approx(before)


def test_a_score_by_hand(world):
    layer = factors_of(world)
    rng = np.random.default_rng(4)
    waves, wide = rng.normal(size=(2, 1, 16)), 1 + K + TEXT + 16
    weights = rng.normal(size=(2, STARTS, wide))
    rows = rng.normal(size=(2, 4, STARTS, ROW))
    nearby = rng.normal(size=(2, 4, STARTS))
    told = (floats(weights), floats(rows), floats(waves), floats(nearby))
    found = layer.score(*told, floats([1.0, 1.0, 1.0, 0.0])).numpy()
    assert found.shape == (2, 4, STARTS)
    moved = layer.score(*told, floats([1.0, 1.0, 1.0, 0.5])).numpy()
    assert moved == pytest.approx(found + 0.5 * nearby, abs=1e-4)
    for user, target, start in np.ndindex(found.shape):
        scale = np.repeat(layer.drift.numpy()[start], 2 * SIZES.waves)
        wanted = score_by_hand(
            weights[user, start], scale, rows[user, target, start], waves[user, 0]
        )
        assert found[user, target, start] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("among", [True, False])
def test_a_target_is_scored_by_all_but_itself(world, among):
    layer = factors_of(world)
    history, targets = events_of(layer), events_of(layer, count=4, seed=8)
    if not among:  # in order of time targets do not tell of one another
        targets = targets._replace(mask=tf.zeros_like(targets.mask))
    found = layer.left_out(history, targets, USER).numpy()
    assert found.shape == (2, 9, STARTS)
    for start in range(STARTS):
        read, asked = of_first(history, start), of_first(targets, start)
        for place, (row, wave, _) in enumerate(read + asked):
            told = read + asked if among else read
            others = [event for i, event in enumerate(told) if i != place]
            weights, scale = weights_by_hand(layer, start, others)
            wanted = score_by_hand(weights, scale, row, wave)
            shown = place if place < len(read) else place + 1  # behind one event of padding
            assert found[0, shown, start] == pytest.approx(wanted, abs=2e-3)


def test_what_was_read_is_learnt_from_too(world):
    model, batch = build(world, pair_head="factorization", factors=SIZES), batch_of(world)
    seed = tf.constant([1, 2], tf.int64)
    outputs = model.outputs_of(batch, seed=seed, training=True)
    found = float(model.task_losses(outputs, batch, training=True)["rating_loss"])
    errors = []
    for scores, part in ((outputs.scores, "target"), (outputs.history, "history")):
        truth = batch[f"{part}_ratings"].numpy()
        error = (scores.rating.numpy() - truth) ** 2 / model.statistics.deviation**2
        errors.append(error + scores.spread.numpy())
    # A behaviour counts by its targets: whoever rated much is dealt often.
    targets = np.sum(~np.isnan(errors[0]), axis=1)
    means = np.nanmean(np.concatenate(errors, axis=1), axis=1)
    assert found == pytest.approx(np.average(means, weights=targets), rel=1e-4)
    # In order of time the targets alone count: what was read knew of what came later.
    ordered = {**batch, "target_peers": tf.zeros_like(batch["target_peers"])}
    outputs = model.outputs_of(ordered, seed=seed, training=True)
    alone = model.task_losses(outputs._replace(history=None), ordered, training=True)
    found = model.task_losses(outputs, ordered, training=True)
    assert float(found["rating_loss"]) == pytest.approx(float(alone["rating_loss"]), rel=1e-6)
    assert model.outputs_of(batch, seed=seed, training=False).history is None


def test_members_are_judged_one_by_one(world):
    model, batch = build(world, pair_head="factorization", factors=SIZES), batch_of(world)
    for variable in model.items.factors.trainable_variables:
        variable.assign(np.random.default_rng(5).normal(size=variable.shape) * 0.3)
    outputs = model.outputs_of(batch, seed=tf.constant([1, 2], tf.int64), training=True)
    outputs = outputs._replace(history=None)
    assert outputs.scores.spread.numpy().max() > 1e-4
    losses = [
        float(model.task_losses(outputs, batch, training=training)["rating_loss"])
        for training in (True, False)
    ]
    rated = ~np.isnan(batch["target_ratings"].numpy())
    spread = outputs.scores.spread.numpy()[rated].mean()
    assert losses[0] - losses[1] == pytest.approx(spread, rel=1e-4)
    one = build(world, pair_head="factorization", factors=replace(SIZES, starts=1))
    assert not one.scores_of(batch).spread.numpy().any()


def test_the_prior_by_hand(world):
    layer = factors_of(world, replace(SIZES, level_precision=7.0 * 0.3, rare_items=0.0))
    columns = np.array([1.0] * K + [0.3] + [1.0] * (K + 1) + [0.3])
    parts = {"of_id": 1.0, "of_word": 1.0, "of_behaviour": 10.0}
    wanted = sum(p * (getattr(layer, n).numpy() ** 2 @ columns).sum() for n, p in parts.items())
    wanted += 0.3 * (layer.user_prior.of_word.numpy() ** 2).sum()
    assert float(layer.prior_loss()) == pytest.approx(7.0 * wanted / STARTS, rel=1e-4)


# The reading


def test_the_prior_is_a_part_of_the_training_loss_only(world):
    model, batch = build(world, pair_head="both", factors=SIZES), batch_of(world)
    seed = tf.constant([1, 2], tf.int64)
    training = model.losses_of(batch, seed=seed, training=True)
    rows = len(world.split.train)
    wanted = float(model.items.factors.prior_loss()) / rows
    assert float(training["prior_loss"]) == pytest.approx(wanted, rel=1e-4)
    names = ("rating_loss", "click_loss", "next_item_loss", "prior_loss")
    total = np.dot([float(training[name]) for name in names], [1.0, 0.3, 0.05, 1.0])
    assert float(training["loss"]) == pytest.approx(total, rel=1e-4)
    assert "prior_loss" not in model.losses_of(batch, seed=seed, training=False)


def test_factorization_alone_scores_by_the_posterior(world):
    model, batch = build(world, pair_head="factorization", factors=SIZES), batch_of(world)
    factors, statistics = model.items.factors, model.statistics
    drawn = [*factors.trainable_variables, factors.unmet.of_word, factors.unmet.of_axis]
    for variable in drawn:
        variable.assign(np.random.default_rng(5).normal(size=variable.shape) * 0.3)
    model.items.store_behaviour(np.random.default_rng(6).normal(size=factors.behaviour.shape))
    factors.shares.assign([[1.0, 1.0, 1.0, 6.0], [0.5, 1.0, 0.8, 4.0]])
    kinds = SHARPNESS[0], (3.0, 1.0, 0.5, 0.1)
    factors.sharpness.assign(kinds)
    rng = np.random.default_rng(7)
    model.items.order.assign(rng.normal(size=model.items.order.shape))  # some go together
    refs = tf.range(31)
    texts = model.items.texts_of(refs)
    read = model.items.read(texts, refs)
    known = model.items._has_id
    every, by_text = factors.read(refs, texts.words, read.directions, known)
    companions = tf.split(read.as_met, model.source_widths[1:-1], axis=-1)[1]
    items, targets = batch["history_items"], batch["target_items"]
    stars = (batch["history_ratings"] - statistics.mean) / statistics.deviation
    zero = tf.zeros([8, 1], tf.int64)  # times of this world are small
    waves, now = (factors.waves(batch[f"{part}_times"], zero) for part in ("history", "target"))
    user, mask = tf.gather(world.text.user_tokens, batch["user"]), tf.cast(items > 0, tf.float32)
    wanted = []
    for rows, sharpness, shares in zip(
        (every, by_text), kinds, factors.shares.numpy(), strict=True
    ):
        sharp = tf.constant(sharpness)
        loadings = factors.loadings(rows)[..., 1:]
        places = places_of(loadings, companions, read.directions, sharp)
        of_history = tf.gather(rows, items), tf.gather(places, items)
        events = Events(*of_history, waves, stars, tf.zeros_like(stars), mask)
        weights = factors.posterior(events, user)
        left = factors.residuals(events, weights)
        nearby = told_nearby(events, left, tf.gather(places, targets), sharp)
        assert np.abs(nearby.numpy()).max() > 0.05
        level = factors.score(weights, tf.gather(rows, targets), now, nearby, shares).numpy()
        wanted.append(statistics.mean + statistics.deviation * level.mean(-1))
    met = tf.gather(known, targets).numpy() > 0  # of the others texts tell all
    found = model.scores_of(batch).rating.numpy()
    assert found[met] == pytest.approx(wanted[0][met], abs=1e-3)
    assert found[~met] == pytest.approx(wanted[1][~met], abs=1e-3)
    assert np.abs(wanted[0] - wanted[1])[~met].max() > 0.1


def test_it_is_the_choice_where_there_are_ratings(world, implicit_world):
    rated, implicit = (build(one, pair_head="auto") for one in (world, implicit_world))
    assert rated.items.factors is not None
    assert rated.head is None
    assert implicit.items.factors is None
    assert implicit.head is not None


def test_another_choice_is_refused(world, implicit_world):
    data = {"name": "x", "data": {"dataset": "movielens-100k"}}
    with pytest.raises(ConfigError, match=r"train\.pair_head is 'linear'"):
        from_dict({**data, "train": {"pair_head": "linear"}})
    with pytest.raises(ConfigError, match=r"train\.factors\.waves is -1"):
        from_dict({**data, "train": {"factors": {"waves": -1}}})
    with pytest.raises(ConfigError, match=r"train\.pair_head is 'both' but the data have no rat"):
        build(implicit_world, pair_head="both")


# Planted answers


@pytest.mark.slow
@pytest.mark.parametrize("pair_head", ["factorization", "both"])
def test_the_planted_taste_is_learnt(world, tmp_path, pair_head):
    # Every user and every item has the same mean: biases explain nothing of the spread.
    loop = replace(CONFIG.loop, steps=40)
    sizes = FactorConfig(width=4, precision=3.0, behaviour_width=4)
    share, click, liked = fitted(
        world, tmp_path, "two_level", pair_head=pair_head, factors=sizes, loop=loop
    )
    assert share < 0.65
    assert click[liked == 1].mean() > click[liked == 0].mean() + 0.3


def moody_tables():
    """On their second day half of the users rate 2 stars lower, the others 2 higher."""
    tables = planted_tables(events=20)
    rng = np.random.default_rng(0)
    log = tables.interactions.copy()
    place = log.groupby("user").cumcount()
    log["time"] = 881_250_949 + place // 10 * DAY + rng.permutation(len(log)) % 3_600
    first = np.where(log["user"].str[1:].astype(int) % 2, 2.0, 4.0)
    log["rating"] = np.where(place < 10, first, 6.0 - first).astype(np.float32)
    log["click"] = (log["rating"] >= 4).astype(np.int8)
    return replace(tables, interactions=log)


@pytest.mark.slow
def test_a_mood_that_passes_is_felt_by_the_waves_only(tmp_path):
    world = World(tmp_path, tables=moody_tables())
    truth = world.tables.interactions.loc[world.split.valid, "rating"].to_numpy()
    errors = {}
    for waves in (0, 6):
        model = build(
            world,
            pair_head="factorization",
            factors=FactorConfig(width=2, behaviour_width=0, waves=waves),
            next_item_weight=0.0,
            loop=replace(CONFIG.loop, steps=80, evaluate_every=40),
        )
        learning.fit(model, world.examples, past_only=False, workdir=tmp_path / str(waves))
        sizes = learning.batch_config(model.config, past_only=False)
        scores = score_part(model, world.examples, "valid", sizes, world.split.valid)
        errors[waves] = np.sqrt(np.mean((scores.rating - truth) ** 2))
    assert errors[0] > 0.9  # a mean of both days
    assert errors[6] < 0.5
