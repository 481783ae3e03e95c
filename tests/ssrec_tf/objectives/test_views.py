"""Views: a stretch kept, events hidden, or a stretch shuffled."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.config_objectives import TaskConfig
from ssrec_tf.objectives.behaviour_window import BehaviourWindow
from ssrec_tf.objectives.views import Augmenter
from tests.ssrec_tf.objectives.conftest import SEED, config, walks

TASKS = TaskConfig(crop=0.5, mask=0.4, reorder=0.7)


@pytest.fixture(scope="module")
def events(world):
    return BehaviourWindow(world.text, config(), 512).draw(walks(size=60), SEED)


def test_each_view_is_of_one_of_the_three_ways(world, events):
    view = Augmenter(world.text.vocabulary, TASKS)(events, SEED)
    mask_id, ways = world.text.vocabulary.mask_id, set()
    for row in range(60):
        before, after = events.items[row].numpy(), view.items[row].numpy()
        own = view.own[row].numpy()
        hidden = own == mask_id
        if hidden.any():
            ways.add("hidden")
            assert np.array_equal(before, after)
            assert not view.stars[row].numpy()[hidden].any()
            assert not view.words[row].numpy()[hidden].any()
            assert np.array_equal(own[~hidden], events.own[row].numpy()[~hidden])
        elif (after == 0).sum() > (before == 0).sum():
            ways.add("cropped")
            kept = np.flatnonzero(after)
            assert len(kept) == 3  # half of six
            assert kept.tolist() == list(range(kept[0], kept[0] + 3))
            assert np.array_equal(after[kept], before[kept])
        elif not np.array_equal(before, after):
            ways.add("reordered")
            assert sorted(before) == sorted(after)
            moved = np.flatnonzero(before != after)
            assert np.ptp(moved) < 4  # 0.7 of six
            assert (after[6:] == 0).all()
    assert ways == {"hidden", "cropped", "reordered"}


def test_equal_seeds_give_equal_views(world, events):
    augment = Augmenter(world.text.vocabulary, TASKS)
    first, again, other = (augment(events, seed) for seed in (SEED, SEED, SEED + 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.own, other.own)


def test_an_empty_history_stays_empty(world, events):
    empty = events.only(tf.zeros_like(events.items, tf.bool))
    view = Augmenter(world.text.vocabulary, TASKS)(empty, SEED)
    assert not view.tokens().numpy().any()
