"""Contrasts: NumPy's losses, no leak of what is to be found, planted answers learnt."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.config_objectives import TaskConfig
from ssrec_tf.objectives import NextText, TwoViews
from ssrec_tf.objectives.contrastive import in_batch_logits, nt_xent, unit
from tests.ssrec_tf.objectives.conftest import SEED, batch_of, clubs, config, learn, walks


def vectors(count, seed):
    return unit(tf.random.stateless_normal([count, 8], [seed, 0]))


def test_logits_are_corrected_by_the_share_and_equal_items_are_no_negatives():
    queries, keys = vectors(4, 1), vectors(4, 2)
    items, log_share = tf.constant([3, 7, 3, 0]), np.log([0.4, 0.1, 0.4, 0.1])
    found = in_batch_logits(queries, keys, items, tf.constant(log_share, tf.float32), 0.2).numpy()
    expected = queries.numpy() @ keys.numpy().T / 0.2 - log_share[None, :]
    blocked = np.zeros((4, 4), bool)
    blocked[0, 2] = blocked[2, 0] = blocked[:3, 3] = True  # the same item; no item
    assert found[~blocked] == pytest.approx(expected[~blocked], abs=1e-5)
    assert (found[blocked] < -1e8).all()


def test_nt_xent_by_hand():
    both, users = vectors(6, 3), np.array([1, 2, 1])
    cosines = both.numpy().astype(np.float64) @ both.numpy().T / 0.5
    total = 0.0
    for i in range(6):
        partner = (i + 3) % 6
        others = [j for j in range(6) if users[j % 3] != users[i % 3]]
        shares = np.exp(cosines[i, [partner, *others]])
        total -= np.log(shares[0] / shares.sum())
    found = nt_xent(both, tf.constant(users), 0.5)
    assert float(found["loss"]) == pytest.approx(total / 6, rel=1e-5)


def test_the_next_item_does_not_stand_in_the_behaviour(encoder, world):
    objective = NextText(encoder, world.text, config())
    tokens, items, weights = objective.pairs(walks(), SEED)
    assert np.array_equal(items, walks()["history_items"][:, 5])
    assert weights.numpy().all()
    own = world.text.item_token_ids[items.numpy()]
    assert not (tokens.numpy() == own[:, None]).any()
    fourth = walks()["history_items"].numpy()[:, 4]
    last_words = world.text.item_tokens[fourth]
    for row in range(16):
        end = tokens.numpy()[row][tokens.numpy()[row] > 0]
        words = last_words[row][last_words[row] > 0]
        assert end[-1 - len(words) : -1].tolist() == words.tolist()


def test_a_single_event_has_nothing_before_it(encoder, world):
    objective = NextText(encoder, world.text, config())
    _, _, weights = objective.pairs(batch_of(np.array([[1, 2], [3, 0]])), SEED)
    assert weights.numpy().tolist() == [1.0, 0.0]


@pytest.mark.slow
def test_the_next_text_is_learnt(encoder, world):
    assert learn(NextText(encoder, world.text, config()), 60)["accuracy"] > 0.8


def test_two_views_are_drawn_by_the_seed_and_leave_the_user_s_words_out(encoder, world):
    objective = TwoViews(encoder, world.text, config())
    first, again, other = (objective.views(walks(), seed) for seed in (SEED, SEED, SEED + 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])
    assert (first.numpy()[:, :, 1] == world.text.vocabulary.sep_id).all()


@pytest.mark.slow
def test_views_of_one_behaviour_come_together(encoder, world):
    objective = TwoViews(encoder, world.text, config(tasks=TaskConfig(crop=0.8, mask=0.2)))
    before = objective.losses_of(clubs(10_000), seed=SEED, training=False)
    found = learn(objective, 60, clubs)
    assert found["loss"] < 0.6 * float(before["loss"])
    assert found["accuracy"] > 0.8
