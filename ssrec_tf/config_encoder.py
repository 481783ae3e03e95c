"""Which encoder, and which of its weights are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ssrec_tf.errors import ConfigError

if TYPE_CHECKING:
    from ssrec_tf.config import RunConfig

TUNINGS = ("full", "lora", "adapter", "prefix")


@dataclass(frozen=True)
class EncoderConfig:
    """`size`: tiny, mini, small or base, from scratch; or `huggingface`.

    `huggingface`: a BERT folder, or `all-minilm-l6-v2`, which is fetched. Then
    `text.huggingface` must name the same, for its vocabulary.

    `tuning`: full, or what is trained beside frozen weights: lora, adapter or prefix, of
    `tuning_rank`. An encoder from scratch is pretrained whole and tuned with the heads.
    """

    size: str = "tiny"
    huggingface: str | None = None
    dropout: float = 0.1
    tuning: str = "full"
    tuning_rank: int = 8


def check_tuning(config: RunConfig) -> None:
    """Check that a training reaches the weights that `encoder.tuning` adds.

    Raises:
        ConfigError: nothing would train them.
    """
    encoder, train = config.encoder, config.train
    with_heads = train.reading == "joint" or train.encoder_steps > 0
    pretrained = encoder.huggingface is not None and config.pretrain.loop.steps > 0
    if encoder.tuning != "full" and not with_heads and not pretrained:
        raise ConfigError(
            f"encoder.tuning is {encoder.tuning!r} but nothing trains what it adds: give "
            "train.encoder_steps or train.reading: joint, or pretrain an encoder.huggingface"
        )
