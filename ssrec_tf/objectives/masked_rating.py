"""How was it rated? The rating of some events hidden and predicted."""

from __future__ import annotations

import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.batching import Batch
from ssrec_tf.config import PretrainConfig
from ssrec_tf.encoders import Encoder
from ssrec_tf.errors import ConfigError
from ssrec_tf.objectives.behaviour_window import RATING
from ssrec_tf.objectives.heads import RowsHead
from ssrec_tf.objectives.hidden_events import HiddenEventModel
from ssrec_tf.text_table import TextTable


class MaskedRating(HiddenEventModel):
    """Hide the rating token of some events and predict it among the steps of the scale.

    The item stays, and so do the ratings around it: what is learnt is taste.

    Reference:
        Sun et al. 2019, "BERT4Rec", arXiv:1904.06690 (the cloze, there over items).
    """

    def __init__(self, encoder: Encoder, text: TextTable, config: PretrainConfig) -> None:
        """Build the head over `encoder`; `text` gives the tokens of a batch's references.

        Raises:
            ConfigError: the data have no ratings.
        """
        super().__init__(encoder, text, config, name="masked_rating", field=RATING)
        ratings = text.vocabulary.ratings
        if not ratings:
            raise ConfigError(
                "pretrain.objectives.masked_rating: the data have no ratings; leave it out"
            )
        first = text.vocabulary.first_rating_id
        self.head = RowsHead(encoder, first, len(ratings), name="rating_head")
        self._steps = tf.constant(ratings, tf.float32)  # [ratings]

    def losses_of(self, batch: Batch, *, seed: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Mean cross-entropy over the hidden ratings of a batch.

        See `training.Trainable`.

        Returns:
            Scalars: `loss`, and to look at `accuracy` and `rmse`, the error of the
            expected rating.
        """
        hidden = self.hidden(batch, seed)
        logits = self.head(self.states(hidden, training))  # [batch, slots, ratings]
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(hidden.classes, logits)
        right = tf.argmax(logits, axis=2, output_type=tf.int32) == hidden.classes
        expected = tf.einsum("bsr,r->bs", tf.nn.softmax(logits), self._steps)
        truth = tf.gather(self._steps, hidden.classes)  # [batch, slots]
        squared = replicas.mean(replicas.weighted_mean((expected - truth) ** 2, hidden.weights))
        return {
            "loss": replicas.weighted_mean(entropy, hidden.weights),
            "accuracy": replicas.weighted_mean(tf.cast(right, tf.float32), hidden.weights),
            "rmse": tf.sqrt(squared),
        }
