"""XLNet's two streams, over the layers of KerasHub's backbone."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class XLNetStreams(keras.layers.Layer):
    """Reads sequences by two-stream relative attention.

    The content stream reads a token and what may be seen from it. The query stream predicts
    a token: it knows the place, and what comes before in a factorisation order, but not the
    token itself.

    Weights and layers are KerasHub's; only the wiring between them is ours. That of
    `XLNetBackbone` (0.32) reshapes positions and padding mask where it should transpose
    them, so a sequence reads otherwise beside others than alone, and it knows no order.

    Args:
        backbone: a KerasHub `XLNetBackbone`.

    Reference:
        Yang et al. 2019, arXiv:1906.08237, section 2.3 and appendix A.2.
    """

    def __init__(self, backbone: Any) -> None:
        """Take the backbone whose layers are called."""
        super().__init__(name="xlnet_streams")
        self.backbone = backbone

    def call(
        self,
        token_ids: tf.Tensor,
        segment_ids: tf.Tensor,
        padding_mask: tf.Tensor,
        order: tf.Tensor | None = None,
        targets: tf.Tensor | None = None,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Encode sequences, and predict targets of them.

        Args:
            token_ids: int32 [batch, length].
            segment_ids: int32 [batch, length]. Attention asks only which are equal.
            padding_mask: int32 [batch, length], 0 is padding.
            order: int32 [batch, length], each token's place in the factorisation order; -1
                for the context, which all see. When not given all is context.
            targets: float32 [batch, slots, length], which token a slot predicts (one-hot).
            training: whether dropout is on; the layers take it from Keras' call context.

        Returns:
            The content stream, float32 [batch, length, width]; the query stream, float32
            [batch, slots, width], or None where there are no targets.
        """
        embedding = self.backbone.content_query_embedding
        shape = tf.shape(token_ids)
        content = embedding.dropout_layer(embedding.word_embed(token_ids))
        query = None if targets is None else self._start(shape[0], tf.shape(targets)[1])
        distances = self._distances(shape[0], shape[1])
        seen_by_content, seen_by_query = visible(padding_mask, order)
        for layer in self.backbone.transformer_layers:
            content, query = layer(
                output_content=content,
                output_query=query,
                attn_mask_content=seen_by_content,
                attn_mask_query=seen_by_query,
                pos_emb=distances,
                seg_mat=segment_ids[:, :, None] != segment_ids[:, None, :],
                target_mapping=targets,
            )
        dropout = self.backbone.get_layer("dropout")
        return dropout(content), None if query is None else dropout(query)

    def _start(self, batch: tf.Tensor, slots: tf.Tensor) -> tf.Tensor:
        """Where each query begins, one trained vector: float32 [batch, slots, width]."""
        vector = tf.convert_to_tensor(self.backbone.attn_mask_layer.mask_emb)  # [1, 1, width]
        embedding = self.backbone.content_query_embedding
        return embedding.dropout_layer(tf.tile(vector, [batch, slots, 1]))

    def _distances(self, batch: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        """Sinusoids of distances, length to 1 - length: float32 [batch, 2 * length, width]."""
        embedding = self.backbone.content_query_embedding
        waves = embedding.relative_positional_encoding(length, length, 1)  # [2 * length, 1, width]
        waves = tf.repeat(tf.transpose(waves, [1, 0, 2]), batch, axis=0)
        return embedding.dropout_layer(waves)  # [batch, 2 * length, width]


def visible(padding_mask: tf.Tensor, order: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    """Tell which tokens (last axis) each place sees: bool [batch, length, length] twice.

    The content stream of a token sees the context, what comes before it in the order, and
    itself; its query stream the same without itself. See `XLNetStreams.call` for arguments.
    """
    order = -tf.ones_like(padding_mask) if order is None else order
    there = (padding_mask != 0)[:, None, :]  # [batch, 1, length]
    context = (order < 0)[:, None, :]  # [batch, 1, length]
    before = order[:, None, :] < order[:, :, None]  # [batch, length, length]
    seen_by_query = there & (context | before)
    # Padding sees itself too: a softmax over nothing would be a mean over all.
    itself = tf.eye(tf.shape(order)[1], dtype=tf.bool)[None]  # [1, length, length]
    return seen_by_query | itself, seen_by_query
