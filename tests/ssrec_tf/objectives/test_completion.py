"""Completion: one whole part of one event is hidden, and filled in again."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.objectives import Completion
from ssrec_tf.objectives.behaviour_window import OWN, RATING, WORDS
from tests.ssrec_tf.objectives.conftest import SEED, config, learn, pairs, walks


@pytest.fixture
def objective(encoder, world):
    return Completion(encoder, world.text, config())


def layout(objective, batch):
    seeds = tf.random.experimental.stateless_split(SEED, 3)
    window = objective.window
    return window.lay_out(window.user(batch), window.draw(batch, seeds[0]))


def test_one_part_of_one_event_is_hidden_whole(objective, world):
    batch = walks(size=40)
    masked, laid = objective.masked(batch, SEED), layout(objective, batch)
    vocabulary, kinds = world.text.vocabulary, set()
    for row in range(40):
        at = np.flatnonzero(masked.token_ids[row] == vocabulary.mask_id)
        event = set(laid.event.numpy()[row, at])
        assert len(event) == 1
        fields = frozenset(laid.field.numpy()[row, at])
        kinds.add(fields)
        # The part is hidden to its last token.
        here = (laid.event.numpy()[row] == event.pop()) & np.isin(laid.field[row], list(fields))
        assert at.tolist() == np.flatnonzero(here).tolist()
        used = masked.mask_weights.numpy()[row] > 0
        assert masked.mask_positions.numpy()[row][used].tolist() == at.tolist()
        truth = laid.token_ids.numpy()[row, at]
        if OWN in fields:  # it may have been dropped in the layout
            truth[0] = max(truth[0], masked.mask_ids.numpy()[row, 0])
            assert truth[0] >= vocabulary.first_item_id
        assert masked.mask_ids.numpy()[row][used].tolist() == truth.tolist()
    assert kinds == {frozenset([WORDS]), frozenset([OWN, WORDS]), frozenset([RATING])}


def test_a_rating_that_is_not_there_is_not_asked_for(objective, world):
    batch = walks(size=40)
    batch["history_ratings"] = tf.fill([40, 8], float("nan"))
    masked = objective.masked(batch, SEED)
    rated = world.text.vocabulary.rated_id
    assert not (masked.mask_ids.numpy() == rated).any()
    assert (masked.mask_weights.numpy().sum(1) >= 3).all()  # words


def test_equal_seeds_hide_equal_parts(objective):
    first, again = (objective.masked(walks(), SEED) for _ in range(2))
    other = objective.masked(walks(), SEED + 1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.token_ids, other.token_ids)


def test_loss_is_the_mean_cross_entropy_of_the_hidden(objective):
    batch = walks()
    found = objective.losses_of(batch, seed=SEED, training=False)
    masked = objective.masked(batch, SEED)
    logits = objective(masked).numpy().astype(np.float64)
    share = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    picked = np.take_along_axis(share, masked.mask_ids.numpy()[..., None], 2)[..., 0]
    weights = masked.mask_weights.numpy()
    expected = -(picked * weights).sum() / weights.sum()
    assert float(found["loss"]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_the_planted_texts_are_learnt(objective):
    found = learn(objective, 100, pairs)
    # `film`, `number` and `.` are half of the hidden; the rest must come from the event.
    assert found["completion_accuracy"] > 0.8
