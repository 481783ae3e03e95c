"""Item vectors: words by hand, ids that drop out, two ways of looking a batch up."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.config import TrainConfig, from_dict
from ssrec_tf.errors import ConfigError
from ssrec_tf.recommenders.items import ItemVectors
from ssrec_tf.recommenders.reading import ItemTexts
from tests.ssrec_tf.recommenders.test_base import CONFIG, batch_of, build, fitted

WIDTH, ENCODED = 8, 6


def vectors_of(world, **changes):
    config = replace(TrainConfig(width=WIDTH), **changes)
    layer = ItemVectors(ENCODED, world.text, config, labelled=True)
    rng = np.random.default_rng(0)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    layer.store(rng.normal(size=layer.stored.shape) * 3.0 + 2.0)
    return layer


def normalized(layer, raw):
    shifted = raw - raw.mean(-1, keepdims=True)
    scaled = shifted / np.sqrt((shifted**2).mean(-1, keepdims=True) + 1e-3)
    return scaled * layer.item_norm.gamma.numpy() + layer.item_norm.beta.numpy()


def test_a_bag_of_words_by_hand(world):
    layer = vectors_of(world, item_text="words", word_min_items=1)
    layer._common = tf.cast(tf.range(len(layer._common)) > 0, tf.float32)  # all but padding
    words = np.array([[5, 7, 7, 0, 0], [0, 0, 0, 0, 0]], np.int32)
    texts = ItemTexts(tf.zeros([2, ENCODED]), tf.constant(words))
    items = layer.read(texts, tf.constant([0, 0]))
    embedding, level = layer.word_embedding.numpy(), layer.word_level.numpy()
    wanted = np.stack([embedding[5] + 2 * embedding[7], np.zeros(WIDTH)])
    assert items.states.numpy() == pytest.approx(normalized(layer, wanted), abs=1e-5)
    assert items.level.numpy() == pytest.approx([level[5] + 2 * level[7], 0.0], abs=1e-5)


def test_a_word_of_few_items_says_nothing(world):
    # 30 films: each has its own number, half of them are a comedy.
    layer = vectors_of(world, item_text="words", word_min_items=5)
    pieces = world.text.vocabulary.words
    counts = dict.fromkeys(pieces, 0)
    for tokens in world.text.item_tokens[world.text.known_items]:
        for piece in {pieces[token] for token in tokens if token}:
            counts[piece] += 1
    assert layer._common.numpy().tolist() == [float(counts[piece] >= 5) for piece in pieces]
    assert counts["comedy"] >= 5 > counts["17"]


def test_encoder_vectors_and_ids_by_hand(world):
    layer = vectors_of(world, item_text="encoder")
    refs = np.array([3, 1])
    items = layer.read(layer.texts_of(tf.constant(refs)), tf.constant(refs))
    seen = layer.stored.numpy()[world.text.known_items]
    text = (layer.stored.numpy()[refs] - seen.mean(0)) / seen.std(0)
    kernel, bias = (w.numpy() for w in layer.text_projection.weights)
    raw = text @ kernel + bias + layer.id_embedding.numpy()[refs]
    assert items.states.numpy() == pytest.approx(normalized(layer, raw), abs=1e-4)
    level = text @ layer.text_level.kernel.numpy()[:, 0] + layer.id_level.numpy()[refs]
    assert items.level.numpy() == pytest.approx(level, abs=1e-4)


@pytest.mark.parametrize("item_text", ["encoder", "words", "both"])
def test_an_item_without_its_id_is_its_text(world, item_text):
    layer = vectors_of(world, item_text=item_text)
    ref = tf.constant([4])
    texts = layer.texts_of(ref)
    layer.order.assign(tf.ones_like(layer.order))  # as if all had been met alike
    layer.order[0].assign(tf.zeros_like(layer.order[0]))
    off = tf.zeros([len(world.text.item_tokens), 2])
    silent, unknown = layer.read(texts, ref, off), layer.read(texts, tf.constant([0]))
    assert (silent.speaks[0], unknown.speaks[0]) == (1.0, 0.0)  # a factorization drops no id
    for one, other in zip(silent[:-1], unknown[:-1], strict=True):
        assert np.array_equal(one, other)
    met = layer.read(texts, ref, tf.constant([[0.0, 1.0]] * len(world.text.item_tokens)))
    assert met.next_level.numpy() == pytest.approx(layer.next_bias.numpy()[[4]])
    assert (met.as_met.numpy() == 1.0).all()
    assert (met.as_found.numpy() == 1.0).all()
    assert np.array_equal(met.states, unknown.states)
    always = vectors_of(world, item_text=item_text, id_dropout=1.0)
    never_trained = always.read(always.texts_of(ref), ref)
    assert np.array_equal(
        never_trained.states, always.read(always.texts_of(ref), tf.constant([0])).states
    )


def test_ids_drop_out_at_their_rate(world):
    for rate, kept in ((0.3, (0.7, 0.8)), (1.0, (0.0, 0.8)), (0.1, (0.9, 0.9))):
        layer = vectors_of(world, id_dropout=rate)
        draws = [layer.draw_keep(tf.constant([1, step])).numpy() for step in range(200)]
        assert np.mean(draws, axis=(0, 1)) == pytest.approx(kept, abs=0.03)
        assert (draws[0][:, 0] <= draws[0][:, 1]).all()  # an id says that the item was met
    again = layer.draw_keep(tf.constant([1, 0])).numpy()
    assert np.array_equal(draws[0], again)


def test_a_large_catalogue_is_looked_up_as_a_small_one(world):
    batch, plain = batch_of(world), {"dropout": 0.0, "id_dropout": 0.0}
    small = build(world, **plain)
    large = build(world, **plain, loop=replace(CONFIG.loop, batch_size=1))  # 24 mentions, 31 items
    for variable, value in zip(large.variables, small.variables, strict=True):
        variable.assign(value)
    seed = tf.constant([1, 2], tf.int64)
    evaluated = small.outputs_of(batch, seed=seed, training=False)  # each item of the batch once
    for model in (small, large):
        trained = model.outputs_of(batch, seed=seed, training=True)
        assert np.abs(trained.scores.rating - evaluated.scores.rating).max() < 1e-5
        assert np.abs(trained.query - evaluated.query).max() < 1e-5
        assert np.abs(trained.vectors - evaluated.vectors).max() < 1e-5


@pytest.mark.slow
def test_words_alone_learn_the_planted_taste(world, tmp_path):
    share, _, _ = fitted(world, tmp_path, "two_level", item_text="words", id_dropout=1.0)
    assert share < 0.65


def test_another_choice_is_refused(world):
    with pytest.raises(ConfigError, match=r"train\.item_text is 'letters'"):
        from_dict(
            {"name": "x", "data": {"dataset": "movielens-100k"}, "train": {"item_text": "letters"}}
        )
