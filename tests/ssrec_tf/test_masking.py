"""Masking: the 80/10/10 rule counted, whole words kept together, special tokens left alone."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.errors import ConfigError
from ssrec_tf.masking import MaskingConfig, TokenMasker
from ssrec_tf.vocabulary import train_vocabulary


@pytest.fixture(scope="module")
def vocabulary():
    texts = ["toy story", "golden eye", "four rooms", "star wars", "toys stories gold"] * 3
    return train_vocabulary(texts, items=["7", "9"], ratings=[1, 2, 3], size=60, lowercase=True)


def _tokens(vocabulary, batch=64, length=40, seed=0):
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, len(vocabulary.words), (batch, length)).astype(np.int32)
    ids[:, 0] = vocabulary.cls_id
    ids[:, -5] = vocabulary.sep_id
    ids[:, -4:] = vocabulary.pad_id
    return tf.constant(ids)


def test_shares_are_80_10_10(vocabulary):
    ids = _tokens(vocabulary, batch=800)
    masked = TokenMasker(vocabulary, MaskingConfig(0.15, 20))(ids, seed=tf.constant([1, 2]))
    weights = masked.mask_weights.numpy() > 0
    now = np.take_along_axis(masked.token_ids.numpy(), masked.mask_positions.numpy(), 1)[weights]
    was = masked.mask_ids.numpy()[weights]
    assert np.mean(now == vocabulary.mask_id) == pytest.approx(0.8, abs=0.02)
    maskable = vocabulary.size - 7  # five specials, [ITEM] and [RATED]
    kept = 0.1 + 0.1 / maskable  # a random token may be the old one
    assert np.mean(now == was) == pytest.approx(kept, abs=0.02)


def test_fifteen_in_a_hundred_are_hidden_and_truth_is_remembered(vocabulary):
    ids = _tokens(vocabulary)
    masked = TokenMasker(vocabulary, MaskingConfig(0.15, 20))(ids, seed=tf.constant([1, 2]))
    # 40 tokens less [CLS], [SEP] and four of padding: 34, of which 15 % is 5.1.
    assert masked.mask_weights.numpy().sum(1).tolist() == [5.0] * 64
    used = masked.mask_weights.numpy() > 0
    truth = np.take_along_axis(ids.numpy(), masked.mask_positions.numpy(), 1)
    assert (truth[used] == masked.mask_ids.numpy()[used]).all()
    changed = ids.numpy() != masked.token_ids.numpy()
    assert not changed[:, 0].any()
    assert not changed[:, -5:].any()
    for row in range(64):
        assert set(np.flatnonzero(changed[row])) <= set(
            masked.mask_positions.numpy()[row][used[row]]
        )


def test_a_function_of_the_seed(vocabulary):
    ids = _tokens(vocabulary)
    masker = TokenMasker(vocabulary, MaskingConfig(0.15, 20))
    first, again = (masker(ids, seed=tf.constant([3, 4])) for _ in range(2))
    other = masker(ids, seed=tf.constant([3, 5]))
    assert np.array_equal(first.token_ids, again.token_ids)
    assert not np.array_equal(first.token_ids, other.token_ids)


def test_whole_words_are_hidden_whole(vocabulary):
    pieces = [i for i, word in enumerate(vocabulary.words) if word.startswith("##")]
    heads = [i for i, w in enumerate(vocabulary.words) if not w.startswith("##") and i >= 5]
    assert pieces
    row = [vocabulary.cls_id]
    words = []
    for n in range(12):  # words of one, two and three pieces
        words.append(list(range(len(row), len(row) + 1 + n % 3)))
        row += [heads[n % len(heads)]] + [pieces[n % len(pieces)]] * (n % 3)
    row.append(vocabulary.sep_id)
    ids = tf.constant([row] * 200, tf.int32)
    config = MaskingConfig(0.3, 20, whole_word=True)
    masked = TokenMasker(vocabulary, config)(ids, seed=tf.constant([1, 2]))
    hidden_any = 0
    for n in range(200):
        used = masked.mask_weights.numpy()[n] > 0
        hidden = set(masked.mask_positions.numpy()[n][used].tolist())
        hidden_any += bool(hidden)
        for word in words:
            assert hidden.isdisjoint(word) or hidden.issuperset(word)
    assert hidden_any > 150


def test_bad_input_is_named(vocabulary):
    with pytest.raises(ConfigError, match=r"mask_rate=1\.5"):
        MaskingConfig(rate=1.5)
    with pytest.raises(ConfigError, match="exceed 1"):
        MaskingConfig(mask_share=0.8, random_share=0.3)
    with pytest.raises(ValueError, match="token_ids must be"):
        TokenMasker(vocabulary, MaskingConfig())(tf.constant([1, 2]), seed=tf.constant([0, 0]))
