"""The next token, from the tokens before it: autoregression on rendered behaviour."""

from __future__ import annotations

import keras
import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.batching import Batch
from ssrec_tf.config import PretrainConfig
from ssrec_tf.config_encoder import check_architecture
from ssrec_tf.encoders import Encoder
from ssrec_tf.masking import is_maskable
from ssrec_tf.objectives.behaviour_window import BehaviourWindow
from ssrec_tf.objectives.heads import token_entropy
from ssrec_tf.text_table import TextTable


class NextToken(keras.Model):
    """Predict each token of a user's behaviour from those before it.

    What an item's own token, a rating token or a word follows from is all the events before,
    so one pass teaches what comes next, taste and language at once. The output weights are
    the token embedding's.

    References:
        Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training",
        section 3.1.
        Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
    """

    def __init__(self, encoder: Encoder, text: TextTable, config: PretrainConfig) -> None:
        """Take a causal encoder; `text` gives the tokens of a batch's references.

        Raises:
            ConfigError: the encoder sees the tokens that are to be predicted.
        """
        super().__init__(name="next_token")
        check_architecture(encoder.architecture, [self.name])
        self.encoder, self.text = encoder, text
        self.window = BehaviourWindow(text, config, encoder.max_length)
        self._smoothing = config.regularisation.label_smoothing
        self._asked = tf.constant(is_maskable(text.vocabulary), tf.float32)  # [vocabulary]

    def tokens(self, batch: Batch, seed: tf.Tensor) -> tf.Tensor:
        """Lay a window of each user's behaviour out as tokens: int32 [batch, length]."""
        return self.window.tokens(self.window.user(batch, seed), self.window.draw(batch, seed))

    def call(self, token_ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Logits of what follows each token: [batch, length] to [batch, length, vocabulary]."""
        states, _ = self.encoder(token_ids, training=training)
        return self.encoder.token_embedding(states, reverse=True)

    def losses_of(self, batch: Batch, *, seed: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Mean cross-entropy and accuracy over the tokens of a batch, but for the first.

        Special tokens are read and not asked for: they are the layout's, not the user's.
        See `training.Trainable`.

        Returns:
            Scalars: `loss`, and `next_token_accuracy`, `perplexity` to look at.
        """
        tokens = self.tokens(batch, seed)
        following = tokens[:, 1:]  # [batch, length - 1]
        logits = self(tokens[:, :-1], training=training)  # [batch, length - 1, vocabulary]
        weights = tf.gather(self._asked, following)  # [batch, length - 1]
        entropy = token_entropy(following, logits, self._smoothing if training else 0.0)
        loss = replicas.weighted_mean(entropy, weights)
        right = tf.argmax(logits, axis=2, output_type=tf.int32) == following
        return {
            "loss": loss,
            "next_token_accuracy": replicas.weighted_mean(tf.cast(right, tf.float32), weights),
            "perplexity": tf.exp(tf.minimum(replicas.mean(loss), 20.0)),
        }
