"""KerasHub's BERT behind one call: token ids to states and a pooled vector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from ssrec_tf.config import EncoderConfig
from ssrec_tf.errors import ConfigError, VocabularyError
from ssrec_tf.published import bert_folder
from ssrec_tf.vocabulary import Vocabulary

SIZES: dict[str, dict[str, int]] = {
    "tiny": {"num_layers": 2, "num_heads": 2, "hidden_dim": 128, "intermediate_dim": 512},
    "mini": {"num_layers": 4, "num_heads": 4, "hidden_dim": 256, "intermediate_dim": 1024},
    "small": {"num_layers": 4, "num_heads": 8, "hidden_dim": 512, "intermediate_dim": 2048},
    "base": {"num_layers": 12, "num_heads": 12, "hidden_dim": 768, "intermediate_dim": 3072},
}
"""Turc et al. 2019, arXiv:1908.08962, table 1 (base: Devlin et al. 2019)."""


@keras.saving.register_keras_serializable(package="ssrec_tf")
def exact_gelu(x: tf.Tensor) -> tf.Tensor:
    """GELU by the error function, as in the reference BERT; KerasHub's default is tanh's."""
    return keras.activations.gelu(x, approximate=False)


class Encoder(keras.layers.Layer):
    """A BERT encoder over the vocabulary's tokens.

    Args:
        backbone: a KerasHub `BertBackbone` with as many embedding rows as the vocabulary.
        vocabulary: what its token ids mean.

    Reference:
        Devlin et al. 2019, arXiv:1810.04805.
    """

    def __init__(self, backbone: keras_hub.models.BertBackbone, vocabulary: Vocabulary) -> None:
        """Take a backbone and make its GELU exact."""
        super().__init__(name="encoder")
        if backbone.vocabulary_size != vocabulary.size:
            raise VocabularyError(
                f"the backbone has {backbone.vocabulary_size} token embeddings but the "
                f"vocabulary {vocabulary.size} tokens; build the backbone from this vocabulary"
            )
        self.backbone = backbone
        self.vocabulary = vocabulary
        for layer in backbone.transformer_layers:
            layer._feedforward_intermediate_dense.activation = exact_gelu

    @classmethod
    def create(cls, config: EncoderConfig, vocabulary: Vocabulary) -> Encoder:
        """Make the encoder that a configuration names, with fresh or published weights.

        Raises:
            ConfigError: the size is unknown, or the folder is not a Hugging Face BERT.
            VocabularyError: the folder's words are not the vocabulary's.
        """
        if config.huggingface:
            return cls.from_huggingface(bert_folder(config.huggingface), vocabulary, config.dropout)
        if config.size not in SIZES:
            raise ConfigError(f"encoder.size={config.size!r} must be one of {', '.join(SIZES)}")
        sizes = SIZES[config.size]
        return cls(_backbone(sizes, vocabulary.size, config.dropout), vocabulary)

    @classmethod
    def from_huggingface(
        cls, folder: Path, vocabulary: Vocabulary, dropout: float = 0.1
    ) -> Encoder:
        """Load a Hugging Face BERT folder; tokens it does not know get fresh rows.

        The rows appended for items and ratings start as draws with the standard
        deviation of the loaded rows, so that they are of a familiar length.

        Raises:
            ConfigError: no `config.json` of a BERT there.
            VocabularyError: the vocabulary does not begin with the folder's words.
        """
        try:
            model_type = json.loads((folder / "config.json").read_text())["model_type"]
        except (OSError, KeyError, json.JSONDecodeError) as error:
            raise ConfigError(
                f"encoder.huggingface={str(folder)!r} has no readable config.json ({error}); "
                "give the folder of a Hugging Face BERT"
            ) from None
        if model_type != "bert":
            raise ConfigError(f"{folder}/config.json: model_type={model_type!r} must be 'bert'")
        loaded = keras_hub.models.BertBackbone.from_preset(str(folder))
        words = len(vocabulary.words)
        if loaded.vocabulary_size < words:
            raise VocabularyError(
                f"{folder} has {loaded.vocabulary_size} token embeddings but the vocabulary "
                f"{words} words; set text.huggingface to the same folder"
            )
        names = ("num_layers", "num_heads", "hidden_dim", "intermediate_dim")
        sizes = {name: getattr(loaded, name) for name in names}
        sizes["max_sequence_length"] = loaded.max_sequence_length
        encoder = cls(_backbone(sizes, vocabulary.size, dropout), vocabulary)
        _copy_weights(loaded, encoder.backbone, words)
        return encoder

    def copy(self) -> Encoder:
        """Make another encoder with the same weights."""
        backbone = type(self.backbone).from_config(self.backbone.get_config())
        backbone.set_weights(self.backbone.get_weights())
        return Encoder(backbone, self.vocabulary)

    @property
    def width(self) -> int:
        """Length of a state vector."""
        return int(self.backbone.hidden_dim)

    @property
    def token_embedding(self) -> Any:
        """The embedding layer, shared with the masked-token head."""
        return self.backbone.token_embedding

    @property
    def max_length(self) -> int:
        """Most tokens a sequence may have."""
        return int(self.backbone.max_sequence_length)

    def call(
        self, token_ids: tf.Tensor, segment_ids: tf.Tensor | None = None, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Encode sequences.

        Args:
            token_ids: int32 [batch, length]; 0 is padding.
            segment_ids: int32 [batch, length], all 0 when not given.
            training: whether dropout is on.

        Returns:
            `states` float32 [batch, length, width]; `pooled` float32 [batch, width], the
            mean of the states that are not padding (Reimers & Gurevych 2019,
            arXiv:1908.10084, found it better than the first state).
        """
        if segment_ids is None:
            segment_ids = tf.zeros_like(token_ids)
        mask = tf.cast(tf.not_equal(token_ids, self.vocabulary.pad_id), tf.int32)
        inputs = {"token_ids": token_ids, "segment_ids": segment_ids, "padding_mask": mask}
        states = self.backbone(inputs, training=training)["sequence_output"]
        weights = tf.cast(mask, states.dtype)[:, :, None]  # [batch, length, 1]
        total = tf.reduce_sum(states * weights, axis=1)  # [batch, width]
        return states, total / tf.maximum(tf.reduce_sum(weights, axis=1), 1.0)


def _backbone(sizes: dict[str, int], vocabulary_size: int, dropout: float) -> Any:
    return keras_hub.models.BertBackbone(vocabulary_size=vocabulary_size, dropout=dropout, **sizes)


def _copy_weights(source: Any, target: Any, words: int) -> None:
    """Copy all weights; of the token embedding the first `words` rows, the rest drawn."""
    rng = np.random.default_rng(0)
    for old, new in zip(source.weights, target.weights, strict=True):
        value = keras.ops.convert_to_numpy(old)
        if old.path.startswith("token_embedding/") and value.shape[0] != new.shape[0]:
            extra = (new.shape[0] - words, value.shape[1])
            fresh = rng.normal(0.0, value[:words].std(), extra).astype(value.dtype)
            value = np.concatenate([value[:words], fresh])
        new.assign(value)
