"""Contrast: what belongs together is told from what else is in the batch."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.batching import Batch
from ssrec_tf.config import PretrainConfig
from ssrec_tf.encoders import Encoder, exact_gelu
from ssrec_tf.objectives.behaviour_window import BehaviourWindow
from ssrec_tf.objectives.views import Augmenter
from ssrec_tf.text_table import TextTable

_BLOCKED = -1e9


class NextText(keras.Model):
    """Tell the next item's text from those of the other behaviours of the batch.

    Only words are read of the next item, not its own token: an item that nobody has seen
    can be found by them. Frequent items are often someone's negative; a logit is lowered
    by the log of the item's share of the train rows, which undoes it.

    References:
        van den Oord et al. 2018, arXiv:1807.03748 (InfoNCE).
        Yi et al. 2019, "Sampling-bias-corrected neural modeling" (the logQ correction).
    """

    def __init__(self, encoder: Encoder, text: TextTable, config: PretrainConfig) -> None:
        """Build both projections; `text` gives the tokens of a batch's references."""
        super().__init__(name="next_text")
        self.encoder, self.text = encoder, text
        self.window = BehaviourWindow(text, config, encoder.max_length)
        self.query = projection(encoder.width, "query")
        self.key = projection(encoder.width, "key")
        self._temperature = config.tasks.temperature
        counts = np.maximum(text.item_counts, 1).astype(np.float64)
        self._log_share = tf.constant(np.log(counts / counts.sum()), tf.float32)  # [items + 1]

    def pairs(self, batch: Batch, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Part windows into all but the newest event, and that, by (batch, seed).

        Returns:
            Tokens of the behaviours, int32 [batch, length]; the next items, int32 [batch],
            and their weights, float32: 0 where no event is left before it.
        """
        events = self.window.draw(batch, seed)
        count = tf.reduce_sum(tf.cast(events.items != 0, tf.int32), axis=1)  # [batch]
        newest = tf.maximum(count - 1, 0)  # [batch]
        items = tf.gather(events.items, newest, batch_dims=1)  # [batch]
        before = tf.range(self.window.events)[None, :] < newest[:, None]  # [batch, events]
        tokens = self.window.tokens(self.window.user(batch, seed), events.only(before))
        return tokens, items, tf.cast(count > 1, tf.float32)

    def losses_of(self, batch: Batch, *, seed: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Mean cross-entropy of the next item among those of the batch.

        See `training.Trainable`.

        Returns:
            Scalars: `loss`, and `accuracy` to look at.
        """
        tokens, items, weights = self.pairs(batch, seed)
        _, behaviour = self.encoder(tokens, training=training)  # [batch, width]
        _, texts = self.encoder(self.window.item(items, seed), training=training)  # [batch, width]
        queries, keys, items, weights = (
            replicas.gather_rows(rows)
            for rows in (unit(self.query(behaviour)), unit(self.key(texts)), items, weights)
        )
        logits = in_batch_logits(
            queries,
            keys,
            items,
            tf.gather(self._log_share, items),  # [batch]
            self._temperature,
        )
        return _diagonal_losses(logits, weights)


class TwoViews(keras.Model):
    """Tell two views of one behaviour from the views of all others.

    A view is the window cropped, with events hidden, or reordered. The user's words are
    left out of it: they alone would tell whose it is. Views of the same user's other
    windows are neither pulled nor pushed.

    References:
        Xie et al. 2022, "CL4SRec", arXiv:2010.14395.
        Chen et al. 2020, "SimCLR", arXiv:2002.05709 (NT-Xent, the projection head).
    """

    def __init__(self, encoder: Encoder, text: TextTable, config: PretrainConfig) -> None:
        """Build the projection; `text` gives the tokens of a batch's references."""
        super().__init__(name="two_views")
        self.encoder, self.text = encoder, text
        self.window = BehaviourWindow(text, config, encoder.max_length)
        self.augment = Augmenter(text.vocabulary, config.tasks)
        self.projection = projection(encoder.width, "projection")
        self._temperature = config.tasks.temperature

    def views(self, batch: Batch, seed: tf.Tensor) -> tf.Tensor:
        """Draw two views of a window of each user: int32 [2, batch, length], by (batch, seed)."""
        seeds = replicas.split(seed, 3)  # [3, 2]
        events = self.window.draw(batch, seeds[0])
        nobody = tf.zeros_like(self.window.user(batch, seeds[0]))  # [batch, user width]
        views = [self.window.tokens(nobody, self.augment(events, seeds[i])) for i in (1, 2)]
        return tf.stack(views)

    def losses_of(self, batch: Batch, *, seed: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Mean NT-Xent loss over both views of all behaviours of the batch.

        See `training.Trainable`.

        Returns:
            Scalars: `loss`, and `accuracy` to look at.
        """
        views = self.views(batch, seed)
        tokens = tf.reshape(views, [-1, self.window.length])  # [2 * batch, length]
        _, pooled = self.encoder(tokens, training=training)  # [2 * batch, width]
        first, second = (
            replicas.gather_rows(half) for half in tf.split(unit(self.projection(pooled)), 2)
        )
        users = replicas.gather_rows(batch["user"])
        return nt_xent(tf.concat([first, second], axis=0), users, self._temperature)


def projection(width: int, name: str) -> keras.Sequential:
    """Two layers between the encoder's vectors and the contrast: [n, width] to the same."""
    head = keras.Sequential(
        [keras.layers.Dense(width, activation=exact_gelu), keras.layers.Dense(width)], name=name
    )
    head.build((None, width))
    return head


def unit(vectors: tf.Tensor) -> tf.Tensor:
    """Scale vectors to length 1: float32 [n, width]."""
    return tf.math.l2_normalize(vectors, axis=-1, epsilon=1e-9)


def in_batch_logits(
    queries: tf.Tensor, keys: tf.Tensor, items: tf.Tensor, log_share: tf.Tensor, temperature: float
) -> tf.Tensor:
    """Score each behaviour with each item of the batch: float32 [batch, batch].

    Args:
        queries: float32 [batch, width], of length 1.
        keys: the same, of the items.
        items: int32 [batch]; neither the same item in another row nor 0 is a negative.
        log_share: float32 [batch], of the items, taken off their logits.
        temperature: the cosines are divided by it.
    """
    logits = tf.matmul(queries, keys, transpose_b=True) / temperature - log_share[None, :]
    blocked = (items[:, None] == items[None, :]) | (items == 0)[None, :]  # [batch, batch]
    blocked &= ~tf.eye(tf.shape(items)[0], dtype=tf.bool)
    return tf.where(blocked, _BLOCKED, logits)


def nt_xent(vectors: tf.Tensor, users: tf.Tensor, temperature: float) -> dict[str, tf.Tensor]:
    """Normalized temperature-scaled cross-entropy: scalars `loss` and `accuracy`.

    Args:
        vectors: float32 [2 * batch, width], of length 1; i and batch + i are a pair.
        users: int32 [batch], whose they are.
        temperature: the cosines are divided by it.
    """
    batch = tf.shape(users)[0]
    logits = tf.matmul(vectors, vectors, transpose_b=True) / temperature
    twice = tf.concat([users, users], axis=0)  # [2 * batch]
    partner = (tf.range(2 * batch) + batch) % (2 * batch)  # [2 * batch]
    blocked = twice[:, None] == twice[None, :]  # [2 * batch, 2 * batch]
    blocked &= ~tf.one_hot(partner, 2 * batch, True, False)
    logits = tf.where(blocked, _BLOCKED, logits)
    # With the partner's column moved to the diagonal, it is the case of pairs.
    logits = tf.gather(logits, partner, axis=1)  # [2 * batch, 2 * batch]
    return _diagonal_losses(logits, tf.ones_like(twice, tf.float32))


def _diagonal_losses(logits: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
    """Loss and accuracy of finding the diagonal: [n, n] logits, [n] weights of the rows."""
    truth = tf.range(tf.shape(weights)[0])
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(truth, logits)
    right = tf.cast(tf.argmax(logits, axis=1, output_type=tf.int32) == truth, tf.float32)
    return {
        "loss": replicas.weighted_mean(entropy, weights),
        "accuracy": replicas.weighted_mean(right, weights),
    }
