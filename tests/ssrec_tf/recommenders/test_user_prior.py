"""What a user is taken for before any of his ratings is read."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.config import FactorConfig
from ssrec_tf.recommenders.reading import Events
from ssrec_tf.recommenders.user_prior import UserPrior

WORDS, STARTS, WIDTH, COUNT = 9, 2, 4, 5
USER = tf.constant([[6, 8, 8, 0], [0, 0, 0, 0]], tf.int32)
MASK = np.array([[1, 1, 1, 1, 0], [0, 0, 0, 0, 0]], np.float32)


@pytest.fixture(scope="module")
def prior():
    layer = UserPrior(WORDS, FactorConfig(width=WIDTH, starts=STARTS))
    rng = np.random.default_rng(0)
    for weight in (layer.of_word, layer.start):
        assert not weight.numpy().any()
        weight.assign(rng.normal(size=weight.shape))
    return layer


@pytest.fixture(scope="module")
def shifts():
    return np.random.default_rng(1).normal(size=(2, COUNT, STARTS, WIDTH + 1)).astype(np.float32)


def events(mask):
    nothing = tf.zeros([2, COUNT])
    return Events(nothing, nothing, nothing, nothing, nothing, tf.constant(mask))


def by_hand(prior, shifts, mask):
    """Of both users: the profile's words, each as often as it stands there, and the choices."""
    words, start = prior.of_word.numpy(), prior.start.numpy()
    chosen = [shifts[user][mask[user] > 0] for user in (0, 1)]
    told = [one.sum(axis=0) / np.sqrt(max(1, len(one))) for one in chosen]
    return np.stack([start + words[6] + 2 * words[8] + told[0], start + told[1]])


def test_a_profile_and_what_was_chosen_add_up(prior, shifts):
    found = prior.of(events(MASK), shifts, USER)
    assert found.numpy() == pytest.approx(by_hand(prior, shifts, MASK), abs=1e-5)
    assert found[1].numpy() == pytest.approx(prior.start.numpy())  # nothing is known of him


def test_an_event_left_out_is_one_that_was_not_chosen(prior, shifts):
    found = prior.left_out(events(MASK), shifts, USER).numpy()
    for event in range(COUNT):
        without = MASK * (np.arange(COUNT) != event)
        wanted = by_hand(prior, shifts, without)
        assert found[:, event] == pytest.approx(wanted, abs=1e-5)
