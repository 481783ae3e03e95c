"""Both readings: losses by hand, candidates that do not see each other, a planted taste."""

import re
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf import learning, weights
from ssrec_tf.adversarial import FastGradient, gradients_of
from ssrec_tf.batching import train_batches
from ssrec_tf.config import EncoderConfig, LoopConfig, OptimizerConfig, TrainConfig
from ssrec_tf.config_regularisation import RegularisationConfig
from ssrec_tf.errors import ConfigError, DataError
from ssrec_tf.scoring import rank_part, render_pairs, score_part, score_rows
from ssrec_tf.splits import event_order
from ssrec_tf.statistics import LabelStatistics
from tests.ssrec_tf.conftest import World, planted_tables

CONFIG = TrainConfig(
    loop=LoopConfig(steps=120, batch_size=8, evaluate_every=40, checkpoint_every=40, seed=2),
    optimizer=OptimizerConfig(learning_rate=5e-3, warmup_steps=5, weight_decay=0.01),
    max_history=16,
    max_targets=8,
    width=32,
    joint_length=96,
    pair_head="neural",
)


def build(world, reading="two_level", **changes):
    config = replace(CONFIG, reading=reading, **changes)
    encoder = learning.create_encoder(EncoderConfig(dropout=0.0), world.text, seed=1)
    statistics = LabelStatistics.of(world.tables, world.split.train)
    model = learning.make_recommender(encoder, world.text, statistics, config)
    if reading != "joint":
        model.encoder.trainable = False
        model.store_items()
    return model


def batch_of(world, past_only=False):
    sizes = learning.batch_config(CONFIG, past_only=past_only)
    return next(iter(train_batches(world.examples, sizes, seed=1)))[1]


def next_logits(model, batch):
    """Logits of the next item, the seen and padding left out: float32 [batch, items + 1]."""
    logits = model.query_of(batch).numpy() @ model.index().numpy().T
    np.put_along_axis(logits, batch["history_items"].numpy(), -np.inf, axis=1)  # and 0
    return logits


@pytest.mark.parametrize("reading", ["two_level", "joint"])
def test_losses_by_hand(world, reading):
    model, batch = build(world, reading), batch_of(world)
    losses = model.losses_of(batch, seed=tf.constant([1, 2], tf.int64), training=False)
    scores = model.scores_of(batch)
    truth = batch["target_ratings"].numpy()
    there = ~np.isnan(truth)
    error = (scores.rating.numpy()[there] - truth[there]) / model.statistics.deviation
    assert float(losses["rating_loss"]) == pytest.approx(np.mean(error**2), rel=1e-4)
    share = 1 / (1 + np.exp(-scores.click_logit.numpy()[there].astype(np.float64)))
    label = batch["target_clicks"].numpy()[there]
    entropy = -np.mean(label * np.log(share) + (1 - label) * np.log(1 - share))
    assert float(losses["click_loss"]) == pytest.approx(entropy, rel=1e-4)


def test_the_losses_are_those_by_an_index_read_before(world):
    model, batch = build(world), batch_of(world)
    anew = model.losses_of(batch, seed=tf.zeros([2], tf.int64), training=False)
    before = model.losses_by(model.index(), batch)
    assert {k: float(v) for k, v in before.items()} == pytest.approx(
        {k: float(v) for k, v in anew.items()}, rel=1e-5
    )
    alike = model.losses_by(tf.zeros_like(model.index()), batch)["next_item_loss"]
    targets = batch["target_items"].numpy()
    others = [  # all items but those that a user has met and that are no targets
        len(world.text.item_ids) - len(set(met) - {0} - set(wanted))
        for met, wanted in zip(batch["history_items"].numpy(), targets, strict=True)
    ]
    each = np.where(targets != 0, np.log(others)[:, None], 0.0)  # [batch, targets]
    assert float(alike) == pytest.approx(each.sum() / (targets != 0).sum(), rel=1e-5)


