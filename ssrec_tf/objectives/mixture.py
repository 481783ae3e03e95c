"""Several objectives over one encoder, weighed; the weights may move over the steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from ssrec_tf import replicas
from ssrec_tf.batching import Batch
from ssrec_tf.config import PretrainConfig
from ssrec_tf.config_objectives import OBJECTIVES, check_objectives
from ssrec_tf.encoders import Encoder
from ssrec_tf.objectives.completion import Completion
from ssrec_tf.objectives.contrastive import NextText, TwoViews
from ssrec_tf.objectives.masked_item import MaskedItem
from ssrec_tf.objectives.masked_rating import MaskedRating
from ssrec_tf.objectives.masked_token import MaskedToken
from ssrec_tf.objectives.next_item import NextItem
from ssrec_tf.objectives.next_token import NextToken
from ssrec_tf.objectives.permutation import Permutation
from ssrec_tf.text_table import TextTable

_CLASSES: Mapping[str, Any] = {
    "masked_token": MaskedToken,
    "completion": Completion,
    "masked_item": MaskedItem,
    "masked_rating": MaskedRating,
    "next_text": NextText,
    "two_views": TwoViews,
    "next_item": NextItem,
    "next_token": NextToken,
    "permutation": Permutation,
}


def make_objective(encoder: Encoder, text: TextTable, config: PretrainConfig) -> Any:
    """Build the mixture that `config.objectives` names; one alone needs none, nor a weight.

    Raises:
        ConfigError: a name is unknown, a weight is out of bounds, or the data lack what an
            objective reads.
    """
    check_objectives(config.objectives, config.objectives_end)
    # Built in one order, whatever the file's: fresh weights follow from the seed.
    names = [name for name in OBJECTIVES if name in config.objectives]
    parts = {name: _CLASSES[name](encoder, text, config) for name in names}
    if len(parts) == 1:
        return next(iter(parts.values()))
    return Mixture(parts, config)


class Mixture(keras.Model):
    """The weighted sum of objectives' losses.

    A weight moves linearly from `objectives` at the first step to `objectives_end` at the
    last. Where nothing is trained the weights are those of the end: a validation loss that
    changed its meaning over the steps would have no best.

    Reference:
        Caruana 1997, "Multitask Learning" (tasks that share what they learn).
    """

    def __init__(self, parts: Mapping[str, Any], config: PretrainConfig) -> None:
        """Take objectives by name, over one encoder."""
        super().__init__(name="mixture")
        self.parts = dict(parts)
        self._start = dict(config.objectives)
        self._end = {**self._start, **config.objectives_end}
        self._last = max(1, config.loop.steps - 1)

    def weights_at(self, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """Weight of each objective at a step: float32 []."""
        gone = tf.minimum(tf.cast(step, tf.float32) / self._last, 1.0)
        return {
            name: self._start[name] + gone * (self._end[name] - self._start[name])
            for name in self.parts
        }

    def losses_of(self, batch: Batch, *, seed: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Weighted sum of all objectives' losses of a batch.

        Args:
            batch: of `ssrec_tf.batching`.
            seed: int64 [2], (run seed, step).
            training: whether dropout is on, and the weights are those of the step.

        Returns:
            Scalars: `loss`, and what each objective returns as `<its name>/<what>`.
        """
        weights = self.weights_at(seed[1]) if training else self._end
        total = tf.constant(0.0)
        scalars: dict[str, tf.Tensor] = {}
        for name, part in self.parts.items():
            # By its place among all: an objective's draws do not hang on its companions.
            own = replicas.fold_in(seed, OBJECTIVES.index(name))
            losses = part.losses_of(batch, seed=own, training=training)
            total += weights[name] * losses["loss"]
            scalars.update({f"{name}/{key}": value for key, value in losses.items()})
        return {"loss": total, **scalars}
