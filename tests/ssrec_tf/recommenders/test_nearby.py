"""What is left of ratings, passed on: by NumPy, and a taste that no plane can follow."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.recommenders.nearby import SHARPNESS, places_of, told_nearby
from ssrec_tf.recommenders.reading import Events
from tests.ssrec_tf.recommenders.test_factors import USER, events_of, factors_of, floats

SHARP = tf.constant(SHARPNESS[0])


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def nearness_by_hand(loadings, companions, directions, sharpness):
    """Of every two of n items: [n, n]."""
    vectors = (unit(loadings), unit(companions), directions)
    cosines = (vector @ vector.T for vector in vectors)
    sharp = zip(cosines, sharpness[:3], strict=True)
    return np.exp(sum(times * (cosine - 1.0) for cosine, times in sharp))


def asked(places):
    """Events of one user, of which only the places and which there are matter."""
    nothing, none = tf.zeros([1, places.shape[1]]), tf.zeros([1, places.shape[1], 0])
    return Events(none, places, none, stars=nothing, strays=nothing, mask=nothing + 1.0)


@pytest.mark.parametrize("sharpness", SHARPNESS)
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("companions", [0, 3])
def test_the_average_by_hand(members, companions, sharpness):
    rng = np.random.default_rng(0)
    loadings, met = rng.normal(size=(7, members, 4)), rng.normal(size=(7, companions))
    texts = unit(rng.normal(size=(7, 5)))
    sharp = tf.constant(sharpness)
    places = places_of(floats(loadings), floats(met), floats(texts), sharp)
    left = rng.normal(size=(1, members, 5))
    history = asked(places[None, :5])
    stars = np.zeros((1, 5))
    stars[0, 2] = np.nan  # no rating
    history = history._replace(stars=floats(stars))
    found = told_nearby(history, floats(left), places[None, 5:], sharp).numpy()
    assert found.shape == (1, 2, members)
    there = [0, 1, 3, 4]
    for member in range(members):
        company = met if companions else np.ones((7, 1))
        near = nearness_by_hand(loadings[:, member], company, texts, sharpness)
        if not companions:  # nobody is known to be near in company
            near *= np.exp(-sharpness[1])
        for target in (5, 6):
            weights = near[target, there]
            wanted = weights @ left[0, member, there] / (weights.sum() + sharpness[3])
            assert found[0, target - 5, member] == pytest.approx(wanted, abs=1e-5)


def test_of_an_empty_history_nothing_is_told(world):
    layer = factors_of(world)
    events = events_of(layer)
    left = layer.residuals(events, layer.posterior(events, USER))
    found = told_nearby(events, left, events.places, SHARP).numpy()
    assert found[0].any()
    assert not found[1].any()


def test_residuals_are_ratings_less_scores(world):
    layer = factors_of(world)
    events = events_of(layer)
    weights = layer.posterior(events, USER)
    nothing = tf.zeros([2, 5, layer.config.starts])
    said = layer.score(weights, events.rows, events.waves, nothing, tf.ones([4])).numpy()
    left = layer.residuals(events, weights).numpy()
    stars = events.stars.numpy()
    rated = [0, 2, 3]  # by the first user; the second has only padding
    wanted = stars[0, rated, None] - said[0, rated]
    assert left[0][:, rated] == pytest.approx(wanted.T, abs=1e-4)
    assert not left[0][:, [1, 4]].any()
    assert not left[1].any()


def test_a_taste_that_bends_is_followed():
    """Items on a circle, liked by cos(2 angle): a plane sees none of it, their neighbours all."""
    rng = np.random.default_rng(1)
    angles = rng.uniform(0, 2 * np.pi, 120)
    circle, alike = np.stack([np.cos(angles), np.sin(angles)], 1), np.ones((120, 1))
    stars = np.cos(2 * angles) + 0.3 * rng.normal(size=120)
    design = np.c_[np.ones(80), circle[:80]]
    weights = np.linalg.solve(design.T @ design + np.eye(3), design.T @ stars[:80])
    flat = np.c_[np.ones(120), circle] @ weights
    places = places_of(floats(circle[:, None]), floats(alike), floats(alike), SHARP)
    left = floats((stars - flat)[None, None, :80])
    found = told_nearby(asked(places[None, :80]), left, places[None, 80:], SHARP).numpy()[0, :, 0]
    errors = [np.mean((stars[80:] - said) ** 2) for said in (flat[80:], flat[80:] + found)]
    assert errors[0] > 0.4
    assert errors[1] < errors[0] / 2
