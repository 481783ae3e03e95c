"""Masked tokens: a planted answer is learnt, weights are tied, special tokens stay."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.batching import BatchConfig, train_batches
from ssrec_tf.config import EncoderConfig, LoopConfig, OptimizerConfig, PretrainConfig
from ssrec_tf.config_regularisation import RegularisationConfig
from ssrec_tf.learning import create_encoder, pretrain
from ssrec_tf.objectives import MaskedToken
from ssrec_tf.tensorboard import token_name
from tests.ssrec_tf.objectives.conftest import SEED, config, walks

CONFIG = PretrainConfig(
    loop=LoopConfig(steps=60, batch_size=16, evaluate_every=30, checkpoint_every=30, seed=3),
    optimizer=OptimizerConfig(learning_rate=3e-3, warmup_steps=5),
    sequence_length=48,
)


@pytest.fixture
def objective(world):
    encoder = create_encoder(EncoderConfig(dropout=0.0), world.text, seed=1)
    return MaskedToken(encoder, world.text, CONFIG)


@pytest.fixture(scope="module")
def batch(world):
    sizes = BatchConfig(8, 16, 1, past_only=False)
    return next(iter(train_batches(world.examples, sizes, seed=1)))[1]


def test_a_behaviour_reads_as_rating_item_words(world, objective, batch):
    tokens = objective.tokens(batch, tf.constant([1, 2], tf.int64)).numpy()
    vocabulary = world.text.vocabulary
    for row in range(8):
        names = [token_name(world.text, int(t)) for t in tokens[row] if t]
        assert names[0] == "[CLS]"
        assert names[-1] == "[SEP]"
        for at, name in enumerate(names):
            if name.startswith("[RATING="):
                own = names[at + 1]
                assert own == "[ITEM]" or own.startswith("[ITEM i")
                assert names[at + 2] == "film"
    own = tokens[tokens >= vocabulary.first_item_id].size
    generic = (tokens == vocabulary.item_id).sum()
    assert generic / (own + generic) == pytest.approx(CONFIG.item_token_dropout, abs=0.15)


def test_loss_is_the_mean_cross_entropy_of_the_hidden(objective, batch):
    seed = tf.constant([1, 2], tf.int64)
    losses = objective.losses_of(batch, seed=seed, training=False)
    masked = objective.masked(batch, seed)
    logits = objective(masked, training=False).numpy().astype(np.float64)
    log_share = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    ids, weights = masked.mask_ids.numpy(), masked.mask_weights.numpy()
    picked = np.take_along_axis(log_share, ids[..., None], -1)[..., 0]
    assert float(losses["loss"]) == pytest.approx(
        -(picked * weights).sum() / weights.sum(), rel=1e-4
    )
    right = ((logits.argmax(-1) == ids) * weights).sum() / weights.sum()
    assert float(losses["masked_token_accuracy"]) == pytest.approx(right, abs=1e-6)


def test_the_output_weights_are_the_token_embedding(objective, batch):
    objective.losses_of(batch, seed=tf.constant([1, 2], tf.int64), training=False)
    size = objective.text.vocabulary.size
    square = [v for v in objective.trainable_variables if size in v.shape and len(v.shape) == 2]
    assert len(square) == 1


@pytest.mark.slow
def test_the_planted_language_is_learnt(world, tmp_path):
    encoder = create_encoder(EncoderConfig(dropout=0.0), world.text, seed=1)
    state = pretrain(encoder, world.text, world.examples, CONFIG, past_only=False, workdir=tmp_path)
    accuracy = [
        row["value"]
        for row in state.curve
        if row["phase"] == "valid" and row["metric"] == "masked_token_accuracy"
    ]
    # Of an event's seven tokens `film`, `number` and `.` are always the same.
    assert accuracy[-1] > 0.4
    assert state.best < np.log(world.text.vocabulary.size)
    events = list((tmp_path / "tensorboard").glob("events*"))
    texts = [
        value.tensor.string_val
        for path in events
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
        if value.tag.startswith("filled_in_masks")
    ]
    assert any(b"**" in text[0] for text in texts)


def test_fresh_weights_follow_from_the_seed(world):
    first, again = (create_encoder(EncoderConfig(), world.text, seed=5) for _ in range(2))
    other = create_encoder(EncoderConfig(), world.text, seed=6)
    kernel = first.token_embedding.embeddings
    assert np.array_equal(kernel, again.token_embedding.embeddings)
    assert not np.array_equal(kernel, other.token_embedding.embeddings)
    assert isinstance(first, keras.layers.Layer)


def test_labels_are_smoothed_in_training_alone(encoder, world):
    smooth = RegularisationConfig(label_smoothing=0.25)
    objective = MaskedToken(encoder, world.text, config(regularisation=smooth))
    masked = objective.masked(walks(), SEED)
    logits = objective(masked).numpy().astype(np.float64)
    log_share = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    found = np.take_along_axis(log_share, masked.mask_ids.numpy()[..., None], axis=-1)[..., 0]
    used = masked.mask_weights.numpy() > 0
    for training, share in ((True, 0.25), (False, 0.0)):
        aim = (1 - share) * found + share * log_share.mean(axis=-1)
        loss = objective.losses_of(walks(), seed=SEED, training=training)["loss"]
        assert float(loss) == pytest.approx(-aim[used].mean(), rel=1e-4)