@pytest.mark.parametrize("reading", ["two_level", "joint"])
def test_a_candidate_scores_alone_as_in_company(world, reading):
    model, batch = build(world, reading), dict(batch_of(world))
    together = model.scores_of(batch).rating.numpy()
    for place in (0, 3):
        single = {
            name: value[:, place : place + 1] if name.startswith("target_") else value
            for name, value in batch.items()
        }
        alone = model.scores_of(single).rating.numpy()[:, 0]
        assert np.abs(alone - together[:, place]).max() < 1e-4


def test_padding_of_the_history_changes_nothing(world):
    model, batch = build(world), dict(batch_of(world))
    before = model.scores_of(batch).rating.numpy()
    wide = {"history_items": 0, "history_ratings": np.nan, "history_times": 0}
    for name, value in wide.items():
        batch[name] = tf.pad(batch[name], [[0, 0], [0, 5]], constant_values=value)
    assert np.abs(model.scores_of(batch).rating.numpy() - before).max() < 1e-5


def test_a_heads_weight_of_zero_switches_it_off(world):
    batch, seed = batch_of(world), tf.constant([1, 2], tf.int64)
    for off, left in (("rating_weight", "click_loss"), ("click_weight", "rating_loss")):
        changes = {"rating_weight": 1.0, "click_weight": 1.0, "next_item_weight": 0.0, off: 0.0}
        losses = build(world, **changes).losses_of(batch, seed=seed, training=False)
        assert float(losses["loss"]) == pytest.approx(float(losses[left]), rel=1e-6)


def fitted(world, folder, reading, **changes):
    model = build(world, reading, dropout=0.0, **changes)
    learning.fit(model, world.examples, past_only=False, workdir=folder)
    sizes = learning.batch_config(model.config, past_only=False)
    scores = score_part(model, world.examples, "valid", sizes, world.split.valid)
    truth = world.tables.interactions.loc[world.split.valid]
    rmse = np.sqrt(np.nanmean((scores.rating - truth["rating"]) ** 2))
    assert scores.rating.min() >= 1.0
    assert scores.rating.max() <= 5.0
    return rmse / truth["rating"].std(), scores.click, truth["click"].to_numpy()


@pytest.mark.slow
def test_the_planted_taste_is_learnt(world, tmp_path):
    share, click, liked = fitted(world, tmp_path, "two_level")
    # Knowing the taste leaves 0.5 of a star; not knowing it leaves the whole spread.
    assert share < 0.65
    assert click[liked == 1].mean() > click[liked == 0].mean() + 0.3


@pytest.mark.slow
@pytest.mark.parametrize("pair_head", ["neural", "factorization"])
def test_it_is_learnt_where_a_quarter_of_the_events_has_no_rating(tmp_path, pair_head):
    tables = planted_tables()
    # What was not rated was met against one's taste: taken for a rating, it would mislead.
    unrated = (tables.interactions["click"] == 0) & (np.arange(len(tables.interactions)) % 2 == 0)
    log = tables.interactions.astype({"click": np.float32})
    log.loc[unrated, ["rating", "click"]] = np.nan
    world = World(tmp_path / "world", tables=replace(tables, interactions=log))
    share, click, liked = fitted(world, tmp_path / "fit", "two_level", pair_head=pair_head)
    assert share < 0.65
    assert click[liked == 1].mean() > click[liked == 0].mean() + 0.3


@pytest.mark.slow
def test_the_joint_reading_learns_what_the_candidate_says(tmp_path):
    # Taste takes a Transformer without pretraining thousands of steps; a genre that all
    # love takes a few. With items' own tokens dropped, 60 steps bring the clicks half way.
    share, click, liked = fitted(
        World(tmp_path, taste=False),
        tmp_path / "work",
        "joint",
        loop=replace(CONFIG.loop, steps=60, evaluate_every=20),
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=10, weight_decay=0.01),
        joint_length=40,
        id_dropout=0.0,
    )
    assert share < 0.65
    assert click[liked == 1].mean() > click[liked == 0].mean() + 0.3


