"""What a matrix is multiplied in, seen in how far a product is off and in what XLA is given."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.backbones import BACKBONES
from ssrec_tf.config import EncoderConfig
from ssrec_tf.encoders import Encoder
from ssrec_tf.precision import computing_in
from ssrec_tf.sequences import SharedSequences
from ssrec_tf.vocabulary import train_vocabulary


def test_the_numbers_type_is_that_of_the_block_alone():
    name = "auto_mixed_precision_onednn_bfloat16"
    before = tf.config.optimizer.get_experimental_options().get(name, False)
    with computing_in("bfloat16"):
        assert tf.config.optimizer.get_experimental_options()[name]
        with computing_in("float32"):
            assert not tf.config.optimizer.get_experimental_options().get(name, False)
    assert tf.config.optimizer.get_experimental_options().get(name, False) == before


def test_matrices_are_multiplied_in_bfloat16_where_the_processor_can():
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if "avx512_bf16" not in flags and "amx_bf16" not in flags:
        pytest.skip("no instructions for bfloat16")
    left = tf.random.stateless_normal([64, 64], [1, 2])
    exact = left.numpy().astype(np.float64) @ left.numpy().astype(np.float64)
    errors = {}
    for dtype in ("float32", "bfloat16"):
        with computing_in(dtype):
            made = tf.function(lambda x: tf.matmul(tf.matmul(x, tf.eye(64)), x))(left)
        errors[dtype] = np.abs(made.numpy() - exact).max()
    assert errors["float32"] < 1e-4 < errors["bfloat16"] < 0.5


@pytest.mark.parametrize(
    ("architecture", "tuning"),
    [
        *((architecture, "full") for architecture in sorted(set(BACKBONES) - {"xlnet"})),
        *(("bert", tuning) for tuning in ("lora", "adapter", "prefix")),
    ],
)
def test_compiled_matrices_are_of_the_type_and_all_else_is_float32(architecture, tuning):
    vocabulary = train_vocabulary(["red green blue moon"], items=["7"], ratings=[5.0])
    config = EncoderConfig(architecture=architecture, tuning=tuning, tuning_rank=2)
    encoder = Encoder.create(config, vocabulary)
    ids = tf.constant([[2, 7, 8, 3, 0], [2, 9, 3, 0, 0]], tf.int32)
    policies = [layer.dtype_policy.name for layer in encoder.backbone._flatten_layers()]
    found, programs = {}, {}
    for dtype in ("float32", "bfloat16"):

        def loss_and_gradients(ids):
            with tf.GradientTape() as tape:
                states, pooled = encoder(ids)
                loss = tf.reduce_mean(states**2) + tf.reduce_sum(pooled[:, 0])
            gradients = tape.gradient(loss, encoder.trainable_variables)
            return states, pooled, [gradient for gradient in gradients if gradient is not None]

        step = tf.function(loss_and_gradients, jit_compile=True)
        with computing_in(dtype, compiled=True):
            found[dtype] = step(ids)
            programs[dtype] = step.experimental_get_compiler_ir(ids)(stage="hlo")
    assert "bf16" not in programs["float32"]
    products = [line for line in programs["bfloat16"].splitlines() if " dot(" in line]
    assert sum("= bf16[" in line for line in products) > len(products) / 2
    states, pooled, gradients = found["bfloat16"]
    assert {tensor.dtype for tensor in [states, pooled, *gradients]} == {tf.float32}
    apart = np.abs(states.numpy() - found["float32"][0].numpy()).max()
    assert 1e-4 < apart < 0.1  # eight bits of digits
    assert [layer.dtype_policy.name for layer in encoder.backbone._flatten_layers()] == policies
    assert {variable.dtype for variable in encoder.variables if "seed" not in variable.path} == {
        "float32"
    }


def test_blocks_are_of_the_type_too():
    vocabulary = train_vocabulary(["red green blue moon"], items=["7"], ratings=[5.0])
    encoder = Encoder.create(EncoderConfig(), vocabulary)
    encoder(tf.constant([[2, 7, 3]], tf.int32))
    row = tf.constant([[2, 7, 3, 8, 3]], tf.int32)
    blocks = tf.constant([[0, 0, 0, 1, 1]], tf.int32)
    sequences = SharedSequences(row, blocks, tf.constant([[0, 1, 2, 3, 4]], tf.int32), blocks)
    exact = encoder.blocked(sequences).numpy()
    with computing_in("bfloat16", compiled=True):
        found = encoder.blocked(sequences)
    assert found.dtype == tf.float32
    assert 1e-4 < np.abs(found.numpy() - exact).max() < 0.1
