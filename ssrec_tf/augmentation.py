"""Texts read otherwise than they were rendered: words and fields left out, other wordings."""

from __future__ import annotations

import difflib

import numpy as np
import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.config_regularisation import RegularisationConfig
from ssrec_tf.errors import ConfigError
from ssrec_tf.text_table import TextTable


class AugmentedTexts(tf.Module):
    """Looks the tokens of items and users up, and changes them at random if asked.

    What is drawn is a function of (references, seed), for each mention anew. An item's
    text is first exchanged for another wording, then loses fields, then tokens. A text that
    would lose all of its tokens stays whole. Nothing is drawn without a seed.

    References:
        Iyyer et al. 2015, "Deep Unordered Composition Rivals Syntactic Methods" (tokens).
        Volkovs et al. 2017, "DropoutNet" (whole inputs of an item).
    """

    def __init__(self, text: TextTable, config: RegularisationConfig) -> None:
        """Put the table's arrays into the graph.

        Raises:
            ConfigError: a name in `config.fields` is no field of the texts.
        """
        super().__init__()
        self.config = config
        self._mask_id = text.vocabulary.mask_id
        self._fields = len(text.field_names)
        self._rates = tf.constant(_field_rates(text, config))  # [fields + 1]
        self.item_tokens = tf.constant(text.item_tokens)  # [items + 1, item width]
        self._users = tf.constant(text.user_tokens)  # [users + 1, user width]
        if config.changes_texts:
            self._keep_wordings(text)

    def _keep_wordings(self, text: TextTable) -> None:
        """Put fields and other wordings into the graph."""
        self._user_fields = tf.constant(text.user_fields)  # [users + 1, user width]
        self._wordings = 1
        tokens, fields = text.item_tokens[:, None], text.item_fields[:, None]
        if self.config.alternative_rate > 0:
            self._wordings += text.item_alternatives.shape[1]
            tokens = np.concatenate([tokens, text.item_alternatives], axis=1)
            fields = np.concatenate([fields, text.alternative_fields], axis=1)
        width = text.item_tokens.shape[1]
        # All wordings of an item, one after the other: [(items + 1) * wordings, item width].
        self._worded = tf.constant(tokens.reshape(-1, width))
        self._worded_fields = tf.constant(fields.reshape(-1, width))

    def items(self, refs: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Tokens of items' texts.

        Args:
            refs: int32 [...], 0 for none.
            seed: int64 [2]; without it the texts are as they were rendered.

        Returns:
            int32 [..., item width], 0 padded on the right.
        """
        if seed is None or not self.config.changes_texts:
            return tf.gather(self.item_tokens, refs)  # [..., item width]
        seeds = replicas.split(seed, 2)  # [2, 2]
        rows = refs * self._wordings + self._draw_wordings(tf.shape(refs), seeds[0])
        tokens = tf.gather(self._worded, rows)  # [..., item width]
        fields = tf.gather(self._worded_fields, rows)  # [..., item width]
        return self._drop(tokens, fields, seeds[1])

    def users(self, refs: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Tokens of users' texts: as `items`, int32 [...] to [..., user width]."""
        tokens = tf.gather(self._users, refs)  # [..., user width]
        if seed is None or not self.config.changes_texts:
            return tokens
        fields = tf.gather(self._user_fields, refs)  # [..., user width]
        return self._drop(tokens, fields, replicas.fold_in(seed, 1))

    def _draw_wordings(self, shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draw 0, the text itself, or another wording's number: int32 of `shape`."""
        if self._wordings == 1:
            return tf.zeros(shape, tf.int32)
        seeds = replicas.split(seed, 2)  # [2, 2]
        other = replicas.uniform_rows(shape, seeds[0]) < self.config.alternative_rate
        number = replicas.uniform_rows(shape, seeds[1], 1, self._wordings, tf.int32)
        return tf.where(other, number, 0)

    def _drop(self, tokens: tf.Tensor, fields: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Leave fields and tokens out: int32 [..., width] and their fields to the same."""
        seeds = replicas.split(seed, 2)  # [2, 2]
        filled = tokens != 0
        kept = filled
        if self.config.field_dropout > 0:
            shape = tf.concat([tf.shape(tokens)[:-1], [self._fields + 1]], axis=0)
            stays = replicas.uniform_rows(shape, seeds[0]) >= self._rates
            # Which fields stay, asked by each token of its own: [..., width].
            kept &= tf.gather(stays, tf.cast(fields, tf.int32), batch_dims=tokens.shape.rank - 1)
        spoken = kept
        if self.config.token_dropout > 0:
            draw = replicas.uniform_rows(tf.shape(tokens), seeds[1])
            spoken &= draw >= self.config.token_dropout
        whole = ~tf.reduce_any(spoken, axis=-1, keepdims=True)
        kept, spoken = (kept & ~whole) | (filled & whole), (spoken & ~whole) | (filled & whole)
        if self.config.mask_dropped:
            return close_up(tf.where(spoken, tokens, tf.where(kept, self._mask_id, 0)))
        return close_up(tf.where(spoken, tokens, 0))


def close_up(tokens: tf.Tensor) -> tf.Tensor:
    """Bring tokens to the left, in their order: int32 [..., width], 0 is a gap."""
    order = tf.argsort(tf.cast(tokens == 0, tf.int32), axis=-1, stable=True)
    return tf.gather(tokens, order, batch_dims=tokens.shape.rank - 1)  # [..., width]


def _field_rates(text: TextTable, config: RegularisationConfig) -> np.ndarray:
    """Chance of each field to be left out: float32 [fields + 1]; 0 for what is of none."""
    for name in config.fields:
        if name not in text.field_names:
            near = difflib.get_close_matches(name, text.field_names, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(
                f"regularisation.fields names {name!r}, but the texts have "
                f"{', '.join(text.field_names) or 'no fields'}{hint}"
            )
    named = [not config.fields or name in config.fields for name in text.field_names]
    return np.array([0.0, *(config.field_dropout * there for there in named)], np.float32)