def test_training_the_encoder_changes_it_and_stores_anew(world, tmp_path):
    loop = replace(CONFIG.loop, steps=4, evaluate_every=2)
    model = build(world, "retrieval", encoder_steps=4, loop=loop)  # sooner compiled than two-level
    before = model.encoder.token_embedding.embeddings.numpy().copy()
    stored = model.items.stored.numpy().copy()
    learning.fit(model, world.examples, past_only=False, workdir=tmp_path)
    assert not np.array_equal(before, model.encoder.token_embedding.embeddings.numpy())
    assert not np.array_equal(stored, model.items.stored.numpy())
    assert (tmp_path / "tensorboard" / "tensors.tsv").exists()
    lines = (tmp_path / "tensorboard" / "metadata.tsv").read_text().splitlines()
    assert lines[1] == "i00\tfilm number 0. comedy"


@pytest.mark.slow
def test_next_item_on_an_implicit_log_beats_chance(implicit_world, tmp_path):
    loop = replace(CONFIG.loop, steps=150, evaluate_every=50)
    model = build(implicit_world, next_item_weight=1.0, loop=loop)
    assert not model.statistics.has_rating
    learning.fit(model, implicit_world.examples, past_only=True, workdir=tmp_path)
    sizes = learning.batch_config(model.config, past_only=True)
    world = implicit_world
    users = world.tables.users.index.to_numpy()
    ranking = rank_part(model, world.examples, "test", sizes, world.tables, world.split, users)
    assert ranking.shape == (40, 30)
    log = world.tables.interactions.loc[world.split.train].groupby("user")["item"].agg(set)
    for row, user in enumerate(users):
        assert set(world.tables.items.index[np.isneginf(ranking[row])]) == log[user]
    ranking[np.isneginf(ranking)] = np.nan
    # Users of one kind take items of one kind only.
    kinds = [np.nanmean(ranking[:, kind::2], axis=1) for kind in (0, 1)]  # [users] each
    own = [kinds[u % 2][u] - kinds[1 - u % 2][u] for u in range(40)]
    assert np.mean(np.array(own) > 0) > 0.9
    scores = score_part(model, implicit_world.examples, "test", sizes, implicit_world.split.test)
    assert scores.rating is None
    assert scores.click is None


def test_what_was_seen_takes_no_share_of_the_next_item_unless_it_comes_again(world):
    model = build(world, next_item_weight=1.0)
    batch = dict(batch_of(world))
    again = batch["history_items"][:, 0]
    batch["target_items"] = tf.concat([again[:, None], batch["target_items"][:, 1:]], axis=1)
    outputs = model.outputs_of(batch, seed=tf.zeros([2], tf.int64), training=False)
    shares = np.exp(model.next_item_log_shares(outputs).numpy())
    logits = model.query_of(batch).numpy() @ model.index().numpy().T  # [batch, items + 1]
    for row in range(len(shares)):
        history = set(batch["history_items"][row].numpy())
        left = set(range(1, logits.shape[1])) - history | {int(again[row])}
        raised = {item: np.exp(logits[row, item]) for item in left}
        wanted = [raised.get(item, 0.0) / sum(raised.values()) for item in range(logits.shape[1])]
        assert shares[row] == pytest.approx(np.array(wanted), abs=1e-5)


@pytest.mark.slow
def test_scores_come_in_the_order_of_the_rows(world):
    model = build(world)
    sizes = learning.batch_config(model.config, past_only=False)
    rows = world.split.test
    rating, click = score_rows(model, world.examples, "test", sizes, rows)
    back, _ = score_rows(model, world.examples, "test", sizes, rows[::-1])
    assert np.array_equal(rating, back[::-1])
    assert rating.shape == click.shape == rows.shape


def test_pairs_are_rendered_from_train_rows_only(world):
    rows = world.split.valid[:3]
    behaviours, items = render_pairs(world.text, world.tables, world.split, rows)
    log = world.tables.interactions
    for text, item, row in zip(behaviours, items, rows, strict=True):
        train = log.loc[world.split.train]
        own = train[train["user"] == log.loc[row, "user"]]
        lines = text.splitlines()
        assert lines[0] == f"now: {log.loc[row, 'time']}"
        assert len(lines) == 1 + len(own)
        told = [int(found) for found in re.findall(r" at (\d+): ", text)]
        assert told == [time for time in sorted(own["time"]) if time > 0]
        assert item not in text


