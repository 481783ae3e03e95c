"""Hidden ratings: only they are hidden, and what an item tells of its rating is learnt."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.config_objectives import TaskConfig
from ssrec_tf.errors import ConfigError
from ssrec_tf.objectives import MaskedRating
from tests.ssrec_tf.objectives.conftest import SEED, config, learn, pairs, walks


@pytest.fixture
def objective(encoder, world):
    return MaskedRating(encoder, world.text, config(tasks=TaskConfig(hide_rate=0.4)))


def test_only_ratings_are_hidden_and_what_they_were_is_remembered(objective, world):
    batch = walks()
    hidden = objective.hidden(batch, SEED)
    vocabulary = world.text.vocabulary
    seeds = tf.random.experimental.stateless_split(SEED, 2)
    window = objective.window
    plain = window.tokens(window.user(batch), window.draw(batch, seeds[0])).numpy()
    ids = hidden.token_ids.numpy()
    for row in range(len(ids)):
        used = hidden.weights.numpy()[row] > 0
        at = hidden.positions.numpy()[row][used]
        assert sorted(at) == np.flatnonzero(ids[row] != plain[row]).tolist()
        assert (ids[row, at] == vocabulary.mask_id).all()
        truth = vocabulary.first_rating_id + hidden.classes.numpy()[row][used]
        assert plain[row, at].tolist() == truth.tolist()


def test_an_unrated_event_is_never_hidden(objective):
    batch = walks()
    batch["history_ratings"] = tf.fill([16, 8], float("nan"))
    hidden = objective.hidden(batch, SEED)
    assert not hidden.weights.numpy().any()
    assert float(objective.losses_of(batch, seed=SEED, training=False)["loss"]) == 0.0


def test_loss_and_error_by_hand(objective):
    batch = walks()
    found = objective.losses_of(batch, seed=SEED, training=False)
    hidden = objective.hidden(batch, SEED)
    logits = objective.head(objective.states(hidden, training=False)).numpy().astype(np.float64)
    share = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    classes, weights = hidden.classes.numpy(), hidden.weights.numpy()
    picked = np.take_along_axis(share, classes[..., None], 2)[..., 0]
    total = weights.sum()
    assert float(found["loss"]) == pytest.approx(-(np.log(picked) * weights).sum() / total, 1e-4)
    error = (share @ np.arange(1, 6) - (classes + 1)) ** 2
    assert float(found["rmse"]) == pytest.approx(np.sqrt((error * weights).sum() / total), 1e-4)


@pytest.mark.slow
def test_the_planted_ratings_are_learnt(objective):
    assert learn(objective, 60, pairs)["accuracy"] > 0.8


def test_data_without_ratings_are_refused(encoder, implicit_world):
    with pytest.raises(ConfigError, match=r"masked_rating: the data have no ratings; leave it"):
        MaskedRating(encoder, implicit_world.text, config())
