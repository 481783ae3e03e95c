"""KerasHub's backbones behind one call: token ids to states and a pooled vector."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import keras
import keras_hub
import tensorflow as tf

from ssrec_tf.backbones import (
    SIZES,
    architecture_of,
    create_backbone,
    load_preset,
    pruned,
    refitted,
)
from ssrec_tf.config import EncoderConfig
from ssrec_tf.encoder_tuning import add_adapters, add_lora, add_prefixes
from ssrec_tf.errors import ConfigError, VocabularyError
from ssrec_tf.precision import policy_of
from ssrec_tf.published import bert_folder, local_folder
from ssrec_tf.sequences import SharedSequences
from ssrec_tf.vocabulary import Vocabulary
from ssrec_tf.xlnet import XLNetStreams


@keras.saving.register_keras_serializable(package="ssrec_tf")
def exact_gelu(x: tf.Tensor) -> tf.Tensor:
    """GELU by the error function, as in the reference BERT; KerasHub's default is tanh's."""
    return keras.activations.gelu(x, approximate=False)


class Encoder(keras.layers.Layer):
    """A Transformer over the vocabulary's tokens.

    BERT, DistilBERT, RoBERTa and XLNet look both ways; GPT-2 only back. DistilBERT, RoBERTa
    and GPT-2 know no segments: there `[SEP]` alone parts a sequence.

    Args:
        backbone: a KerasHub backbone of `backbones.BACKBONES` with as many embedding rows
            as the vocabulary.
        vocabulary: what its token ids mean.

    Reference:
        Devlin et al. 2019, arXiv:1810.04805; the others stand in `backbones`.
    """

    def __init__(self, backbone: Any, vocabulary: Vocabulary) -> None:
        """Take a backbone; make BERT's GELU exact and wire XLNet's streams."""
        super().__init__(name="encoder")
        if backbone.vocabulary_size != vocabulary.size:
            raise VocabularyError(
                f"the backbone has {backbone.vocabulary_size} token embeddings but the "
                f"vocabulary {vocabulary.size} tokens; build the backbone from this vocabulary"
            )
        self.backbone = backbone
        self.vocabulary = vocabulary
        self.architecture = architecture_of(backbone)
        if self.architecture == "bert":  # the others have the GELU of their reference
            for layer in backbone.transformer_layers:
                layer._feedforward_intermediate_dense.activation = exact_gelu
        self.streams: Any = XLNetStreams(backbone) if self.architecture == "xlnet" else None
        self._tuning = ("full", 0)
        self.added: list[Any] = []  # layers that a tuning adds beside the backbone
        # Ids of the weights that were there, once a tuning adds others, and of these.
        self._base_ids: frozenset[int] = frozenset()
        self._added_ids: frozenset[int] = frozenset()
        self._base_frozen = False

    @classmethod
    def create(cls, config: EncoderConfig, vocabulary: Vocabulary) -> Encoder:
        """Make the encoder that a configuration names, with fresh or published weights.

        Of a published one only what `config.tuning` adds is trained; of one from scratch,
        all else is, until `freeze_base`.

        Raises:
            ConfigError: the size or the architecture is unknown, or the folder holds none.
            VocabularyError: the folder's words are not the vocabulary's.
        """
        encoder = cls._untuned(config, vocabulary)
        encoder.add_tuning(config.tuning, config.tuning_rank)
        if config.is_published:
            encoder.freeze_base()
        return encoder

    @classmethod
    def _untuned(cls, config: EncoderConfig, vocabulary: Vocabulary) -> Encoder:
        if config.is_published:
            made = cls._published(config, vocabulary)
            return cls(pruned(made.backbone, config.layers), vocabulary) if config.layers else made
        if config.size not in SIZES:
            raise ConfigError(f"encoder.size={config.size!r} must be one of {', '.join(SIZES)}")
        sizes = SIZES[config.size]
        return cls(
            create_backbone(config.architecture, sizes, vocabulary.size, config.dropout), vocabulary
        )

    @classmethod
    def _published(cls, config: EncoderConfig, vocabulary: Vocabulary) -> Encoder:
        if config.huggingface:
            return cls.from_huggingface(bert_folder(config.huggingface), vocabulary, config.dropout)
        folder = local_folder(str(config.preset))
        return cls(load_preset(config.architecture, folder, vocabulary, config.dropout), vocabulary)

    @classmethod
    def from_huggingface(
        cls, folder: Path, vocabulary: Vocabulary, dropout: float = 0.1
    ) -> Encoder:
        """Load a Hugging Face BERT folder; tokens it does not know get fresh rows.

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
        return cls(refitted(loaded, vocabulary.size, dropout, words), vocabulary)

    def add_tuning(self, tuning: str, rank: int) -> None:
        """Add the weights of a tuning, as if they were not there; they wait for `freeze_base`.

        Args:
            tuning: full (nothing is added), lora, adapter or prefix.
            rank: of the changes, width of the bottlenecks, or number of the prefix's keys.
        """
        self._tuning = (tuning, rank)
        base = frozenset(id(weight) for weight in self.backbone.trainable_variables)
        added: list[Any] = []
        if tuning == "lora":
            added = add_lora(self.backbone, rank)
        elif tuning != "full":
            add = add_adapters if tuning == "adapter" else add_prefixes
            self.added = add(self.backbone, rank)
            added = [weight for layer in self.added for weight in layer.variables]
        if added:
            self._base_ids, self._added_ids = base, frozenset(id(weight) for weight in added)
        self._train(self.trainable)

    def freeze_base(self) -> None:
        """From now on train only what a tuning added; nothing changes where none did."""
        self._base_frozen = True
        self._train(self.trainable)

    def copy(self) -> Encoder:
        """Make another encoder with the same weights and tuning."""
        backbone = type(self.backbone).from_config(self.backbone.get_config())
        made = Encoder(backbone, self.vocabulary)
        made.add_tuning(*self._tuning)
        for old, new in zip(self.variables, made.variables, strict=True):
            new.assign(old)
        if self._base_frozen:
            made.freeze_base()
        return made

    @property
    def trainable(self) -> bool:
        """Whether any of its weights are trained."""
        return bool(super().trainable)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._train(value)

    def _train(self, value: bool) -> None:
        """Switch the weights whose turn it is; Keras would switch all alike."""
        keras.layers.Layer.trainable.fset(self, value)
        for weight in self.variables if value else ():
            if id(weight) in self._base_ids:
                weight.trainable = not self._base_frozen
            elif id(weight) in self._added_ids:
                weight.trainable = self._base_frozen

    @property
    def width(self) -> int:
        """Length of a state vector."""
        return int(self.backbone.hidden_dim)

    @property
    def token_embedding(self) -> Any:
        """The embedding layer, shared with the masked-token head."""
        return self.backbone.token_embedding

    @property
    def token_table(self) -> Any:
        """The embedding's variable, [vocabulary, width], without what LoRA adds to it."""
        return self.token_embedding.weights[0]

    @property
    def max_length(self) -> int:
        """Most tokens a sequence may have; XLNet's relative positions know no bound."""
        return int(getattr(self.backbone, "max_sequence_length", sys.maxsize))

    def call(
        self, token_ids: tf.Tensor, segment_ids: tf.Tensor | None = None, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Encode sequences.

        Args:
            token_ids: int32 [batch, length]; 0 is padding, on the right.
            segment_ids: int32 [batch, length], all 0 when not given.
            training: whether dropout is on.

        Returns:
            `states` float32 [batch, length, width]; `pooled` float32 [batch, width], the
            mean of the states that are not padding (Reimers & Gurevych 2019,
            arXiv:1908.10084, found it better than the first state). GPT-2's states weigh
            as much as they have read, 1, 2, 3, ... (Muennighoff 2022, arXiv:2202.08904,
            found that better than the plain mean and than the last state).
        """
        if segment_ids is None:
            segment_ids = tf.zeros_like(token_ids)
        mask = tf.cast(tf.not_equal(token_ids, self.vocabulary.pad_id), tf.int32)
        states = self._states(token_ids, segment_ids, mask, training)
        weights = tf.cast(mask, states.dtype)[:, :, None]  # [batch, length, 1]
        if self.architecture == "gpt2":
            weights *= tf.cumsum(weights, axis=1)  # [batch, length, 1]
        total = tf.reduce_sum(states * weights, axis=1)  # [batch, width]
        return states, total / tf.maximum(tf.reduce_sum(weights, axis=1), 1.0)

    def blocked(self, sequences: SharedSequences, training: bool = False) -> tf.Tensor:
        """Encode sequences whose blocks see block 0 and themselves, and not each other.

        Block 0 sees itself alone, so its states, and those of a block, are what they would be
        without the other blocks. KerasHub's backbone takes no such mask, its layers do.

        Args:
            sequences: of `Assembler.shared`.
            training: whether dropout is on.

        Returns:
            float32 [batch, length, width].

        Raises:
            ConfigError: the encoder is no BERT.
        """
        if self.architecture != "bert":
            raise ConfigError(
                f"train.targets_per_sequence: the layers of {self.architecture} are not called "
                "with blocks; set encoder.architecture to bert, or the number to 0"
            )
        backbone, (ids, segments, positions, blocks) = self.backbone, sequences
        seen = (ids != self.vocabulary.pad_id)[:, None, :]  # [batch, 1, length]
        own = blocks[:, :, None] == blocks[:, None, :]  # [batch, length, length]
        mask = seen & (own | (blocks == 0)[:, None, :])
        tokens = backbone.token_embedding(ids)
        places = backbone.position_embedding(tokens, positions=positions)
        states = backbone.embeddings_add((tokens, places, backbone.segment_embedding(segments)))
        states = backbone.embeddings_layer_norm(states)
        states = backbone.embeddings_dropout(states, training=training)
        with policy_of(backbone.transformer_layers):
            for layer in backbone.transformer_layers:
                states = layer(states, attention_mask=mask, training=training)
        return tf.cast(states, tf.float32)

    def _states(
        self, token_ids: tf.Tensor, segment_ids: tf.Tensor, mask: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """Run the backbone on the inputs it has: float32 [batch, length, width]."""
        if self.streams is not None:
            states, _ = self.streams(token_ids, segment_ids, mask, training=training)
            return states
        inputs = {"token_ids": token_ids, "segment_ids": segment_ids, "padding_mask": mask}
        inputs = {name: inputs[name] for name in self.backbone.input}
        with policy_of(self.backbone.transformer_layers):
            outputs = self.backbone(inputs, training=training)
        return tf.cast(
            outputs["sequence_output"] if self.architecture == "bert" else outputs, tf.float32
        )