def test_streaming_rows_are_scored_and_rendered_from_all_that_was_before(streaming_world):
    world = streaming_world
    model = build(world)
    sizes = learning.batch_config(model.config, past_only=True)
    rows = world.split.test
    rating, click = score_rows(model, world.examples, "test", sizes, rows)
    log, order = world.tables.interactions, event_order(world.tables.interactions)
    refs = {item: ref for ref, item in enumerate(world.tables.items.index, 1)}
    behaviours, _ = render_pairs(world.text, world.tables, world.split, rows)
    for place in range(0, len(rows), 7):
        row = rows[place]
        before = log[(log["user"] == log.loc[row, "user"]) & (order < order[row])]
        before = before.loc[np.argsort(order)[np.isin(np.argsort(order), before.index)]]
        batch = {  # by hand, one row alone
            "user": tf.constant([1 + world.tables.users.index.get_loc(log.loc[row, "user"])]),
            "history_items": tf.constant([[refs[item] for item in before["item"]]], tf.int32),
            "history_ratings": tf.constant([before["rating"].tolist()], tf.float32),
            "history_times": tf.constant([before["time"].tolist()], tf.int64),
            "target_items": tf.constant([[refs[log.loc[row, "item"]]]]),
            "target_times": tf.constant([[log.loc[row, "time"]]], tf.int64),
        }
        scores = model.scores_of(batch)
        assert rating[place] == pytest.approx(model.clip(scores.rating)[0, 0].numpy(), abs=1e-5)
        assert click[place] == pytest.approx(tf.sigmoid(scores.click_logit)[0, 0].numpy(), abs=1e-5)
        lines = behaviours[place].splitlines()
        events = [line for line in lines if not line.startswith("now: ")]
        assert len(events) == len(before)


def test_a_streaming_ranking_is_of_the_moment_the_part_began(streaming_world):
    world = streaming_world
    model = build(world)
    model.store_items()
    sizes = learning.batch_config(model.config, past_only=True)
    log, order = world.tables.interactions, event_order(world.tables.interactions)
    users = np.sort(log.loc[world.split.test, "user"].unique())
    found = rank_part(model, world.examples, "test", sizes, world.tables, world.split, users)
    refs = {item: ref for ref, item in enumerate(world.tables.items.index, 1)}
    index = tf.convert_to_tensor(model.index()).numpy()[1:]
    earlier = np.r_[world.split.train, world.split.valid]
    for user, scores in list(zip(users, found, strict=True))[:5]:
        before = log.loc[earlier[np.argsort(order[earlier])]]
        before = before[before["user"] == user]
        batch = {
            "user": tf.constant([1 + world.tables.users.index.get_loc(user)]),
            "history_items": tf.constant([[refs[item] for item in before["item"]]], tf.int32),
            "history_ratings": tf.constant([before["rating"].tolist()], tf.float32),
            "history_times": tf.constant([before["time"].tolist()], tf.int64),
            "target_items": tf.constant([[0]]),
        }
        wanted = model.query_of(batch).numpy()[0] @ index.T
        fine = np.isfinite(scores)
        assert fine.sum() == 30 - log.loc[world.split.train, "user"].eq(user).sum()
        assert scores[fine] == pytest.approx(wanted[fine], abs=1e-5)


def test_weights_round_trip_and_mismatch(world, tmp_path):
    model, other = build(world), build(world)
    other.items.id_level.assign(tf.ones_like(other.items.id_level))
    weights.save(model, tmp_path / "w.npz")
    weights.load(other, tmp_path / "w.npz")
    assert np.array_equal(other.items.id_level, model.items.id_level)
    with pytest.raises(DataError, match="variables but the model"):
        weights.load(model.encoder.backbone, tmp_path / "w.npz")
    with pytest.raises(DataError, match="variable 0"):
        weights.load(build(world, width=16), tmp_path / "w.npz")


def test_an_unknown_reading_is_named(world):
    with pytest.raises(ConfigError, match=r"train\.reading='three'"):
        build(world, "three")


REGULAR = RegularisationConfig(token_dropout=0.4)
SEED = tf.constant([1, 2], tf.int64)


