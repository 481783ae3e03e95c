"""A frozen encoder with few weights of its own to train: LoRA, adapters or prefixes.

Each starts as if it were not there, so that a tuning begins where the pretraining ended.

References:
    Hu et al. 2021, "LoRA", arXiv:2106.09685.
    Houlsby et al. 2019, arXiv:1902.00751 (bottleneck adapters).
    Li & Liang 2021, "Prefix-Tuning", arXiv:2101.00190.
    Zhang et al. 2023, "LLaMA-Adapter", arXiv:2303.16199 (a prefix behind a gate at 0).
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class Adapter(keras.layers.Layer):
    """A bottleneck beside the identity: x + up(gelu(down(x))).

    Args:
        width: of the states.
        rank: of the bottleneck.
    """

    def __init__(self, width: int, rank: int, *, name: str) -> None:
        """Make both projections; the second starts at 0."""
        super().__init__(name=name)
        start = keras.initializers.TruncatedNormal(stddev=0.02)
        self.down = keras.layers.Dense(
            rank, activation="gelu", kernel_initializer=start, name="down"
        )
        self.up = keras.layers.Dense(width, kernel_initializer="zeros", name="up")
        self.down.build((None, width))
        self.up.build((None, rank))
        self.built = True

    def call(self, states: tf.Tensor) -> tf.Tensor:
        """Adapt states: float32 [..., width] to the same."""
        return states + self.up(self.down(states))


class Prefix(keras.layers.Layer):
    """Learnt keys and values that every token also attends to.

    They have a softmax of their own, times the tanh of a gate that starts at 0: with a
    common softmax even fresh ones would take attention from the tokens.

    Args:
        heads: of the attention.
        size: of a head.
        rank: how many keys.
    """

    def __init__(self, heads: int, size: int, rank: int, *, name: str) -> None:
        """Make keys, values and a gate for each head."""
        super().__init__(name=name)
        for part in ("keys", "values"):
            start = keras.initializers.RandomNormal(stddev=0.02)
            weight = self.add_weight(shape=(rank, heads, size), initializer=start, name=part)
            setattr(self, part, weight)
        self.gate = self.add_weight(shape=(heads,), initializer="zeros", name="gate")
        self._scale = size**-0.5
        self.built = True

    def call(self, queries: tf.Tensor) -> tf.Tensor:
        """What the queries take from the prefix: float32 [batch, length, heads, size]."""
        keys, values, gate = (tf.convert_to_tensor(x) for x in (self.keys, self.values, self.gate))
        logits = tf.einsum("blhd,phd->bhlp", queries, keys) * self._scale
        taken = tf.einsum("bhlp,phd->blhd", tf.nn.softmax(logits), values)
        return taken * tf.tanh(gate)[:, None]


class _Behind:
    """A layer, and an adapter behind it.

    No Keras layer: the backbone would track the adapter, and its weights would stand in
    another order than those of an encoder without one.
    """

    def __init__(self, layer: Any, adapter: Adapter) -> None:
        self._layer, self._adapter = layer, adapter

    def __call__(self, states: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        made = self._layer(states, training=training)
        return tf.cast(self._adapter(made), made.dtype)  # the adapter computes in float32


class _Prefixed:
    """A self-attention, and what its queries take from a prefix, through its output layer."""

    def __init__(self, attention: Any, prefix: Prefix) -> None:
        self._attention, self._prefix = attention, prefix

    def __call__(self, query: tf.Tensor, value: tf.Tensor, **options: Any) -> tf.Tensor:
        attended = self._attention(query=query, value=value, **options)
        taken = self._prefix(self._attention.query_dense(query))  # [batch, length, heads, size]
        # The output layer is linear: its bias is in `attended` already.
        output = tf.cast(self._attention.output_dense.kernel, taken.dtype)  # [heads, size, width]
        return attended + tf.cast(tf.einsum("blhd,hdw->blw", taken, output), attended.dtype)


def add_lora(backbone: Any, rank: int) -> list[Any]:
    """Add low-rank changes to all dense layers and the token embedding; return the weights."""
    layers = [
        layer
        for block in backbone.transformer_layers
        for layer in block._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.Dense | keras.layers.EinsumDense)
    ]
    added = []
    for layer in (*layers, backbone.token_embedding):
        before = {id(variable) for variable in layer.variables}
        layer.enable_lora(rank)
        added += [variable for variable in layer.variables if id(variable) not in before]
    return added


def add_adapters(backbone: Any, rank: int) -> list[Any]:
    """Put an adapter behind each attention and each feed-forward; return them."""
    adapters: list[Any] = []
    for number, block in enumerate(backbone.transformer_layers):
        for part in ("self_attention", "feedforward"):
            adapter = Adapter(backbone.hidden_dim, rank, name=f"adapter_{number}_{part}")
            # Behind the dropout, before the sum with what came in: Houlsby et al., figure 2.
            dropout = getattr(block, f"_{part}_dropout")
            setattr(block, f"_{part}_dropout", _Behind(dropout, adapter))
            adapters.append(adapter)
    return adapters


def add_prefixes(backbone: Any, rank: int) -> list[Any]:
    """Give each self-attention a prefix of `rank` keys and values; return them."""
    heads = backbone.num_heads
    prefixes: list[Any] = []
    for number, block in enumerate(backbone.transformer_layers):
        prefix = Prefix(heads, backbone.hidden_dim // heads, rank, name=f"prefix_{number}")
        block._self_attention_layer = _Prefixed(block._self_attention_layer, prefix)
        prefixes.append(prefix)
    return prefixes
