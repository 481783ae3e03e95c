"""Many candidates behind one history score as each does alone."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf import learning
from ssrec_tf.batching import train_batches
from ssrec_tf.config import EncoderConfig, TrainConfig
from ssrec_tf.errors import ConfigError
from ssrec_tf.sequences import Assembler
from ssrec_tf.statistics import LabelStatistics

CONFIG = TrainConfig(reading="joint", max_history=16, max_targets=8, joint_length=96)


def build(world, shared, architecture="bert", **more):
    config = replace(CONFIG, targets_per_sequence=shared, **more)
    made = EncoderConfig(dropout=0.0, architecture=architecture)
    encoder = learning.create_encoder(made, world.text, seed=1)
    statistics = LabelStatistics.of(world.tables, world.split.train)
    return learning.make_recommender(encoder, world.text, statistics, config)


@pytest.fixture(scope="module")
def batch(world):
    sizes = learning.batch_config(
        replace(CONFIG, loop=replace(CONFIG.loop, batch_size=4)), past_only=False
    )
    return next(iter(train_batches(world.examples, sizes, seed=1)))[1]


@pytest.fixture(scope="module")
def alone(world, batch):
    return build(world, 1).scores_of(batch)


@pytest.mark.parametrize("shared", [2, 3, 8, 100])
def test_scores_are_those_of_one_candidate_a_sequence(world, batch, alone, shared):
    scores = build(world, shared).scores_of(batch)
    real = batch["target_items"].numpy() != 0
    assert real.any()
    for found, expected in ((scores.rating, alone.rating), (scores.click_logit, alone.click_logit)):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found.numpy()[real], expected.numpy()[real], atol=1e-5)
    assert np.ptp(alone.rating.numpy()[real]) > 1e-4  # candidates do differ


def test_gradients_are_those_of_one_candidate_a_sequence(world, batch):
    found = []
    for shared in (1, 8):
        model = build(world, shared)
        with tf.GradientTape() as tape:
            loss = model.losses_of(batch, seed=tf.constant([1, 2], tf.int64), training=True)["loss"]
        kernel = model.encoder.backbone.transformer_layers[
            0
        ]._self_attention_layer._query_dense.kernel
        found.append(tape.gradient(loss, kernel.value).numpy())
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)


def test_the_history_is_encoded_as_if_it_stood_alone(world, batch):
    """The oracle is KerasHub's own call, on the history without any candidate."""
    model = build(world, 8)
    assembler, encoder = Assembler(world.text.vocabulary), model.encoder
    behaviour = model.behaviour_of(batch)
    events = model._events(behaviour, model._own)
    candidates = model.texts.items(batch["target_items"], None)
    shared = assembler.shared(behaviour.user, events, candidates, 96)
    plain = assembler.behaviour(behaviour.user, events, 96 - candidates.shape[2] - 1)
    expected, _ = encoder(*plain)
    states = encoder.blocked(shared).numpy()
    for row, ids in enumerate(plain.token_ids.numpy()):
        count = (ids != 0).sum()
        np.testing.assert_array_equal(shared.token_ids[row, :count], ids[:count])
        np.testing.assert_allclose(states[row, :count], expected[row, :count], atol=1e-5)


@pytest.mark.parametrize("trimmed", [True, False])
def test_shared_sequences_by_hand(world, trimmed):
    vocabulary = world.text.vocabulary
    cls, sep = vocabulary.cls_id, vocabulary.sep_id
    user, events = tf.constant([[11, 0]]), tf.constant([[[21, 22], [0, 0]]])
    candidates = tf.constant([[[31, 32, 0], [0, 0, 0], [41, 0, 0]]])
    made = Assembler(vocabulary).shared(user, events, candidates, 40, trimmed=trimmed)
    # Else as long as any: a history of 40 less an item's 4, and three items.
    assert made.token_ids.shape[1] == (32 if trimmed else 36 + 3 * 4)
    tokens = [cls, 11, sep, 21, 22, sep, 31, 32, sep, 41, sep]
    pad = [0] * (made.token_ids.shape[1] - len(tokens))
    assert made.token_ids.numpy().tolist() == [tokens + pad]
    assert made.positions.numpy().tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 8, 6, 7, *pad]]
    assert made.blocks.numpy().tolist() == [[0] * 6 + [1, 1, 1, 3, 3, *pad]]
    assert made.segment_ids.numpy().tolist() == [[0] * 6 + [1] * 5 + pad]


def test_an_encoder_without_segments_is_refused(world, batch):
    with pytest.raises(ConfigError, match=r"set encoder\.architecture to bert"):
        build(world, 4, architecture="distilbert").scores_of(batch)


def test_dropped_ids_are_those_of_an_item_nobody_met(world, batch, monkeypatch):
    """At 1 no item's own token is read, in training or later; at 0 each is; between, some are."""
    vocabulary, seen = world.text.vocabulary, {}
    for rate in (0.0, 0.5, 1.0):
        model = build(world, 8, id_dropout=rate)
        for training in (True, False):
            read = []

            def shared(user, events, candidates, length, trimmed, model=model, read=read):
                read.extend([events.numpy()[:, :, 1].ravel(), candidates.numpy()[:, :, 0].ravel()])
                return Assembler.shared(
                    model.assembler, user, events, candidates, length, trimmed=trimmed
                )

            monkeypatch.setattr(model.assembler, "shared", shared)
            model.outputs_of(batch, seed=tf.constant([1, 2], tf.int64), training=training)
            tokens = np.concatenate(read)
            seen[rate, training] = set(tokens[tokens != 0].tolist())
            own = set(range(vocabulary.first_item_id, vocabulary.size))
            assert seen[rate, training] <= own | {vocabulary.item_id}
    nameless = {vocabulary.item_id}
    assert seen[1.0, True] == seen[1.0, False] == nameless
    assert seen[0.0, True] == seen[0.0, False] == seen[0.5, False]
    assert nameless < seen[0.5, True]
    assert seen[0.5, True] - nameless < seen[0.5, False]