@pytest.mark.slow
@pytest.mark.parametrize("reading", ["two_level", "joint"])
def test_texts_change_in_training_alone(world, reading):
    batch = batch_of(world)
    plain = build(world, reading, dropout=0.0, id_dropout=0.0)
    changed = build(world, reading, dropout=0.0, id_dropout=0.0, regularisation=REGULAR)
    for one, other in zip(plain.variables, changed.variables, strict=True):
        assert np.array_equal(one, other)  # the same seed, the same weights
        if one.path.endswith(("text_level/kernel", "output_layer/kernel")):
            one.assign(tf.ones_like(one) * 0.05)  # they start at 0: make the texts speak
            other.assign(tf.ones_like(other) * 0.05)

    def loss(model, training, seed=SEED):
        return float(model.losses_of(batch, seed=seed, training=training)["loss"])

    assert loss(changed, False) == loss(plain, False) == pytest.approx(loss(plain, True), rel=1e-6)
    assert loss(changed, True) != loss(plain, True)
    assert loss(changed, True) == pytest.approx(loss(changed, True), rel=1e-6)
    assert loss(changed, True) != loss(changed, True, SEED + 1)


def test_a_standing_encoders_variants_are_the_changed_texts_vectors(world):
    model = build(world, regularisation=replace(REGULAR, text_variants=3))
    refs = tf.range(len(world.text.item_tokens))
    assert model.items.variants.shape == (3, 31, model.encoder.width)
    words = model.texts.items(refs, tf.constant([CONFIG.loop.seed, 2], tf.int64))
    assert np.abs(model.items.variants[2] - model.encode_text(words)).max() < 1e-5
    drawn = model.items.variant_of(tf.fill([300], 4), SEED).numpy()
    shares = [(drawn == variant[4].numpy()).all(axis=1).mean() for variant in model.items.variants]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.1)


def test_smoothed_clicks_by_hand(world):
    smooth = build(world, regularisation=RegularisationConfig(label_smoothing=0.2))
    batch = batch_of(world)
    outputs = smooth.outputs_of(batch, seed=SEED, training=False)
    logit = outputs.scores.click_logit.numpy().astype(np.float64)
    label = batch["target_clicks"].numpy()
    there = ~np.isnan(label)
    share, label = 1 / (1 + np.exp(-logit[there])), label[there]
    for training, aim in ((True, np.where(label == 1, 0.9, 0.1)), (False, label)):
        entropy = -np.mean(aim * np.log(share) + (1 - aim) * np.log(1 - share))
        found = smooth.task_losses(outputs, batch, training=training)["click_loss"]
        assert float(found) == pytest.approx(entropy, rel=1e-4)


@pytest.mark.parametrize("reading", ["two_level", "joint"])
def test_the_adversarial_loss_is_that_of_moved_embeddings(world, reading):
    model = build(world, reading, dropout=0.0, id_dropout=0.0, item_text="both")
    batch, tables = batch_of(world), model.input_embeddings()
    for variable in model.trainable_variables:
        if variable.path.endswith("output_layer/kernel"):
            variable.assign(tf.ones_like(variable) * 0.05)

    def losses():
        return model.losses_of(batch, seed=SEED, training=True)

    names = {variable.path.rpartition("/")[2] for variable in tables}
    wanted = {"two_level": {"id_embedding", "word_embedding"}, "joint": {"embeddings"}}
    assert names == wanted[reading]
    scalars, _ = gradients_of(losses, model.trainable_variables, FastGradient(0.1, tables))
    with tf.GradientTape() as tape:
        loss = losses()["loss"]
    found = [tf.convert_to_tensor(g) for g in tape.gradient(loss, [t.value for t in tables])]
    length = np.sqrt(sum(np.sum(g.numpy() ** 2) for g in found))
    for table, gradient in zip(tables, found, strict=True):
        table.assign_add(0.1 * gradient / length)
    assert float(scalars["adversarial_loss"]) == pytest.approx(float(losses()["loss"]), rel=1e-4)
    assert float(scalars["adversarial_loss"]) > float(scalars["loss"])
