"""Windows: where every token of a layout came from, what fits, what a draw hangs on."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.config_regularisation import RegularisationConfig
from ssrec_tf.objectives.behaviour_window import (
    OWN,
    RATING,
    WORDS,
    BehaviourWindow,
    chosen_events,
    draw_events,
)
from tests.ssrec_tf.objectives.conftest import SEED, config, walks


@pytest.fixture
def window(world):
    return BehaviourWindow(world.text, config(), max_length=512)


def test_a_layout_is_the_tokens_and_knows_where_each_came_from(window):
    batch = walks(events=12)
    user, events = window.user(batch), window.draw(batch, SEED)
    laid = window.lay_out(user, events)
    assert np.array_equal(laid.token_ids, window.tokens(user, events))
    ids, event, field = (part.numpy() for part in laid)
    fits = window.fitting(user, events).numpy()
    assert 0 < fits.sum() < (events.items.numpy() > 0).sum()
    for row in range(len(ids)):
        assert set(event[row]) - {-1} == set(np.flatnonzero(fits[row]))
        for number in np.flatnonzero(fits[row]):
            here = event[row] == number
            assert ids[row][here & (field[row] == RATING)] == events.stars[row, number]
            assert ids[row][here & (field[row] == OWN)] == events.own[row, number]
            words = events.words[row, number].numpy()
            assert ids[row][here & (field[row] == WORDS)].tolist() == words[words > 0].tolist()


def test_places_point_at_a_field_and_at_0_for_what_is_nowhere(window):
    batch = walks()
    events = window.draw(batch, SEED)
    laid = window.lay_out(window.user(batch), events)
    newest = tf.fill([16, 1], 5)
    at = laid.places(newest, OWN)
    assert np.array_equal(tf.gather(laid.token_ids, at, batch_dims=1), events.own[:, 5:6])
    assert not laid.places(newest + 1, OWN).numpy().any()


def test_equal_seeds_draw_equal_windows(window):
    first, again = (window.draw(walks(), SEED) for _ in range(2))
    other = window.draw(walks(), SEED + 1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.own, other.own)
    assert first.items.shape == (16, window.events)


def test_a_share_of_the_candidates_is_drawn_each_once():
    candidates = tf.sequence_mask([0, 1, 5, 10], 10)
    places, weights = draw_events(candidates, 0.4, 4, SEED)
    assert weights.numpy().sum(1).tolist() == [0, 1, 2, 4]
    chosen = chosen_events(places, weights, 10).numpy()
    assert chosen.sum(1).tolist() == [0, 1, 2, 4]
    assert not (chosen & ~candidates.numpy()).any()


def test_texts_are_changed_as_the_configuration_says(world):
    off = BehaviourWindow(world.text, config(), 64)
    on = BehaviourWindow(
        world.text, config(regularisation=RegularisationConfig(token_dropout=0.3)), 64
    )
    batch = walks(size=64)
    whole, changed = off.draw(batch, SEED), on.draw(batch, SEED)
    for same in ("items", "stars", "own"):  # the other draws are what they were
        assert np.array_equal(getattr(whole, same), getattr(changed, same))
    lost = 1 - np.count_nonzero(changed.words) / np.count_nonzero(whole.words)
    assert lost == pytest.approx(0.3, abs=0.03)
    assert np.array_equal(on.draw(batch, SEED).words, changed.words)
    items = tf.fill([500], 3)
    alone = np.count_nonzero(on.item(items, SEED)) - 1000  # [CLS] and [SEP] stay
    assert alone / (np.count_nonzero(off.item(items)) - 1000) == pytest.approx(0.7, abs=0.03)
