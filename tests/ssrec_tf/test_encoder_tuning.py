"""Tunings: nothing at the start, only what was added moves, counts by hand, a prefix in numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import erf

from ssrec_tf import learning, weights
from ssrec_tf.config import EncoderConfig, LoopConfig, OptimizerConfig, PretrainConfig
from ssrec_tf.config_encoder import ARCHITECTURES
from ssrec_tf.encoder_tuning import Adapter, Prefix
from ssrec_tf.encoders import Encoder
from ssrec_tf.vocabulary import train_vocabulary

RANK = 3
WIDTH, HEADS, SIZE, INNER, LAYERS = 128, 2, 64, 512, 2  # of `tiny`: Turc et al. 2019, table 1
TOKENS = tf.constant([[2, 5, 6, 3, 0], [2, 7, 3, 0, 0]])


@pytest.fixture(scope="module")
def vocabulary():
    return train_vocabulary(["a b c d"], items=["i"], ratings=[1], size=20, lowercase=True)


def make(vocabulary, tuning="full", architecture="bert"):
    keras.utils.set_random_seed(5)
    config = EncoderConfig(architecture, tuning=tuning, tuning_rank=RANK, dropout=0.0)
    return Encoder.create(config, vocabulary)


def counted(tuning, size):
    """Weights that are trained, by hand."""
    if tuning == "lora":  # a [in, rank] and b [rank, out] for each; an einsum keeps its heads
        attention = 3 * (WIDTH * HEADS + SIZE) + (HEADS * SIZE + WIDTH)
        forward = (WIDTH + INNER) + (INNER + WIDTH)
        return RANK * (LAYERS * (attention + forward) + size + WIDTH)
    if tuning == "adapter":
        return LAYERS * 2 * (WIDTH * RANK + RANK + RANK * WIDTH + WIDTH)
    return LAYERS * (2 * RANK * HEADS * SIZE + HEADS)


def size_of(variables):
    return sum(int(np.prod(variable.shape)) for variable in variables)


def step(encoder):
    """One step of fixed length on what is trained, towards fixed states, as Adam begins."""
    with tf.GradientTape() as tape:
        states, _ = encoder(TOKENS)
        wanted = tf.random.stateless_normal(tf.shape(states), [1, 2])
        loss = tf.reduce_mean((states - wanted) ** 2)
    trained = encoder.trainable_variables
    for variable, gradient in zip(
        trained, tape.gradient(loss, [v.value for v in trained]), strict=True
    ):
        if gradient is not None:
            variable.assign_sub(0.02 * tf.sign(tf.convert_to_tensor(gradient)))
    return float(loss)


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta"])
@pytest.mark.parametrize("tuning", ["lora", "adapter", "prefix"])
def test_fresh_it_is_not_there_and_then_it_alone_learns(vocabulary, tuning, architecture):
    full, tuned = (
        make(vocabulary, architecture=architecture),
        make(vocabulary, tuning, architecture),
    )
    assert np.abs(full(TOKENS)[0] - tuned(TOKENS)[0]).max() < 1e-6
    whole = size_of(full.trainable_variables)
    assert size_of(tuned.trainable_variables) == whole  # a pretraining from scratch
    tuned.freeze_base()
    assert size_of(tuned.trainable_variables) == counted(tuning, vocabulary.size)
    tuned.trainable = False
    assert tuned.trainable_variables == []
    tuned.trainable = True  # Keras alone would free all of them again
    assert size_of(tuned.trainable_variables) == counted(tuning, vocabulary.size)
    before = {id(variable): variable.numpy().copy() for variable in tuned.variables}
    losses = [step(tuned) for _ in range(8)]
    assert losses[-1] < losses[0]
    trained = {id(variable) for variable in tuned.trainable_variables}
    moved = {id(v) for v in tuned.variables if not np.array_equal(before[id(v)], v.numpy())}
    assert moved
    assert moved <= trained
    if tuning != "lora":  # of LoRA's, rows of tokens that do not occur stay
        assert moved == trained


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_full_adds_nothing_and_freezes_nothing(vocabulary, architecture):
    encoder = make(vocabulary, architecture=architecture)
    count = size_of(encoder.trainable_variables)
    encoder.freeze_base()
    assert size_of(encoder.trainable_variables) == count
    assert len(encoder.variables) == len(encoder.backbone.variables)


@pytest.mark.parametrize("tuning", ["lora", "adapter", "prefix"])
def test_weights_round_trip(vocabulary, tuning, tmp_path):
    encoder, other = make(vocabulary, tuning), make(vocabulary, tuning)
    encoder.freeze_base()
    for _ in range(2):
        step(encoder)
    weights.save(encoder, tmp_path / "w.npz")
    weights.load(other, tmp_path / "w.npz")
    assert np.array_equal(encoder(TOKENS)[0], other(TOKENS)[0])


@pytest.mark.parametrize("tuning", ["full", "lora", "adapter", "prefix"])
def test_a_copy_reads_alike_and_learns_apart(vocabulary, tuning):
    encoder = make(vocabulary, tuning)
    encoder.freeze_base()
    step(encoder)
    copy = encoder.copy()
    assert np.array_equal(copy(TOKENS)[0], encoder(TOKENS)[0])
    assert size_of(copy.trainable_variables) == size_of(encoder.trainable_variables)
    before = encoder(TOKENS)[0].numpy()
    step(copy)
    assert np.array_equal(encoder(TOKENS)[0], before)
    assert not np.array_equal(copy(TOKENS)[0], before)


def test_an_adapter_by_hand():
    adapter = Adapter(4, 2, name="adapter")
    rng = np.random.default_rng(0)
    for variable in adapter.variables:
        variable.assign(rng.normal(size=variable.shape))
    x = rng.normal(size=(3, 4)).astype(np.float32)
    (w1, b1), (w2, b2) = ([v.numpy() for v in d.weights] for d in (adapter.down, adapter.up))
    inner = x @ w1 + b1
    inner = inner * 0.5 * (1 + erf(inner / np.sqrt(2)))
    assert adapter(x).numpy() == pytest.approx(x + inner @ w2 + b2, abs=1e-5)


def test_a_prefix_by_hand():
    prefix = Prefix(heads=2, size=3, rank=4, name="prefix")
    rng = np.random.default_rng(0)
    for variable in prefix.variables:
        variable.assign(rng.normal(size=variable.shape))
    queries = rng.normal(size=(1, 5, 2, 3)).astype(np.float32)
    keys, values, gate = (v.numpy() for v in (prefix.keys, prefix.values, prefix.gate))
    for head in range(2):
        share = np.exp(queries[0, :, head] @ keys[:, head].T / np.sqrt(3))  # [length, rank]
        share /= share.sum(axis=1, keepdims=True)
        wanted = np.tanh(gate[head]) * share @ values[:, head]
        assert prefix(queries).numpy()[0, :, head] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("tuning", ["lora", "prefix"])
def test_a_published_encoder_is_pretrained_by_its_tuning_alone(world, tuning, tmp_path):
    config = EncoderConfig(tuning=tuning, tuning_rank=RANK)
    encoder = learning.create_encoder(config, world.text, seed=1)
    encoder.freeze_base()  # as `Encoder.create` does with a published one
    before = encoder.token_table.numpy().copy()
    pretraining = PretrainConfig(
        loop=LoopConfig(steps=2, batch_size=4, evaluate_every=1, checkpoint_every=1),
        optimizer=OptimizerConfig(warmup_steps=0),
        sequence_length=32,
    )
    added = [v.numpy().copy() for v in encoder.trainable_variables]
    learning.pretrain(
        encoder, world.text, world.examples, pretraining, past_only=False, workdir=tmp_path
    )
    assert np.array_equal(encoder.token_table, before)
    moved = [
        not np.array_equal(v, old)
        for v, old in zip(encoder.trainable_variables, added, strict=True)
    ]
    assert any(moved)
