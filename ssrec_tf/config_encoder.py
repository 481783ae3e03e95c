"""Which encoder reads the text, and which self-supervised tasks it can learn from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ssrec_tf.errors import ConfigError

ARCHITECTURES = ("bert", "distilbert", "roberta", "gpt2", "xlnet")
_NEEDED = {"next_token": "gpt2", "permutation": "xlnet"}
_FILL_IN = ("masked_token", "completion", "masked_item", "masked_rating")


@dataclass(frozen=True)
class EncoderConfig:
    """`architecture`: bert, distilbert, roberta, gpt2 or xlnet.

    Its weights are fresh, in a `size`: tiny, mini, small or base; or those of
    `huggingface`: a BERT folder, or `all-minilm-l6-v2`, which is fetched; or of `preset`: a
    KerasHub preset folder. Then `text.huggingface` or `text.preset` must name the same, for
    its vocabulary. A preset of RoBERTa, GPT-2 or XLNet fits only where it was saved over
    this very vocabulary: published ones are of another tokenizer.
    """

    architecture: str = "bert"
    size: str = "tiny"
    huggingface: str | None = None
    preset: str | None = None
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Refuse weights that belong to another architecture.

        Raises:
            ConfigError: `huggingface` beside another architecture than bert, or `preset`.
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
