"""Masked-token prediction on rendered behaviour."""

from __future__ import annotations

import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.batching import Batch
from ssrec_tf.config import PretrainConfig
from ssrec_tf.encoders import Encoder
from ssrec_tf.masking import MaskedBatch, MaskingConfig, TokenMasker
from ssrec_tf.objectives.filling import Filling
from ssrec_tf.text_table import TextTable


class MaskedToken(Filling):
    """Hide tokens of a user's behaviour and predict them.

    Masking words teaches the language of the catalogue; masking an item's own token,
    what goes together; masking a rating token, taste.

    Reference:
        Devlin et al. 2019, arXiv:1810.04805, section 3.1.
    """

    def __init__(self, encoder: Encoder, text: TextTable, config: PretrainConfig) -> None:
        """Build the head over `encoder`; `text` gives the tokens of a batch's references."""
        super().__init__(encoder, text, config, name="masked_token")
        masks = max(1, round(self.window.length * config.mask_rate))
        masking = MaskingConfig(config.mask_rate, masks, config.whole_word)
        self._masker = TokenMasker(text.vocabulary, masking)

    def tokens(self, batch: Batch, seed: tf.Tensor) -> tf.Tensor:
        """Lay a window of each user's behaviour out as tokens: int32 [batch, length]."""
        return self.window.tokens(self.window.user(batch, seed), self.window.draw(batch, seed))

    def masked(self, batch: Batch, seed: tf.Tensor) -> MaskedBatch:
        """Assemble and hide, as a function of (batch, seed)."""
        seeds = replicas.split(seed, 2)  # [2, 2]
        return self._masker(self.tokens(batch, seeds[0]), seed=seeds[1])
