"""Masked-token prediction on rendered behaviour."""

from __future__ import annotations

import keras
import keras_hub
import tensorflow as tf

from ssrec_tf.batching import Batch
from ssrec_tf.config import PretrainConfig
from ssrec_tf.encoders import Encoder
from ssrec_tf.masking import MaskedBatch, MaskingConfig, TokenMasker
from ssrec_tf.sequences import Assembler
from ssrec_tf.text_table import TextTable


class MaskedToken(keras.Model):
    """Hide tokens of a user's behaviour and predict them.

    Masking words teaches the language of the catalogue; masking an item's own token,
    what goes together; masking a rating token, taste. The output weights are the token
    embedding's.

    Reference:
        Devlin et al. 2019, arXiv:1810.04805, section 3.1.
    """

    def __init__(self, encoder: Encoder, text: TextTable, config: PretrainConfig) -> None:
        """Build the head over `encoder`; `text` gives the tokens of a batch's references."""
        super().__init__(name="masked_token")
        self.encoder = encoder
        self.head = keras_hub.layers.MaskedLMHead(
            token_embedding=encoder.token_embedding,
            intermediate_activation=lambda x: keras.activations.gelu(x, approximate=False),
            activation=None,
            name="masked_lm_head",
        )
        self._config = config
        self._length = min(config.sequence_length, encoder.max_length)
        masks = max(1, round(self._length * config.mask_rate))
        masking = MaskingConfig(config.mask_rate, masks, config.whole_word)
        self._masker = TokenMasker(text.vocabulary, masking)
        self._assembler = Assembler(text.vocabulary)
        self.text = text
        self._vocabulary = text.vocabulary
        self._item_tokens = tf.constant(text.item_tokens)  # [items + 1, item width]
        self._user_tokens = tf.constant(text.user_tokens)  # [users + 1, user width]
        self._own_tokens = tf.constant(text.item_token_ids)  # [items + 1]

    def tokens(self, batch: Batch, seed: tf.Tensor) -> tf.Tensor:
        """Lay a window of each user's behaviour out as tokens: int32 [batch, length].

        The window ends at a random event, so that all of a long log is read in time.
        An item's own token is dropped at random, so that its words alone must do.
        """
        window_seed, drop_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
        items, ratings = batch["history_items"], batch["history_ratings"]  # [batch, history]
        items, ratings = _window(items, ratings, self._window_events(), window_seed)
        own = tf.gather(self._own_tokens, items)  # [batch, events]
        dropped = (
            tf.random.stateless_uniform(tf.shape(own), drop_seed) < self._config.item_token_dropout
        )
        own = tf.where(dropped, self._vocabulary.item_id, own)
        words = tf.gather(self._item_tokens, items)  # [batch, events, item width]
        stars = self._assembler.rating_tokens(ratings)  # [batch, events]
        events = tf.concat([stars[..., None], own[..., None], words], axis=2)
        events *= tf.cast(items != 0, tf.int32)[..., None]
        users = tf.gather(self._user_tokens, batch["user"])  # [batch, user width]
        return self._assembler.behaviour(users, events, self._length).token_ids

    def masked(self, batch: Batch, seed: tf.Tensor) -> MaskedBatch:
        """Assemble and hide, as a function of (batch, seed)."""
        seeds = tf.random.experimental.stateless_split(seed, 2)  # [2, 2]
        return self._masker(self.tokens(batch, seeds[0]), seed=seeds[1])

    def call(self, masked: MaskedBatch, training: bool = False) -> tf.Tensor:
        """Logits of the hidden tokens: float32 [batch, masks, vocabulary]."""
        states, _ = self.encoder(masked.token_ids, training=training)
        return self.head(states, mask_positions=masked.mask_positions)

    def losses_of(self, batch: Batch, *, seed: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Mean cross-entropy and accuracy over the hidden tokens of a batch.

        Args:
            batch: of `ssrec_tf.batching`.
            seed: int64 [2], (run seed, step).
            training: whether dropout is on.

        Returns:
            Scalars: `loss`, and `masked_token_accuracy`, `perplexity` to look at.
        """
        masked = self.masked(batch, seed)
        logits = self(masked, training=training)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(masked.mask_ids, logits)
        weight = tf.maximum(tf.reduce_sum(masked.mask_weights), 1.0)
        loss = tf.reduce_sum(entropy * masked.mask_weights) / weight
        best = tf.argmax(logits, axis=-1, output_type=tf.int32)  # [batch, masks]
        right = tf.cast(best == masked.mask_ids, tf.float32) * masked.mask_weights
        return {
            "loss": loss,
            "masked_token_accuracy": tf.reduce_sum(right) / weight,
            "perplexity": tf.exp(tf.minimum(loss, 20.0)),
        }

    def _window_events(self) -> int:
        """Events that surely fill a sequence; more would be cut off again."""
        return max(1, min(self._length // 4, 32))


def _window(
    items: tf.Tensor, ratings: tf.Tensor, events: int, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Take `events` consecutive events that end at a random place of each history."""
    shape = tf.shape(items)
    count = tf.reduce_sum(tf.cast(items != 0, tf.int32), axis=1)  # [batch]
    latest = tf.maximum(count - events, 0)  # [batch], the last possible start
    draw = tf.random.stateless_uniform([shape[0]], seed)  # [batch]
    start = tf.cast(draw * tf.cast(latest + 1, tf.float32), tf.int32)  # [batch]
    place = start[:, None] + tf.range(tf.minimum(events, shape[1]))[None, :]  # [batch, events]
    place = tf.minimum(place, shape[1] - 1)
    inside = tf.cast(place < count[:, None], tf.int32)
    return (
        tf.gather(items, place, batch_dims=1) * inside,  # [batch, events]
        tf.gather(ratings, place, batch_dims=1),  # [batch, events]
    )
