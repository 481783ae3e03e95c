"""Which numbers matrices are multiplied in: float32, or bfloat16 where the chip has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import tensorflow as tf

_REWRITING = "auto_mixed_precision_onednn_bfloat16"
_POLICY: ContextVar[str] = ContextVar("policy", default="float32")


@contextmanager
def computing_in(dtype: str, *, compiled: bool = False) -> Iterator[None]:
    """Multiply matrices in `dtype`, float32 or bfloat16, in graphs first run in the block.

    On a CPU TensorFlow rewrites the graph by its own lists of ops; a processor without such
    instructions goes on in float32. Of a graph that XLA compiles, and on a GPU, it rewrites
    nothing: there the encoder's Transformer layers compute by Keras' mixed policy. Either
    way weights, sums and losses stay in float32.

    Args:
        dtype: float32 or bfloat16.
        compiled: whether XLA compiles the graphs.

    Reference:
        Micikevicius et al. 2018, arXiv:1710.03740 (mixed precision).
    """
    wanted = dtype == "bfloat16"
    by_policy = compiled or bool(tf.config.list_physical_devices("GPU"))
    before = tf.config.optimizer.get_experimental_options().get(_REWRITING, False)
    tf.config.optimizer.set_experimental_options({_REWRITING: wanted and not by_policy})
    token = _POLICY.set("mixed_bfloat16" if wanted and by_policy else "float32")
    try:
        yield
    finally:
        _POLICY.reset(token)
        tf.config.optimizer.set_experimental_options({_REWRITING: before})


@contextmanager
def policy_of(layers: Sequence[keras.layers.Layer]) -> Iterator[None]:
    """Give layers, and those within them, the policy of the block they are called in.

    Their weights are float32 already, and stay so; what they return is of the policy's type.
    """
    policy = _POLICY.get()
    within = [inner for layer in layers for inner in _flat(layer)] if policy != "float32" else []
    before = [layer.dtype_policy for layer in within]
    try:
        for layer in within:
            layer.dtype_policy = policy
        yield
    finally:
        for layer, old in zip(within, before, strict=True):
            layer.dtype_policy = old


def _flat(layer: Any) -> Sequence[keras.layers.Layer]:
    found: Sequence[keras.layers.Layer] = list(layer._flatten_layers())
    return found
