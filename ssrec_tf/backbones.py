"""KerasHub's backbones by name: fresh, in BERT's sizes, or with the weights of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np

from ssrec_tf.errors import ConfigError, VocabularyError
from ssrec_tf.vocabulary import Vocabulary, preset_tokenizer, preset_words

BACKBONES: Mapping[str, Any] = {
    "bert": keras_hub.models.BertBackbone,
    "distilbert": keras_hub.models.DistilBertBackbone,
    "roberta": keras_hub.models.RobertaBackbone,
    "gpt2": keras_hub.models.GPT2Backbone,
    "xlnet": keras_hub.models.XLNetBackbone,
}
"""`encoder.architecture` to KerasHub's class.

References:
    Devlin et al. 2019, arXiv:1810.04805 (BERT).
    Sanh et al. 2019, arXiv:1910.01108 (DistilBERT).
    Liu et al. 2019, arXiv:1907.11692 (RoBERTa).
    Radford et al. 2019, "Language Models are Unsupervised Multitask Learners" (GPT-2).
    Yang et al. 2019, arXiv:1906.08237 (XLNet).
"""

SIZES: Mapping[str, Mapping[str, int]] = {
    "tiny": {"num_layers": 2, "num_heads": 2, "hidden_dim": 128, "intermediate_dim": 512},
    "mini": {"num_layers": 4, "num_heads": 4, "hidden_dim": 256, "intermediate_dim": 1024},
    "small": {"num_layers": 4, "num_heads": 8, "hidden_dim": 512, "intermediate_dim": 2048},
    "base": {"num_layers": 12, "num_heads": 12, "hidden_dim": 768, "intermediate_dim": 3072},
}
"""Turc et al. 2019, arXiv:1908.08962, table 1 (base: Devlin et al. 2019)."""

_SIZE_NAMES = (*SIZES["tiny"], "max_sequence_length")


def create_backbone(
    architecture: str, sizes: Mapping[str, int], vocabulary_size: int, dropout: float
) -> Any:
    """Make a backbone with fresh weights; `sizes` are its class's arguments.

    Raises:
        ConfigError: the architecture is unknown.
    """
    if architecture not in BACKBONES:
        raise ConfigError(
            f"encoder.architecture={architecture!r} must be one of {', '.join(BACKBONES)}"
        )
    return BACKBONES[architecture](vocabulary_size=vocabulary_size, dropout=dropout, **sizes)


def architecture_of(backbone: Any) -> str:
    """Tell the name of a backbone's architecture.

    Raises:
        ConfigError: it is of no class in `BACKBONES`.
    """
    for name, kind in BACKBONES.items():
        if isinstance(backbone, kind):
            return name
    raise ConfigError(f"{type(backbone).__name__} is no backbone of {', '.join(BACKBONES)}")


def load_preset(
    architecture: str, folder: Path, vocabulary: Vocabulary, dropout: float = 0.1
) -> Any:
    """Load a KerasHub preset folder; tokens it does not know get fresh rows.

    A row of its token embedding is a token of its own tokenizer. Where that is WordPiece
    (BERT, DistilBERT) the vocabulary must begin with its words. Where the folder has no
    tokenizer it is one saved here (`backbone.save_to_preset`), and must have a row for each
    token of this vocabulary. The rows of any other tokenizer (the byte pairs of RoBERTa
    and GPT-2, XLNet's SentencePiece) stand for tokens that no text here is made of.

    Raises:
        ConfigError: no readable preset there, or one of another architecture or tokenizer.
        VocabularyError: the folder's tokens are not the vocabulary's.
    """
    if not (folder / "config.json").is_file():  # KerasHub would take it for a name to fetch
        raise ConfigError(
            f"encoder.preset={str(folder)!r} has no config.json: give a KerasHub preset folder"
        )
    rows = _rows_that_fit(architecture, folder, vocabulary)
    try:
        loaded = BACKBONES[architecture].from_preset(str(folder))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"encoder.preset={str(folder)!r} is no preset of encoder.architecture="
            f"{architecture!r}: {' '.join(str(error).split())}"
        ) from None
    if loaded.vocabulary_size < rows or (rows == vocabulary.size != loaded.vocabulary_size):
        raise VocabularyError(
            f"{folder} has {loaded.vocabulary_size} token embeddings but {rows} tokens are to be "
            "read from it; give a preset that was saved over this very vocabulary"
        )
    return refitted(loaded, vocabulary.size, dropout, rows)


def _rows_that_fit(architecture: str, folder: Path, vocabulary: Vocabulary) -> int:
    """How many of a preset's token embeddings mean what the vocabulary's tokens mean."""
    tokenizer = preset_tokenizer(folder)
    if tokenizer is None:
        return vocabulary.size
    words = preset_words(folder)
    if words is None:
        raise ConfigError(
            f"encoder.preset={str(folder)!r}: its token embeddings are those of {tokenizer}, but "
            f"text is read as WordPiece here; leave encoder.preset out and train {architecture} "
            "from scratch, or give a preset of BERT or DistilBERT"
        )
    if words != vocabulary.words:
        raise VocabularyError(
            f"{folder} knows {len(words)} words, which are not the vocabulary's "
            f"{len(vocabulary.words)}; set text.preset to the same folder"
        )
    return len(words)


def refitted(loaded: Any, vocabulary_size: int, dropout: float, rows: int) -> Any:
    """Make a backbone like `loaded` with its weights, for a vocabulary of another size.

    Of the token embedding the first `rows` are kept. The rest, for items and ratings, start
    as draws with the standard deviation of the kept ones, so that they are of a familiar
    length.
    """
    made = _fresh_like(loaded, vocabulary_size, dropout)
    rng = np.random.default_rng(0)
    for old, new in zip(loaded.weights, made.weights, strict=True):
        value = keras.ops.convert_to_numpy(old)
        if old is loaded.token_embedding.embeddings and value.shape[0] != new.shape[0]:
            extra = (new.shape[0] - rows, value.shape[1])
            drawn = rng.normal(0.0, value[:rows].std(), extra).astype(value.dtype)
            value = np.concatenate([value[:rows], drawn])
        new.assign(value)
    return made


def pruned(loaded: Any, layers: int) -> Any:
    """Make a backbone with some of `loaded`'s layers, evenly spread, first and last among them.

    Args:
        loaded: a backbone.
        layers: how many are kept, from 1; of one it is the last.

    Raises:
        ConfigError: `loaded` has fewer.

    Reference:
        Sajjad et al. 2023, arXiv:2004.03844, section 3.1.2 (every other layer is dropped).
    """
    before = loaded.transformer_layers
    if layers > len(before):
        raise ConfigError(f"encoder.layers is {layers}: the encoder has {len(before)}; give fewer")
    made = _fresh_like(loaded, loaded.vocabulary_size, loaded.dropout, num_layers=layers)
    kept = np.linspace(len(before) - 1, 0, layers).round().astype(int)[::-1]
    pairs = [(_around(loaded), _around(made))]
    pairs += [
        (before[old].weights, made.transformer_layers[new].weights)
        for new, old in enumerate(kept.tolist())
    ]
    for olds, news in pairs:
        for old, new in zip(olds, news, strict=True):
            new.assign(old)
    return made


def _fresh_like(loaded: Any, vocabulary_size: int, dropout: float, **other: int) -> Any:
    """Make a backbone of `loaded`'s architecture and sizes, but for `other`; weights are fresh."""
    sizes = {name: getattr(loaded, name) for name in _SIZE_NAMES if hasattr(loaded, name)}
    return create_backbone(architecture_of(loaded), {**sizes, **other}, vocabulary_size, dropout)


def _around(backbone: Any) -> list[Any]:
    """Weights of a backbone beside those of its layers."""
    inside = {id(weight) for layer in backbone.transformer_layers for weight in layer.weights}
    return [weight for weight in backbone.weights if id(weight) not in inside]
