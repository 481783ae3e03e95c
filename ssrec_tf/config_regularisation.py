"""What works against overfitting, each switched off by default; and other wordings of texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from ssrec_tf.errors import ConfigError

if TYPE_CHECKING:
    from ssrec_tf.config import RunConfig


@dataclass(frozen=True)
class AlternativesConfig:
    """Other wordings of each item's text, kept in the token table.

    Attributes:
        count: kept for each item; 0 switches them off.
        synonyms: a YAML or TSV file of words and their synonyms, or `wordnet`.
        synonym_rate: share of the words with synonyms that are replaced in a wording.
        paraphrases: a table with the columns `item` and `paraphrase`, a row for each.
    """

    count: int = 0
    synonyms: str | None = None
    synonym_rate: float = 0.3
    paraphrases: str | None = None


@dataclass(frozen=True)
class RegularisationConfig:
    """What a training does against overfitting; every 0 is off.

    Texts are changed where they are read, anew at every step. The two-level reading of an
    encoder that stands still reads its vectors of a few variants instead (`text_variants`).

    Attributes:
        token_dropout: share of the tokens of a text that are left out.
        mask_dropped: whether `[MASK]` stands where a token was; else the text closes up.
        field_dropout: chance of each field of a text (the genres, say) to be left out.
        fields: those that `field_dropout` means; all when none is named.
        alternative_rate: chance of an item's text to be another wording of
            `text.alternatives`.
        text_variants: changed texts of each item whose vectors are kept where the encoder
            stands still.
        adversarial_epsilon: length of the worst-case step on the embeddings.
        label_smoothing: share of the label of a click, a next item, or a hidden or next token
            that is spread evenly over all that it could be; of the retrieval reading the
            click's alone, for among the items of a batch some may not be chosen at all.
    """

    token_dropout: float = 0.0
    mask_dropped: bool = False
    field_dropout: float = 0.0
    fields: tuple[str, ...] = ()
    alternative_rate: float = 0.0
    text_variants: int = 4
    adversarial_epsilon: float = 0.0
    label_smoothing: float = 0.0

    @property
    def changes_texts(self) -> bool:
        """Whether any text is read otherwise than it was rendered."""
        return max(self.token_dropout, self.field_dropout, self.alternative_rate) > 0


# A share of 1 would leave no text and no label.
BOUNDS: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("token_dropout", "field_dropout", "label_smoothing"), (0, 0.99)),
    **dict.fromkeys(("alternative_rate", "synonym_rate"), (0, 1)),
    **dict.fromkeys(("text_variants", "tuning_rank"), (1, inf)),
    **dict.fromkeys(("count", "adversarial_epsilon"), (0, inf)),
}


def check_regularisation(config: RunConfig) -> None:
    """Check that wordings have a source, and are there where a training asks for them.

    Raises:
        ConfigError: names the key and what to set.
    """
    kept = config.text.alternatives
    source = kept.synonyms or kept.paraphrases
    if kept.count > 0 and not source:
        raise ConfigError(
            f"text.alternatives.count is {kept.count} but nothing words texts anew: "
            "give text.alternatives.synonyms or text.alternatives.paraphrases"
        )
    if kept.count == 0 and source:
        raise ConfigError(
            f"text.alternatives.count is 0 though {source!r} is given: give the number of "
            "wordings of each item, say 4"
        )
    for key, part in (("pretrain", config.pretrain), ("train", config.train)):
        rate = part.regularisation.alternative_rate
        if rate > 0 and kept.count == 0:
            raise ConfigError(
                f"{key}.regularisation.alternative_rate is {rate} but there is no other wording: "
                "give text.alternatives"
            )
