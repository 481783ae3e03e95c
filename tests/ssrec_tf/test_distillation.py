"""Distillation: draws that nobody has seen, losses by hand, a planted teacher."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf import distillation, learning
from ssrec_tf.config import LoopConfig, OptimizerConfig
from ssrec_tf.config_ensemble import EnsembleConfig
from ssrec_tf.distillation import Student, with_drawn_items
from ssrec_tf.ensembling import Ensemble, Predictions
from tests.ssrec_tf.recommenders.test_base import CONFIG, batch_of, build, next_logits

SEED = tf.constant([1, 2], tf.int64)
LOOP = LoopConfig(steps=4, batch_size=8, evaluate_every=2, checkpoint_every=2, seed=2)


def student_of(world, teacher_weight, drawn_items=8, **changes):
    ensemble = EnsembleConfig("deep", 2, teacher_weight, drawn_items)
    model = build(world, ensemble=ensemble, dropout=0.0, id_dropout=0.0, **changes)
    return Student(model, Ensemble([build(world, loop=replace(CONFIG.loop, seed=9))]))


def test_drawn_items_are_known_unseen_and_without_labels(world):
    batch, known = batch_of(world), world.text.known_items.copy()
    known[5] = False
    wide = with_drawn_items(batch, tf.constant(known), 50, SEED)
    assert np.array_equal(wide["target_items"][:, :8], batch["target_items"])
    drawn = wide["target_items"].numpy()[:, 8:]
    for row, items in enumerate(drawn):
        seen = set(batch["history_items"].numpy()[row]) | set(batch["target_items"].numpy()[row])
        assert not (set(items) - {0}) & seen
    assert set(drawn.ravel()) - {0} <= set(np.flatnonzero(known))
    assert len(set(drawn.ravel())) > 20  # from the whole catalogue
    for name in ("target_ratings", "target_clicks"):
        assert np.isnan(wide[name].numpy()[:, 8:]).all()
    again = with_drawn_items(batch, tf.constant(known), 50, SEED)
    assert np.array_equal(again["target_items"], wide["target_items"])


@pytest.mark.parametrize("reading", ["two_level", "retrieval"])
def test_without_a_teachers_weight_the_labels_alone_count(world, reading):
    student, batch = student_of(world, 0.0, reading=reading), batch_of(world)
    own = student.model.losses_of(batch, seed=SEED, training=True)
    found = student.losses_of(batch, seed=SEED, training=True)
    for name, value in own.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-4)


def test_distances_by_hand(world):
    student = student_of(world, 1.0)
    model, teacher = student.model, student.teacher.members[0]
    teacher.items.id_level.assign(tf.random.stateless_normal([31], [1, 2]))
    batch = batch_of(world)
    wide = with_drawn_items(batch, tf.constant(world.text.known_items), 8, SEED)
    there = wide["target_items"].numpy() != 0
    own, told = model.scores_of(wide), teacher.scores_of(wide)
    wanted = np.clip(told.rating, 1, 5)
    error = (own.rating - wanted)[there] / model.statistics.deviation
    click = 1 / (1 + np.exp(-told.click_logit.numpy()[there].astype(np.float64)))
    own_click = 1 / (1 + np.exp(-own.click_logit.numpy()[there].astype(np.float64)))
    entropy = -np.mean(click * np.log(own_click) + (1 - click) * np.log(1 - own_click))

    def shares(each):
        logits = next_logits(each, batch)
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    ranked = shares(teacher) > 0
    logs = np.log(shares(model), where=ranked, out=np.zeros_like(shares(model)))
    following = -np.mean((shares(teacher) * logs).sum(axis=1))
    weights = (model.config.rating_weight, model.config.click_weight, model.config.next_item_weight)
    total = float(np.dot(weights, (np.mean(error**2), entropy, following)))
    losses = student.losses_of(batch, seed=SEED, training=True)
    assert float(losses["teacher_loss"]) == pytest.approx(total, rel=1e-3)
    assert float(losses["loss"]) == pytest.approx(total, rel=1e-3)


def test_a_prior_of_factors_is_as_strong_as_without_a_teacher(world):
    student = student_of(world, 0.5, pair_head="factorization")
    batch = batch_of(world)
    own = student.model.losses_of(batch, seed=SEED, training=True)
    found = student.losses_of(batch, seed=SEED, training=True)
    prior = float(own["prior_loss"]) * student.model.config.rating_weight
    assert prior > 0
    rest = float(found["teacher_loss"]) - prior + float(own["loss"]) - prior
    assert float(found["loss"]) == pytest.approx(0.5 * rest + prior, rel=1e-4)


def test_drawn_items_are_met_when_the_newest_target_is(world):
    batch = dict(batch_of(world))
    times = np.arange(batch["target_times"].shape[0])[:, None] + np.arange(8) * 100
    batch["target_times"] = tf.constant(times, tf.int64)
    wide = with_drawn_items(batch, tf.constant(world.text.known_items), 5, SEED)
    assert np.array_equal(wide["target_times"][:, :8], times)
    assert np.array_equal(wide["target_times"][:, 8:], np.repeat(times[:, 7:], 5, axis=1))


class Planted(Ensemble):
    """Says 4.5 of every third item, 2 of the others, whoever asks."""

    def __init__(self):
        super().__init__([])

    def predict(self, batch):
        good = tf.cast(batch["target_items"] % 3 == 0, tf.float32)
        return Predictions(2.0 + 2.5 * good, good, None)


@pytest.mark.slow
def test_what_only_the_teacher_knows_of_unseen_pairs_is_learnt(world, tmp_path):
    """Labels say that taste matters; the planted teacher, that it does not."""
    optimizer = OptimizerConfig(learning_rate=5e-3, warmup_steps=5, weight_decay=0.01)
    ensemble = EnsembleConfig("deep", 2, 1.0, 16)
    loop = replace(CONFIG.loop, steps=60, evaluate_every=60, patience=9)
    model = build(world, loop=loop, optimizer=optimizer, ensemble=ensemble, dropout=0.0)
    student = Student(model, Planted())
    learning.fit(model, world.examples, past_only=False, workdir=tmp_path, trainable=student)
    batch = batch_of(world)
    wide = with_drawn_items(batch, tf.constant(world.text.known_items), 30, SEED)
    drawn = wide["target_items"].numpy()[:, 8:]
    rating = model.scores_of(wide).rating.numpy()[:, 8:]
    good, bad = (drawn % 3 == 0) & (drawn != 0), drawn % 3 != 0
    assert rating[good].mean() == pytest.approx(4.5, abs=0.4)
    assert rating[bad].mean() == pytest.approx(2.0, abs=0.4)


@pytest.mark.slow
def test_a_student_goes_on_from_its_checkpoint_and_is_an_ordinary_model(world, tmp_path):
    # The loop is the same for all readings; this one is compiled soonest.
    ensemble = EnsembleConfig("deep", 2, 0.5, 8)
    model = build(world, "retrieval", loop=LOOP, ensemble=ensemble)
    state = distillation.fit(model, world.examples, past_only=False, workdir=tmp_path)
    assert state.step == 4
    assert {row["metric"] for row in state.curve} >= {"teacher_loss", "rating_loss"}
    assert len(model.variables) == len(build(world, "retrieval").variables)
    again = build(world, "retrieval", loop=LOOP, ensemble=ensemble)
    distillation.fit(again, world.examples, past_only=False, workdir=tmp_path)
    for one, other in zip(model.variables, again.variables, strict=True):
        assert np.array_equal(one.numpy(), other.numpy())
