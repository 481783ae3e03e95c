"""Permutation language modelling: tokens predicted in a random order."""

from __future__ import annotations

from typing import NamedTuple

import keras
import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.batching import Batch
from ssrec_tf.config import PretrainConfig
from ssrec_tf.config_encoder import check_architecture
from ssrec_tf.encoders import Encoder
from ssrec_tf.masking import MaskingConfig, TokenMasker
from ssrec_tf.objectives.behaviour_window import BehaviourWindow
from ssrec_tf.objectives.heads import token_entropy
from ssrec_tf.text_table import TextTable


class Permuted(NamedTuple):
    """Behaviours with an order in which the last of their tokens are predicted.

    Attributes:
        token_ids: int32 [batch, length], nothing hidden.
        order: int32 [batch, length], -1 for the context, 0, 1, ... for the targets.
        positions: int32 [batch, slots], of the targets by their order; 0 if unused.
        ids: int32 [batch, slots], what stands there.
        weights: float32 [batch, slots], 0 for an unused slot.
    """

    token_ids: tf.Tensor
    order: tf.Tensor
    positions: tf.Tensor
    ids: tf.Tensor
    weights: tf.Tensor


class Permutation(keras.Model):
    """Predict the last 1/K of the tokens in a random order, each from those before it.

    No `[MASK]` is read, which serving never sees; and a target may lean on the targets
    before it, where masked tokens are guessed apart. Only the last of an order are predicted,
    the first having nothing to go by. Special tokens are always context. The output weights
    are the token embedding's.

    Reference:
        Yang et al. 2019, arXiv:1906.08237, sections 2.2 and 2.3.
    """

    def __init__(self, encoder: Encoder, text: TextTable, config: PretrainConfig) -> None:
        """Take an XLNet; `text` gives the tokens of a batch's references.

        Raises:
            ConfigError: the encoder has no second stream to predict with.
        """
        super().__init__(name="permutation")
        check_architecture(encoder.architecture, [self.name])
        self.encoder, self.text = encoder, text
        self.window = BehaviourWindow(text, config, encoder.max_length)
        self._smoothing = config.regularisation.label_smoothing
        rate = 1.0 / config.tasks.prediction_k
        slots = max(1, round(self.window.length * rate))
        # Chosen in random order, as masked tokens are, but neither masked nor replaced.
        chosen = MaskingConfig(rate, slots, config.whole_word, mask_share=0.0, random_share=0.0)
        self._choose = TokenMasker(text.vocabulary, chosen)
        size = text.vocabulary.size
        self.bias = self.add_weight(shape=(size,), initializer="zeros", name="bias")
        self.built = True

    def permuted(self, batch: Batch, seed: tf.Tensor) -> Permuted:
        """Assemble and draw an order, as a function of (batch, seed)."""
        seeds = replicas.split(seed, 2)  # [2, 2]
        user = self.window.user(batch, seeds[0])
        tokens = self.window.tokens(user, self.window.draw(batch, seeds[0]))
        chosen = self._choose(tokens, seed=seeds[1])
        at = tf.one_hot(chosen.mask_positions, self.window.length, dtype=tf.int32)
        at *= tf.cast(chosen.mask_weights, tf.int32)[..., None]  # [batch, slots, length]
        place = 1 + tf.range(tf.shape(at)[1])[None, :, None]  # [1, slots, 1]
        order = tf.reduce_max(at * place, axis=1) - 1  # [batch, length]
        return Permuted(tokens, order, chosen.mask_positions, chosen.mask_ids, chosen.mask_weights)

    def call(self, permuted: Permuted, training: bool = False) -> tf.Tensor:
        """Logits of the targets: float32 [batch, slots, vocabulary]."""
        tokens = permuted.token_ids
        targets = tf.one_hot(permuted.positions, tf.shape(tokens)[1])  # [batch, slots, length]
        _, states = self.encoder.streams(
            tokens,
            tf.zeros_like(tokens),
            tf.cast(tokens != self.encoder.vocabulary.pad_id, tf.int32),
            order=permuted.order,
            targets=targets * permuted.weights[..., None],
            training=training,
        )  # [batch, slots, width]
        table = tf.convert_to_tensor(self.encoder.token_embedding.embeddings)
        return tf.tensordot(states, table, [[-1], [1]]) + tf.convert_to_tensor(self.bias)

    def losses_of(self, batch: Batch, *, seed: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Mean cross-entropy and accuracy over the targets of a batch.

        See `training.Trainable`.

        Returns:
            Scalars: `loss`, and `permutation_accuracy`, `perplexity` to look at.
        """
        permuted = self.permuted(batch, seed)
        logits = self(permuted, training=training)
        entropy = token_entropy(permuted.ids, logits, self._smoothing if training else 0.0)
        loss = replicas.weighted_mean(entropy, permuted.weights)
        right = tf.argmax(logits, axis=2, output_type=tf.int32) == permuted.ids
        return {
            "loss": loss,
            "permutation_accuracy": replicas.weighted_mean(
                tf.cast(right, tf.float32), permuted.weights
            ),
            "perplexity": tf.exp(tf.minimum(replicas.mean(loss), 20.0)),
        }
