"""Rows of unmet items against weighted ridge regressions by NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.config import FactorConfig
from ssrec_tf.recommenders import unmet
from ssrec_tf.recommenders.unmet import UnmetItems

COUNTS = np.array([0, 9, 0, 7, 3])  # of words; those of none are not to speak


def by_hand(features, rows, counts, penalty, often):
    """Weighted ridge with an unpenalized level: float [features + 1, ...], the level last."""
    weights = counts / (1.0 + counts / often)
    weights /= weights.mean()
    mean_x, mean_y = (np.average(x, axis=0, weights=weights) for x in (features, rows))
    x, y = features - mean_x, rows - mean_y
    found = np.linalg.solve(
        x.T @ (x * weights[:, None]) + penalty * np.eye(x.shape[1]), x.T @ (y * weights[:, None])
    )
    return np.concatenate([found, (mean_y - mean_x @ found)[None]])


def world(seed=0, items=40):
    rng = np.random.default_rng(seed)
    words = rng.integers(0, len(COUNTS), (items, 3)).astype(np.int32)
    said = np.stack([(words == word).sum(1) for word in (1, 3, 4)], axis=1)
    along = rng.normal(size=(items, 2)).astype(np.float32)
    return rng, words, np.concatenate([said, along], axis=1), along


@pytest.mark.parametrize("often", [3.0, 100.0])
def test_rows_by_hand(often):
    rng, words, features, along = world()
    rows = (features @ rng.normal(size=(5, 8)) + rng.normal(size=(40, 8))).astype(np.float32)
    config, counts = FactorConfig(text_width=2, met_often=often), rng.integers(1, 500, 40)
    layer = UnmetItems(COUNTS, config, (2, 4))
    layer.fit(words, along, rows.reshape(40, 2, 4), counts)
    wanted = [by_hand(features, rows, counts, penalty, often) for penalty in np.logspace(-2, 3, 6)]
    tables = np.concatenate([layer.of_word.numpy()[1:], layer.of_axis.numpy()])
    assert min(np.abs(tables - one).max() for one in wanted) < 1e-3
    new, place = tf.constant([[4, 4, 0], [2, 1, 3]]), along[:2]
    found = layer.read(new, tf.constant(place)).numpy()
    assert found.shape == (2, 2, 4)
    of_word, rest = tables[:3], tables[3:]
    for i, told in enumerate((2 * of_word[2], of_word[0] + of_word[1])):
        by_text = told + place[i] @ rest[:-1] + rest[-1]
        assert found[i] == pytest.approx(by_text.reshape(2, 4), abs=1e-5)


def test_the_commonest_words_speak_and_no_others(monkeypatch):
    monkeypatch.setattr(unmet, "_WORDS", 2)
    layer = UnmetItems(COUNTS, FactorConfig(), (1, 1))
    _, words, features, _ = world()
    layer.fit(words, np.zeros((40, 0)), 5.0 * features[:, :1, None], np.ones(40))
    found = layer.read(tf.constant([[1], [3], [4], [2], [0]]), tf.zeros([5, 0])).numpy()[:, 0, 0]
    assert found[0] - found[4] == pytest.approx(5.0, abs=0.1)
    assert found[2] == found[3] == found[4]


def test_texts_without_words_tell_the_mean():
    layer = UnmetItems(np.zeros(5, np.int64), FactorConfig(), (1, 2))
    rows = np.array([[[1.0, 2.0]], [[3.0, 6.0]]], np.float32)
    layer.fit(np.zeros((2, 1), np.int32), np.zeros((2, 0)), rows, np.array([100, 25]))
    found = layer.read(tf.zeros([1, 1], tf.int32), tf.zeros([1, 0])).numpy()
    # 100 events weigh 50, 25 weigh 20.
    assert found[0, 0] == pytest.approx((50 * rows[0, 0] + 20 * rows[1, 0]) / 70, rel=1e-5)
