"""What objectives put on top of the encoder's states, and the sums they share."""

from __future__ import annotations

from typing import Any

import keras
import keras_hub
import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.config_objectives import TaskConfig
from ssrec_tf.encoders import Encoder, exact_gelu


def token_head(encoder: Encoder) -> Any:
    """BERT's masked-token head; its output weights are the token embedding's."""
    if not isinstance(encoder.token_embedding, keras.layers.ReversibleEmbedding):  # XLNet's
        return RowsHead(encoder, 0, encoder.vocabulary.size, name="masked_lm_head")
    return keras_hub.layers.MaskedLMHead(
        token_embedding=encoder.token_embedding,
        intermediate_activation=exact_gelu,
        activation=None,
        name="masked_lm_head",
    )


class RowsHead(keras.layers.Layer):
    """Scores states against a stretch of the token embedding's rows.

    As BERT's masked-token head, but only over the items' tokens, or the ratings'.

    Args:
        encoder: its token embedding holds the rows.
        first: the first row.
        count: how many rows.
    """

    def __init__(self, encoder: Encoder, first: int, count: int, *, name: str) -> None:
        """Make the transformation and the rows' biases."""
        super().__init__(name=name)
        self._embedding, self._first, self.count = encoder.token_embedding, first, count
        self.dense = keras.layers.Dense(encoder.width, activation=exact_gelu, name="dense")
        self.norm = keras.layers.LayerNormalization(epsilon=1e-12, name="norm")
        self.dense.build((None, encoder.width))
        self.norm.build((None, encoder.width))
        self.bias = self.add_weight(shape=(count,), initializer="zeros", name="bias")
        self.built = True

    def rows(self) -> tf.Tensor:
        """The rows: float32 [count, width]."""
        table = tf.convert_to_tensor(self._embedding.embeddings)
        return table[self._first : self._first + self.count]

    def transform(self, states: tf.Tensor) -> tf.Tensor:
        """Ready states to meet rows: float32 [..., width] to the same."""
        return self.norm(self.dense(states))

    def call(self, states: tf.Tensor, mask_positions: tf.Tensor | None = None) -> tf.Tensor:
        """Logits of all rows: float32 [..., width] to [..., count].

        With `mask_positions`, int32 [batch, masks], as `MaskedLMHead`: of the states there.
        """
        if mask_positions is not None:
            states = tf.gather(states, mask_positions, batch_dims=1)  # [batch, masks, width]
        logits = tf.tensordot(self.transform(states), self.rows(), [[-1], [1]])  # [..., count]
        return logits + tf.convert_to_tensor(self.bias)

    def score(self, states: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        """Logits of a few rows each: [..., width] and int32 [..., k] to float32 [..., k]."""
        rows = tf.gather(self.rows(), classes)  # [..., k, width]
        bias = tf.gather(tf.convert_to_tensor(self.bias), classes)  # [..., k]
        return tf.einsum("...d,...kd->...k", self.transform(states), rows) + bias


class ItemHead(RowsHead):
    """Predicts an item among all that have a token, by a loss over all or over drawn ones."""

    def __init__(self, encoder: Encoder, config: TaskConfig) -> None:
        """Score the item tokens' rows."""
        vocabulary = encoder.vocabulary
        super().__init__(encoder, vocabulary.first_item_id, vocabulary.num_items, name="item_head")
        self._config = config

    def losses_of(
        self, states: tf.Tensor, classes: tf.Tensor, weights: tf.Tensor, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Loss and accuracy of predicting items from states.

        Args:
            states: float32 [batch, slots, width].
            classes: int32 [batch, slots], the items' numbers among those with a token.
            weights: float32 [batch, slots], 0 for an unused slot.
            seed: of the draw of negatives.

        Returns:
            Scalars: `loss`; `accuracy`, how often the item scores above all others looked
            at: these are only the drawn ones unless `item_loss` is `softmax`.
        """
        kind, truth = self._config.item_loss, classes
        if kind == "softmax":
            logits = self(states)  # [batch, slots, items]
        else:
            k = min(self._config.negatives, self.count - 1)
            drawn = draw_negatives(classes, k, self.count, seed)  # [batch, slots, k]
            looked_at = tf.concat([classes[..., None], drawn], axis=2)  # [batch, slots, 1 + k]
            logits, truth = self.score(states, looked_at), tf.zeros_like(classes)
        right = tf.argmax(logits, axis=2, output_type=tf.int32) == truth
        if kind == "gbce":
            loss = gbce(logits, self.count, self._config.calibration)
        elif kind == "sampled_softmax":
            loss = sampled_softmax(logits, self.count)
        else:
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(truth, logits)
        right = tf.cast(right, tf.float32)
        return {
            "loss": replicas.weighted_mean(loss, weights),
            "accuracy": replicas.weighted_mean(right, weights),
        }


def token_entropy(ids: tf.Tensor, logits: tf.Tensor, smoothing: float) -> tf.Tensor:
    """Cross-entropy of tokens; a share `smoothing` of each is spread over the vocabulary.

    Args:
        ids: int32 [...].
        logits: float32 [..., vocabulary].
        smoothing: from 0, the usual cross-entropy, to 1.

    Returns:
        float32 [...].

    Reference:
        Szegedy et al. 2016, arXiv:1512.00567, section 7.
    """
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)
    if smoothing == 0:
        return entropy
    evenly = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=-1)  # [...]
    return (1.0 - smoothing) * entropy + smoothing * evenly


def draw_negatives(classes: tf.Tensor, k: int, count: int, seed: tf.Tensor) -> tf.Tensor:
    """Draw classes uniformly among all but the true one: int32 [...] to [..., k]."""
    shape = tf.concat([tf.shape(classes), [k]], axis=0)
    drawn = replicas.uniform_rows(shape, seed, 0, max(count - 1, 1), tf.int32)
    return drawn + tf.cast(drawn >= classes[..., None], tf.int32)  # steps over the true one


def sampled_softmax(logits: tf.Tensor, count: int) -> tf.Tensor:
    """Estimate the cross-entropy over all items from uniformly drawn negatives.

    Each of the k stands for (count - 1) / k items.

    Args:
        logits: float32 [..., 1 + k], the positive first.
        count: of all items.

    Returns:
        float32 [...].

    Reference:
        Jean et al. 2015, arXiv:1412.2007, section 3.
    """
    k = logits.shape[-1] - 1
    stands_for = tf.math.log(tf.cast(max(count - 1, 1) / max(k, 1), tf.float32))
    logits = tf.concat([logits[..., :1], logits[..., 1:] + stands_for], axis=-1)  # [..., 1 + k]
    return tf.reduce_logsumexp(logits, axis=-1) - logits[..., 0]


def gbce(logits: tf.Tensor, count: int, calibration: float) -> tf.Tensor:
    """Binary cross-entropy in which the positive's probability is raised to a power.

    Few negatives make a model overconfident; the power undoes it. At calibration 0 it is
    the usual binary cross-entropy, at 1 fully calibrated.

    Args:
        logits: float32 [..., 1 + k], the positive first.
        count: of all items.
        calibration: t of the paper, from 0 to 1.

    Returns:
        float32 [...], the mean over the 1 + k.

    Reference:
        Petrov & Macdonald 2023, arXiv:2308.07192.
    """
    k = logits.shape[-1] - 1
    rate = k / max(count - 1, 1)  # alpha of the paper
    power = rate * (calibration * (1.0 - 1.0 / rate) + 1.0 / rate) if k else 1.0
    positive = power * tf.nn.softplus(-logits[..., 0])
    return (positive + tf.reduce_sum(tf.nn.softplus(logits[..., 1:]), axis=-1)) / (k + 1)
