"""Which self-supervised tasks a pretraining mixes, and the sizes of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ssrec_tf.errors import ConfigError

OBJECTIVES = (
    "masked_token",
    "completion",
    "masked_item",
    "masked_rating",
    "next_text",
    "two_views",
    "next_item",
    "next_token",
    "permutation",
)
ITEM_LOSSES = ("softmax", "sampled_softmax", "gbce")


@dataclass(frozen=True)
class TaskConfig:
    """Sizes of the tasks beside masked tokens.

    Attributes:
        hide_rate: share of events whose item (masked_item) or rating (masked_rating) is hidden.
        item_loss: softmax over all items; sampled_softmax or gbce over drawn ones
            (masked_item, next_item).
        negatives: items drawn for each hidden one.
        calibration: t of gBCE, from 0 (plain binary cross-entropy) to 1.
        temperature: cosines are divided by it (next_text, two_views).
        crop, mask, reorder: shares of the events that a view keeps, hides or shuffles.
        texts: most item texts encoded in a step (next_item).
        layers, dropout: of the causal decoder (next_item).
        prediction_k: one token of so many is predicted, the last of the order (permutation).
    """

    hide_rate: float = 0.2
    item_loss: str = "softmax"
    negatives: int = 256
    calibration: float = 0.75
    temperature: float = 0.1
    crop: float = 0.6
    mask: float = 0.3
    reorder: float = 0.6
    texts: int = 256
    layers: int = 1
    prediction_k: int = 6
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Refuse values outside their range.

        Raises:
            ConfigError: names the field, its value and what it may be.
        """
        if self.item_loss not in ITEM_LOSSES:
            raise ConfigError(
                f"pretrain.tasks.item_loss is {self.item_loss!r}: "
                f"give one of {', '.join(ITEM_LOSSES)}"
            )
        for name in ("hide_rate", "calibration", "crop", "mask", "reorder", "dropout"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"pretrain.tasks.{name} is {value}: give a number from 0 to 1")
        lows = {"temperature": 0.001, "negatives": 1, "texts": 1, "layers": 1, "prediction_k": 2}
        for name, low in lows.items():
            value = getattr(self, name)
            if value < low:
                raise ConfigError(
                    f"pretrain.tasks.{name} is {value}: give a number of at least {low}"
                )


def check_objectives(start: Mapping[str, float], end: Mapping[str, float]) -> None:
    """Check the weights that `pretrain.objectives` and `pretrain.objectives_end` give.

    Raises:
        ConfigError: an objective is unknown or only in `end`; a weight is negative; or
            nothing has weight.
    """
    for key, weights in (("objectives", start), ("objectives_end", end)):
        for name, weight in weights.items():
            if name not in OBJECTIVES:
                raise ConfigError(
                    f"pretrain.{key}.{name} is no objective: give some of {', '.join(OBJECTIVES)}"
                )
            if weight < 0:
                raise ConfigError(f"pretrain.{key}.{name} is {weight}: give a number of at least 0")
    if strays := [name for name in end if name not in start]:
        raise ConfigError(
            f"pretrain.objectives_end.{strays[0]}: give it a weight in pretrain.objectives too"
        )
    for weights in (start, {**start, **end}):
        if sum(weights.values()) <= 0:
            raise ConfigError(
                "pretrain.objectives: give at least one of "
                f"{', '.join(OBJECTIVES)} a weight above 0, at the start and at the end"
            )
