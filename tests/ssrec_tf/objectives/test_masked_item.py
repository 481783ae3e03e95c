"""The cloze over items: nothing of a hidden item stays, and a planted partner tells it."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.config_objectives import TaskConfig
from ssrec_tf.objectives import MaskedItem
from tests.ssrec_tf.objectives.conftest import ITEMS, SEED, config, learn, pairs, walks


def make(encoder, world, **tasks):
    return MaskedItem(encoder, world.text, config(tasks=TaskConfig(**tasks)))


def test_nothing_of_a_hidden_item_stays(encoder, world):
    objective = make(encoder, world, hide_rate=0.4)
    batch = walks()
    hidden = objective.hidden(batch, SEED)
    ids, vocabulary = hidden.token_ids.numpy(), world.text.vocabulary
    used = hidden.weights.numpy() > 0
    assert used.sum(1).min() >= 1
    assert ((ids == vocabulary.mask_id).sum(1) == used.sum(1)).all()
    for row, column in zip(*np.nonzero(used), strict=True):
        at, item = hidden.positions[row, column], hidden.classes[row, column]
        assert ids[row, at] == vocabulary.mask_id
        assert vocabulary.first_item_id + int(item) not in ids[row]
        # Its rating stands before the mask; the next event, or the end, right behind it.
        assert ids[row, at - 1] == vocabulary.first_rating_id + (int(item) + 1) % 5
        behind = ids[row, at + 1]
        stars = vocabulary.first_rating_id + np.arange(5)
        assert behind == vocabulary.sep_id or behind in stars


def test_equal_seeds_hide_equal_events(encoder, world):
    objective = make(encoder, world)
    first, again = (objective.hidden(walks(), SEED) for _ in range(2))
    other = objective.hidden(walks(), SEED + 1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.token_ids, other.token_ids)


def test_loss_is_the_mean_cross_entropy_of_the_hidden(encoder, world):
    objective, batch = make(encoder, world, hide_rate=0.4), walks()
    found = objective.losses_of(batch, seed=SEED, training=False)
    hidden = objective.hidden(batch, tf.random.experimental.stateless_split(SEED, 2)[0])
    logits = objective.head(objective.states(hidden, training=False)).numpy().astype(np.float64)
    share = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    picked = np.take_along_axis(share, hidden.classes.numpy()[..., None], 2)[..., 0]
    weights = hidden.weights.numpy()
    expected = -(picked * weights).sum() / weights.sum()
    assert float(found["loss"]) == pytest.approx(expected, rel=1e-4)
    assert expected == pytest.approx(np.log(ITEMS), rel=0.1)  # nothing is known yet


@pytest.mark.slow
@pytest.mark.parametrize(
    ("item_loss", "steps"), [("softmax", 60), ("sampled_softmax", 80), ("gbce", 150)]
)
def test_the_planted_partner_is_learnt(encoder, world, item_loss, steps):
    found = learn(make(encoder, world, item_loss=item_loss, negatives=8), steps, pairs)
    assert found["accuracy"] > 0.8
