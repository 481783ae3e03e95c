"""The next item, from the events before it."""

from __future__ import annotations

from typing import Any

import keras
import keras_hub
import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.batching import Batch
from ssrec_tf.config import PretrainConfig
from ssrec_tf.config_objectives import TaskConfig
from ssrec_tf.encoders import Encoder, exact_gelu
from ssrec_tf.objectives.behaviour_window import BehaviourWindow, Events
from ssrec_tf.objectives.heads import ItemHead
from ssrec_tf.text_table import TextTable

_HEADS = 2


class NextItem(keras.Model):
    """Predict each event's item from the events before it.

    The encoder looks both ways, so it reads one item's text at a time, each text of the
    batch once; a small causal decoder reads the items' vectors in order. An event is the
    sum of its text's vector, the item's own token (dropped at random) and the rating.
    Predicted is an item among all that have a token of their own.

    Reference:
        Kang & McAuley 2018, "SASRec", arXiv:1808.09781; there an item is its id alone.
    """

    def __init__(self, encoder: Encoder, text: TextTable, config: PretrainConfig) -> None:
        """Build the decoder and the head; `text` gives the tokens of a batch's references."""
        super().__init__(name="next_item")
        self.encoder, self.text = encoder, text
        self.window = BehaviourWindow(text, config, encoder.max_length)
        self.head = ItemHead(encoder, config.tasks)
        self.place = keras_hub.layers.PositionEmbedding(self.window.events, name="place")
        self.norm = keras.layers.LayerNormalization(epsilon=1e-12, name="norm")
        self.place.build((None, self.window.events, encoder.width))
        self.norm.build((None, self.window.events, encoder.width))
        self.decoder = [
            _decoder(encoder.width, i, config.tasks) for i in range(config.tasks.layers)
        ]
        for layer in self.decoder:
            layer.build((None, self.window.events, encoder.width))
        self._texts = min(config.tasks.texts, len(text.item_tokens))

    def distinct(self, items: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Find the items of a batch, each once; where they are too many, some by chance.

        Args:
            items: int32 [batch, events], 0 is padding.
            seed: of the draw.

        Returns:
            References, int32 [texts], 0 for an unused place; and where each event's item
            stands among them, int32 [batch, events], -1 for nowhere.
        """
        catalogue = len(self.text.item_tokens)
        flat = tf.reshape(items, [-1, 1])  # [batch * events, 1]
        seen = tf.scatter_nd(flat, tf.ones_like(flat[:, 0]), [catalogue]) > 0  # [items + 1]
        seen &= tf.range(catalogue) > 0
        score = replicas.uniform([catalogue], seed) + tf.cast(seen, tf.float32)
        _, found = tf.math.top_k(score, self._texts)  # [texts], those seen first
        found = tf.where(tf.gather(seen, found), found, 0)  # [texts]
        place = tf.tensor_scatter_nd_max(
            tf.fill([catalogue], -1), found[:, None], tf.range(self._texts)
        )  # [items + 1]
        return found, tf.where(items > 0, tf.gather(place, items), -1)

    def states_of(self, events: Events, seed: tf.Tensor, training: bool) -> tf.Tensor:
        """State behind each event, of it and those before it: float32 [batch, events, width]."""
        found, place = self.distinct(events.items, seed)
        _, texts = self.encoder(self.window.item(found, seed), training=training)  # [texts, width]
        there = place >= 0  # [batch, events]
        said = tf.gather(texts, tf.maximum(place, 0))  # [batch, events, width]
        own = self.encoder.token_embedding(events.own)  # [batch, events, width]
        stars = self.encoder.token_embedding(events.stars)  # [batch, events, width]
        states = (said + own + stars) * tf.cast(there, tf.float32)[..., None]
        states = self.norm(states + self.place(states))
        for layer in self.decoder:
            states = layer(
                states, decoder_padding_mask=there, use_causal_mask=True, training=training
            )
        return states

    def losses_of(self, batch: Batch, *, seed: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Mean loss over all next items of a batch: `loss`, and `accuracy` to look at.

        See `training.Trainable`.
        """
        seeds = replicas.split(seed, 3)  # [3, 2]
        events = self.window.draw(batch, seeds[0])
        states = self.states_of(events, seeds[1], training)
        following = events.items[:, 1:]  # [batch, events - 1]
        first = self.window.vocabulary.first_item_id
        classes = self.window.own_tokens(following) - first  # [batch, events - 1]
        weights = tf.cast((following != 0) & (classes >= 0), tf.float32)
        return self.head.losses_of(states[:, :-1], tf.maximum(classes, 0), weights, seeds[2])


def _decoder(width: int, number: int, config: TaskConfig) -> Any:
    return keras_hub.layers.TransformerDecoder(
        intermediate_dim=4 * width,
        num_heads=_HEADS,
        dropout=config.dropout,
        activation=exact_gelu,
        name=f"decoder_{number}",
    )
