"""Which tokens are hidden, as a function of (seed, step)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.errors import ConfigError
from ssrec_tf.vocabulary import Vocabulary


@dataclass(frozen=True)
class MaskingConfig:
    """How much is hidden and what may never be.

    `rate` is the share of maskable tokens hidden; `max_masks` the static number of
    slots; `whole_word` hides all pieces of a word or none of them.
    """

    rate: float = 0.15
    max_masks: int = 20
    whole_word: bool = False
    mask_share: float = 0.8
    random_share: float = 0.1

    def __post_init__(self) -> None:
        """Refuse shares outside their range.

        Raises:
            ConfigError: `rate` is outside (0, 1), or the shares exceed 1.
        """
        if not 0.0 < self.rate < 1.0:
            raise ConfigError(f"mask_rate={self.rate} must lie strictly between 0 and 1")
        if self.mask_share + self.random_share > 1.0:
            raise ConfigError(
                f"mask_share={self.mask_share} + random_share={self.random_share} exceed 1"
            )


class MaskedBatch(NamedTuple):
    """`token_ids` [batch, length]; the other three [batch, max_masks].

    A `mask_weights` of 0 marks an unused slot.
    """

    token_ids: tf.Tensor
    mask_positions: tf.Tensor
    mask_ids: tf.Tensor
    mask_weights: tf.Tensor


def is_maskable(vocabulary: Vocabulary) -> list[bool]:
    """Tell for each token whether it may be hidden or asked for: not the special ones."""
    special = {
        vocabulary.pad_id,
        vocabulary.unk_id,
        vocabulary.cls_id,
        vocabulary.sep_id,
        vocabulary.mask_id,
        vocabulary.item_id,
        vocabulary.rated_id,
    }
    return [i not in special for i in range(vocabulary.size)]


class TokenMasker(tf.Module):
    """BERT's 80/10/10 rule over a vocabulary; special tokens are never hidden.

    Reference:
        Devlin et al. 2019, arXiv:1810.04805, section 3.1.
    """

    def __init__(self, vocabulary: Vocabulary, config: MaskingConfig) -> None:
        """Remember which ids are special and which pieces continue a word."""
        super().__init__()
        self.config = config
        self._mask_id = vocabulary.mask_id
        maskable = is_maskable(vocabulary)
        continues = [word.startswith("##") for word in vocabulary.words]
        continues += [False] * (vocabulary.size - len(continues))
        self._maskable = tf.constant(maskable)  # [vocabulary]
        self._continues = tf.constant(continues)  # [vocabulary]
        self._replacements = tf.constant(  # [maskable ids]
            [i for i, free in enumerate(maskable) if free], tf.int32
        )

    def __call__(self, token_ids: tf.Tensor, *, seed: tf.Tensor) -> MaskedBatch:
        """Hide tokens for masked-token training.

        Deterministic: the same `token_ids` and `seed` give the same result.

        Args:
            token_ids: int32 [batch, length]; 0 is padding.
            seed: int32 [2], normally `(run_seed, step)`.

        Returns:
            The batch with tokens hidden, and what stood there.

        Raises:
            ValueError: `token_ids` is not of rank 2.
        """
        if token_ids.shape.rank != 2:
            raise ValueError(f"token_ids must be [batch, length], got {token_ids.shape}")
        seeds = replicas.split(seed, 3)  # [3, 2]
        maskable = tf.gather(self._maskable, token_ids)  # [batch, length]
        order, hidden = self._choose(token_ids, maskable, seeds[0])
        slots = min(self.config.max_masks, token_ids.shape[1] or self.config.max_masks)
        positions = tf.cast(order[:, :slots], tf.int32)  # [batch, masks]
        weights = tf.gather(hidden, positions, batch_dims=1)  # [batch, masks]
        originals = tf.gather(token_ids, positions, batch_dims=1)  # [batch, masks]
        masked = self._replace(token_ids, hidden, seeds[1], seeds[2])
        used = tf.cast(weights, tf.int32)
        return MaskedBatch(masked, positions * used, originals * used, tf.cast(weights, tf.float32))

    def _choose(
        self, token_ids: tf.Tensor, maskable: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Order positions by their word's random score; hide the first `rate` of them.

        Returns:
            `order` int32 [batch, length], hidden positions first; `hidden` bool
            [batch, length].
        """
        shape = tf.shape(token_ids)
        batch, length = shape[0], shape[1]
        words = self._word_index(token_ids)  # [batch, length]
        score = replicas.uniform_rows(shape, seed=seed)  # one a word index
        score = tf.gather(score, words, batch_dims=1)  # [batch, length]
        score = tf.where(maskable, score, 2.0)
        order = tf.argsort(score, axis=1, stable=True)  # [batch, length]
        rank = tf.argsort(order, axis=1)  # [batch, length], inverse permutation
        count = tf.reduce_sum(tf.cast(maskable, tf.float32), axis=1, keepdims=True)
        budget = tf.clip_by_value(
            tf.cast(tf.round(count * self.config.rate), tf.int32), 1, self.config.max_masks
        )  # [batch, 1]
        # A word is hidden whole or not at all: it counts at the rank of its last piece.
        flat = tf.reshape(words + tf.range(batch)[:, None] * length, [-1])  # [batch * length]
        free = tf.where(maskable, rank, 0)
        last = tf.math.unsorted_segment_max(tf.reshape(free, [-1]), flat, batch * length)
        last = tf.reshape(tf.gather(last, flat), shape)  # [batch, length]
        return order, maskable & (last < budget)

    def _word_index(self, token_ids: tf.Tensor) -> tf.Tensor:
        """Number the words of a row; every token is a word unless `whole_word`."""
        if self.config.whole_word:
            starts = tf.cast(~tf.gather(self._continues, token_ids), tf.int32)
        else:
            starts = tf.ones_like(token_ids)
        return tf.maximum(tf.cumsum(starts, axis=1) - 1, 0)  # [batch, length]

    def _replace(
        self, token_ids: tf.Tensor, hidden: tf.Tensor, draw_seed: tf.Tensor, id_seed: tf.Tensor
    ) -> tf.Tensor:
        """Write [MASK], a random token, or the token itself at the hidden places."""
        shape = tf.shape(token_ids)
        draw = replicas.uniform_rows(shape, seed=draw_seed)
        pick = replicas.uniform_rows(
            shape, seed=id_seed, maxval=tf.size(self._replacements), dtype=tf.int32
        )
        other = tf.gather(self._replacements, pick)  # [batch, length]
        share = self.config.mask_share
        replaced = tf.where(draw < share + self.config.random_share, other, token_ids)
        replaced = tf.where(draw < share, self._mask_id, replaced)
        return tf.where(hidden, replaced, token_ids)
