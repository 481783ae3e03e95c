"""Texts that lose fields, words or their wording: by rendering anew, by rates, by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from ssrec_tf.augmentation import AugmentedTexts, close_up
from ssrec_tf.config import SplitConfig, TextConfig
from ssrec_tf.config_regularisation import AlternativesConfig, RegularisationConfig
from ssrec_tf.errors import ConfigError
from ssrec_tf.rendering import render_items
from ssrec_tf.splits import make_split
from ssrec_tf.text_table import TextTable, tokenize
from ssrec_tf.tokenization import WordPieceTokenizer
from tests.ssrec_tf.conftest import planted_tables

TEMPLATE = TextConfig(
    item_template="{title}[ ({year})][. {genre}]",
    user_template="[age {age}][, {job}]",
    vocabulary_size=300,
    alternatives=AlternativesConfig(count=2),
)
WORDINGS = ("a red thing", "the blue one")


@pytest.fixture(scope="module")
def tables():
    plain = planted_tables()
    plain.items["year"] = 1990.0 + np.arange(30)
    plain.items.loc["i03", "year"] = np.nan
    plain.users["age"] = 20.0
    plain.users["job"] = "clerk"
    return plain


@pytest.fixture(scope="module")
def text(tables):
    split = make_split(tables, SplitConfig(seed=1))
    return TextTable.build(
        tables, split, TEMPLATE, paraphrase=lambda texts: [WORDINGS] * len(texts)
    )


def drawn(text, config, refs, steps=300):
    """Tokens of the same references at many steps: [steps, refs, item width]."""
    texts = AugmentedTexts(text, config)
    read = tf.function(lambda seed: texts.items(tf.constant(refs, tf.int32), seed))
    return np.stack([read(tf.constant([7, step], tf.int64)).numpy() for step in range(steps)])


def tokens_without(tables, text, field):
    """Tokens of the items rendered from a table in which an attribute is missing."""
    items = tables.items.assign(**{field: pd.NA})
    texts = render_items(replace(tables, items=items), TEMPLATE)
    return tokenize(WordPieceTokenizer(text.vocabulary), ["", *texts], text.item_tokens.shape[1])


@pytest.mark.parametrize("field", ["year", "genre"])
def test_a_field_left_out_is_an_attribute_that_was_missing(tables, text, field):
    refs = np.arange(31)
    config = RegularisationConfig(field_dropout=0.3, fields=(field,))
    rows = drawn(text, config, refs)
    whole, without = text.item_tokens, tokens_without(tables, text, field)
    lost = (rows == without).all(axis=2) & (without != whole).any(axis=1)  # [steps, refs]
    assert (lost | (rows == whole).all(axis=2)).all()
    has = (without != whole).any(axis=1)
    assert lost[:, has].mean() == pytest.approx(0.3, abs=0.02)
    assert has.sum() == (29 if field == "year" else 30)
    # Each mention is drawn by itself: two of a step are both lost by chance alone.
    assert np.mean(lost[:, 5] & lost[:, 9]) == pytest.approx(0.09, abs=0.05)


def test_tokens_are_left_out_at_their_rate_and_the_rest_keeps_its_order(text):
    refs = np.arange(1, 31)
    rows = drawn(text, RegularisationConfig(token_dropout=0.25), refs)
    full = text.item_tokens[refs]
    share = 1 - (rows != 0).sum() / ((full != 0).sum() * len(rows))
    assert share == pytest.approx(0.25, abs=0.01)
    for row, whole in zip(
        rows[:20].reshape(-1, full.shape[1]), np.tile(full, (20, 1)), strict=True
    ):
        rest = iter(whole[whole != 0].tolist())
        said = row[row != 0].tolist()
        assert all(token in rest for token in said)  # a subsequence
        assert row[: len(said)].tolist() == said  # without a gap


def test_a_mask_stands_where_a_token_was(text):
    refs = np.arange(1, 31)
    config = RegularisationConfig(token_dropout=0.25, mask_dropped=True)
    rows = drawn(text, config, refs, steps=100)
    full = text.item_tokens[refs]
    masked = rows == text.vocabulary.mask_id
    assert np.array_equal(np.where(masked, 0, rows), np.where(masked, 0, full[None]))
    assert masked.sum() / ((full != 0).sum() * 100) == pytest.approx(0.25, abs=0.02)


def test_other_wordings_come_at_their_rate(text):
    tokens = tokenize(WordPieceTokenizer(text.vocabulary), list(WORDINGS), 32)
    rows = drawn(text, RegularisationConfig(alternative_rate=0.4), np.arange(1, 31))
    shares = [(rows == wording).all(axis=2).mean() for wording in tokens]
    assert shares == pytest.approx([0.2, 0.2], abs=0.02)
    assert (rows == text.item_tokens[1:]).all(axis=2).mean() == pytest.approx(0.6, abs=0.02)
    # A paraphrase is of no field: no part of it can be told to be the genre.
    config = RegularisationConfig(alternative_rate=1.0, field_dropout=0.9)
    rows = drawn(text, config, np.arange(1, 31), steps=20)
    assert sum((rows == wording).all(axis=2).sum() for wording in tokens) == 600


def test_users_lose_fields_too_and_never_all(text):
    config = RegularisationConfig(field_dropout=0.5, fields=("age", "job"))
    texts = AugmentedTexts(text, config)
    rows = texts.users(tf.fill([4000], 1), tf.constant([7, 1], tf.int64)).numpy()
    whole = text.user_tokens[1]
    age = whole * (text.user_fields[1] == 1 + text.field_names.index("age"))
    job = close_up(tf.constant(whole * (text.user_fields[1] == 1 + text.field_names.index("job"))))
    # Whole where none is drawn, and where both are.
    for wanted, share in ((whole, 0.5), (age, 0.25), (job.numpy(), 0.25)):
        assert (rows == wanted).all(axis=1).mean() == pytest.approx(share, abs=0.03)


def test_the_draws_follow_from_the_seed_and_off_is_the_table(text):
    refs = tf.constant([[3, 0, 5], [1, 2, 3]])
    config = RegularisationConfig(0.3, False, 0.3, (), 0.3)
    texts = AugmentedTexts(text, config)
    seed = tf.constant([7, 3], tf.int64)
    assert np.array_equal(texts.items(refs, seed), texts.items(refs, seed))
    assert not np.array_equal(texts.items(refs, seed), texts.items(refs, seed + 1))
    assert not texts.items(refs, seed)[0, 1].numpy().any()
    off = AugmentedTexts(text, RegularisationConfig())
    for same in (off.items(refs, seed), texts.items(refs)):
        assert np.array_equal(same, text.item_tokens[refs])
    assert np.array_equal(off.users(refs, seed), text.user_tokens[refs])


def test_an_unknown_field_is_named(text):
    with pytest.raises(ConfigError, match=r"'genres', but the texts have .*did you mean genre\?"):
        AugmentedTexts(text, RegularisationConfig(field_dropout=0.1, fields=("genres",)))
