"""The cloze over items: which item stood here?"""

from __future__ import annotations

import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.batching import Batch
from ssrec_tf.config import PretrainConfig
from ssrec_tf.encoders import Encoder
from ssrec_tf.objectives.behaviour_window import OWN
from ssrec_tf.objectives.heads import ItemHead
from ssrec_tf.objectives.hidden_events import HiddenEventModel
from ssrec_tf.text_table import TextTable


class MaskedItem(HiddenEventModel):
    """Hide the items of some events, words and all, and predict which they were.

    One `[MASK]` stands for an item, so that not even its number of words shows; its rating
    stays. Predicted is an item among all that have a token of their own: an item that no
    train row knows is never the answer.

    References:
        Sun et al. 2019, "BERT4Rec", arXiv:1904.06690.
        Petrov & Macdonald 2023, arXiv:2308.07192 (`item_loss: gbce`).
    """

    def __init__(self, encoder: Encoder, text: TextTable, config: PretrainConfig) -> None:
        """Build the head over `encoder`; `text` gives the tokens of a batch's references."""
        super().__init__(encoder, text, config, name="masked_item", field=OWN)
        self.head = ItemHead(encoder, config.tasks)

    def losses_of(self, batch: Batch, *, seed: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Mean loss over the hidden items of a batch: `loss`, and `accuracy` to look at.

        See `training.Trainable`.
        """
        seeds = replicas.split(seed, 2)  # [2, 2]
        hidden = self.hidden(batch, seeds[0])
        states = self.states(hidden, training)
        return self.head.losses_of(states, hidden.classes, hidden.weights, seeds[1])
