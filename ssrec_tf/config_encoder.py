"""Which encoder reads the text, what it can learn from, and which of its weights are trained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ssrec_tf.errors import ConfigError

if TYPE_CHECKING:
    from ssrec_tf.config import RunConfig

ARCHITECTURES = ("bert", "distilbert", "roberta", "gpt2", "xlnet")
_NEEDED = {"next_token": "gpt2", "permutation": "xlnet"}
_FILL_IN = ("masked_token", "completion", "masked_item", "masked_rating")

TUNINGS = ("full", "lora", "adapter", "prefix")
# A tuning is put into the parts of KerasHub's TransformerEncoder, which these are made of.
_TUNABLE = ("bert", "distilbert", "roberta")


@dataclass(frozen=True)
class EncoderConfig:
    """`architecture`: bert, distilbert, roberta, gpt2 or xlnet.

    Its weights are fresh, in a `size`: tiny, mini, small or base; or those of
    `huggingface`: a BERT folder, or `all-minilm-l6-v2`, which is fetched; or of `preset`: a
    KerasHub preset folder. Then `text.huggingface` or `text.preset` must name the same, for
    its vocabulary. A preset of RoBERTa, GPT-2 or XLNet fits only where it was saved over
    this very vocabulary: published ones are of another tokenizer. Of a published one, `layers`
    are kept, evenly spread, which is faster and knows less; 0 keeps all.

    `tuning`: full, or what is trained beside frozen weights: lora, adapter or prefix, of
    `tuning_rank` (bert, distilbert and roberta). An encoder from scratch is pretrained whole
    and tuned with the heads.
    """

    architecture: str = "bert"
    size: str = "tiny"
    huggingface: str | None = None
    preset: str | None = None
    dropout: float = 0.1
    tuning: str = "full"
    tuning_rank: int = 8
    layers: int = 0

    def __post_init__(self) -> None:
        """Refuse weights, or a tuning, that belong to another architecture.

        Raises:
            ConfigError: `huggingface` beside another architecture than bert, or `preset`;
                `layers` of none of them; or a tuning of gpt2 or xlnet.
        """
        if self.huggingface and self.architecture != "bert":
            raise ConfigError(
                f"encoder.huggingface={self.huggingface!r} is read as a BERT, but "
                f"encoder.architecture is {self.architecture!r}: set it to bert, or give "
                "encoder.preset"
            )
        if self.huggingface and self.preset:
            raise ConfigError(
                "encoder.huggingface and encoder.preset are both given: leave one out"
            )
        if self.layers and not self.is_published:
            raise ConfigError(
                f"encoder.layers is {self.layers}, but a fresh encoder has those of its "
                "encoder.size: leave it out, or give encoder.huggingface or encoder.preset"
            )
        if self.tuning != "full" and self.architecture not in _TUNABLE:
            raise ConfigError(
                f"encoder.tuning is {self.tuning!r} but encoder.architecture is "
                f"{self.architecture!r}: set it to one of {', '.join(_TUNABLE)}, or "
                "encoder.tuning to full"
            )

    @property
    def is_published(self) -> bool:
        """Whether its weights are those of a folder."""
        return bool(self.huggingface or self.preset)


def can_learn(architecture: str, objective: str) -> bool:
    """Whether an encoder can read as an objective needs it to."""
    causal = architecture == "gpt2" and objective in _FILL_IN
    return _NEEDED.get(objective, architecture) == architecture and not causal


def check_architecture(architecture: str, objectives: Iterable[str]) -> None:
    """Check that an encoder can read as the objectives need it to.

    Raises:
        ConfigError: `next_token` without gpt2, `permutation` without xlnet, or a gap to be
            filled in by gpt2, which sees only what stands before it.
    """
    for name in objectives:
        needed = _NEEDED.get(name, architecture)
        if architecture != needed:
            raise ConfigError(
                f"encoder.architecture is {architecture!r}: pretrain.objectives.{name} needs "
                f"{needed}; set it, or take another objective"
            )
        if architecture == "gpt2" and name in _FILL_IN:
            raise ConfigError(
                f"encoder.architecture is {architecture!r}, which sees only what stands before a "
                f"gap: pretrain.objectives.{name} needs another; or use next_token instead of it"
            )


def check_tuning(config: RunConfig) -> None:
    """Check that a training reaches the weights that `encoder.tuning` adds.

    Raises:
        ConfigError: nothing would train them.
    """
    encoder, train = config.encoder, config.train
    with_heads = train.reading == "joint" or train.encoder_steps > 0
    pretrained = encoder.is_published and config.pretrain.loop.steps > 0
    if encoder.tuning != "full" and not with_heads and not pretrained:
        raise ConfigError(
            f"encoder.tuning is {encoder.tuning!r} but nothing trains what it adds: give "
            "train.encoder_steps or train.reading: joint, or pretrain an encoder.huggingface "
            "or encoder.preset"
        )
