"""Filling hidden tokens in: what the objectives that hide tokens share."""

from __future__ import annotations

import keras
import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.batching import Batch
from ssrec_tf.config import PretrainConfig
from ssrec_tf.config_encoder import check_architecture
from ssrec_tf.encoders import Encoder
from ssrec_tf.masking import MaskedBatch
from ssrec_tf.objectives.behaviour_window import BehaviourWindow
from ssrec_tf.objectives.heads import token_entropy, token_head
from ssrec_tf.text_table import TextTable


class Filling(keras.Model):
    """Predicts hidden tokens; a subclass says which are hidden.

    The output weights are the token embedding's.
    """

    def __init__(
        self, encoder: Encoder, text: TextTable, config: PretrainConfig, *, name: str
    ) -> None:
        """Build the head over `encoder`; `text` gives the tokens of a batch's references.

        Raises:
            ConfigError: the encoder sees only what stands before a gap.
        """
        super().__init__(name=name)
        check_architecture(encoder.architecture, [name])
        self.encoder, self.text = encoder, text
        self.head = token_head(encoder)
        self.window = BehaviourWindow(text, config, encoder.max_length)
        self._smoothing = config.regularisation.label_smoothing

    def masked(self, batch: Batch, seed: tf.Tensor) -> MaskedBatch:
        """Assemble and hide, as a function of (batch, seed)."""
        raise NotImplementedError

    def call(self, masked: MaskedBatch, training: bool = False) -> tf.Tensor:
        """Logits of the hidden tokens: float32 [batch, masks, vocabulary]."""
        states, _ = self.encoder(masked.token_ids, training=training)
        return self.head(states, mask_positions=masked.mask_positions)

    def losses_of(self, batch: Batch, *, seed: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Mean cross-entropy and accuracy over the hidden tokens of a batch.

        See `training.Trainable`.

        Returns:
            Scalars: `loss`, and `<name>_accuracy`, `perplexity` to look at.
        """
        masked = self.masked(batch, seed)
        logits = self(masked, training=training)
        entropy = token_entropy(masked.mask_ids, logits, self._smoothing if training else 0.0)
        loss = replicas.weighted_mean(entropy, masked.mask_weights)
        best = tf.argmax(logits, axis=-1, output_type=tf.int32)  # [batch, masks]
        right = tf.cast(best == masked.mask_ids, tf.float32)
        return {
            "loss": loss,
            f"{self.name}_accuracy": replicas.weighted_mean(right, masked.mask_weights),
            "perplexity": tf.exp(tf.minimum(replicas.mean(loss), 20.0)),
        }
