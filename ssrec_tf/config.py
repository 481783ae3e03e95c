"""The configuration of a run: frozen dataclasses, read from one YAML file.

`load_config` refuses an unknown key and names the nearest known one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from math import inf
from pathlib import Path
from typing import Any

from ssrec_tf.config_data import check_data
from ssrec_tf.config_encoder import ARCHITECTURES, TUNINGS, check_architecture, check_tuning
from ssrec_tf.config_encoder import EncoderConfig as EncoderConfig
from ssrec_tf.config_io import build, override, read_yaml, show, to_plain
from ssrec_tf.config_objectives import check_objectives
from ssrec_tf.config_regularisation import BOUNDS, AlternativesConfig, check_regularisation
from ssrec_tf.config_training import DevicesConfig as DevicesConfig
from ssrec_tf.config_training import FactorConfig as FactorConfig
from ssrec_tf.config_training import LoopConfig as LoopConfig
from ssrec_tf.config_training import OptimizerConfig as OptimizerConfig
from ssrec_tf.config_training import PretrainConfig as PretrainConfig
from ssrec_tf.config_training import TrainConfig as TrainConfig
from ssrec_tf.errors import ConfigError


@dataclass(frozen=True)
class TableConfig:
    """One file and what its columns mean.

    `columns` maps a role or an attribute name of ours to a column of the file.
    Roles of interactions: user, item, time, rating, click, event, weight.
    Items need `item`, users need `user`; every other name is an attribute,
    whose kind (`text`, `category` or `number`) stands in `kinds` (default text).
    A category cell may hold several values, separated by `separator`.

    `delimiter` parts the cells of CSV (a comma) and TSV (a tab); of several characters, as in
    `::`, quotes quote nothing. `header` names the columns of such a file that does not itself.
    `decimal` is what stands before the fraction of its numbers, a point or a comma.
    """

    path: str
    columns: Mapping[str, str]
    kinds: Mapping[str, str] = field(default_factory=dict)
    format: str = "auto"
    encoding: str = "utf-8"
    delimiter: str = "auto"
    decimal: str = "."
    header: tuple[str, ...] = ()
    separator: str = "|"


@dataclass(frozen=True)
class DataConfig:
    """Where the rows come from: a named public dataset, or files of your own.

    Several item tables are joined on the item; many rows for one item
    (tags, say) become one cell of their distinct values.

    `unrated`: where it is given, an event may have no rating ("seen"): its cell is empty, or
    holds one of these numbers, as in [0] or [-1].
    """

    dataset: str | None = None
    interactions: TableConfig | None = None
    items: tuple[TableConfig, ...] = ()
    users: tuple[TableConfig, ...] = ()
    rating_scale: tuple[float, float] | None = None
    rating_step: float = 1.0
    click_threshold: float | None = None
    unrated: tuple[float, ...] | None = None
    max_reject_share: float = 0.01


@dataclass(frozen=True)
class SplitConfig:
    """`kind`: random, time, leave_one_out, either with _streaming behind, cold_item, u1 to u5."""

    kind: str = "random"
    seed: int = 42
    valid: float = 0.1
    test: float = 0.1


@dataclass(frozen=True)
class TextConfig:
    """How rows become text, and text becomes tokens.

    The word pieces are trained, or those of `huggingface` (a BERT folder) or `preset` (a
    KerasHub preset folder of BERT or DistilBERT).

    A template names attributes in braces; a part in square brackets is left out
    when its attribute is missing: `"{title}[ ({year})][. {genres}]"`. `{year:10}` is the
    number rounded down to a multiple of 10.
    """

    item_template: str = ""
    user_template: str = ""
    vocabulary_size: int = 8000
    lowercase: bool = True
    huggingface: str | None = None
    preset: str | None = None
    stop_words: tuple[str, ...] = ()
    mask_personal_data: bool = False
    max_item_tokens: int = 32
    max_user_tokens: int = 16
    alternatives: AlternativesConfig = field(default_factory=AlternativesConfig)


@dataclass(frozen=True)
class EvaluateConfig:
    """What is measured, and the thresholds a model must meet to be blessed.

    `thresholds` maps a metric to a bound: an upper one for errors (rmse, mae,
    log_loss, ece), a lower one for the rest. `beat` names a baseline to beat
    on `beat_metric`.
    """

    k: int = 10
    bootstrap: int = 1000
    seed: int = 0
    thresholds: Mapping[str, float] = field(default_factory=dict)
    beat: str | None = None
    beat_metric: str | None = None


@dataclass(frozen=True)
class ServeConfig:
    """Where the SavedModel is pushed, as `<push_to>/<version>/`."""

    push_to: str = "served/ssrec"


@dataclass(frozen=True)
class RunConfig:
    """One run, whole: what `configs/*.yaml` hold."""

    name: str
    data: DataConfig
    split: SplitConfig = field(default_factory=SplitConfig)
    text: TextConfig = field(default_factory=TextConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    serve: ServeConfig = field(default_factory=ServeConfig)
    devices: DevicesConfig = field(default_factory=DevicesConfig)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read and check the configuration of a run.

    Args:
        path: A YAML file; the fields of `RunConfig` are its keys.
        overrides: "key.of.it=value" each, set after the file is read.

    Returns:
        The configuration. Paths in it are as written: relative to the file's folder.

    Raises:
        StorageError: The file cannot be read.
        ConfigError: It is not YAML; a key is unknown (the nearest known one is
            named) or missing; a value has the wrong type or is out of bounds.
    """
    values = override(read_yaml(path), overrides)
    try:
        return from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def from_dict(values: object) -> RunConfig:
    """Build and check a `RunConfig` from plain values; the inverse of `to_dict`."""
    config = build(RunConfig, values)
    _check_values(config, "")
    if config.text.huggingface and config.text.preset:
        raise ConfigError("text.huggingface and text.preset are both given: leave one out")
    check_data(config.data)
    check_objectives(config.pretrain.objectives, config.pretrain.objectives_end)
    check_tuning(config)
    check_regularisation(config)
    if config.pretrain.loop.steps > 0:
        check_architecture(config.encoder.architecture, config.pretrain.objectives)
    if config.train.loop.steps < 1:
        raise ConfigError("train.loop.steps is 0: give a number of at least 1")
    if config.train.reading == "retrieval" and config.train.next_item_weight == 0:
        raise ConfigError("train.next_item_weight is 0: retrieval needs a number above 0")
    split = config.split
    if split.kind != "leave_one_out" and split.valid + split.test >= 1:
        raise ConfigError(
            f"split.valid={split.valid} and split.test={split.test} leave nothing to train on: "
            "their sum must be under 1"
        )
    return config


def to_dict(config: RunConfig) -> dict[str, Any]:
    """Turn a configuration into dicts, lists and scalars, defaults included."""
    plain: dict[str, Any] = to_plain(config)
    return plain


# By field name; by the whole key where a name means two things.
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "format": ("auto", "csv", "tsv", "jsonl", "parquet"),
    "decimal": (".", ","),
    "kind": (
        *("random", "time", "time_streaming", "leave_one_out", "leave_one_out_streaming"),
        "cold_item",
        *("u1", "u2", "u3", "u4", "u5"),
    ),
    "architecture": ARCHITECTURES,
    "size": ("tiny", "mini", "small", "base"),
    "reading": ("two_level", "joint", "retrieval"),
    "task_weights": ("fixed", "uncertainty"),
    "item_text": ("encoder", "words", "both"),
    "pair_head": ("auto", "neural", "factorization", "both"),
    "tuning": TUNINGS,
    "strategy": ("one", "mirrored", "multi_worker", "tpu"),
    "compute_dtype": ("float32", "bfloat16"),
    "train.ensemble.kind": ("none", "deep", "snapshot", "swag"),
}
# Field name -> smallest and largest value; the same name means the same thing everywhere.
_BOUNDS: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(
        ("max_reject_share", "mask_rate", "item_token_dropout", "dropout", "id_dropout"), (0, 1)
    ),
    **dict.fromkeys(("valid", "test", "teacher_weight"), (0, 1)),
    **dict.fromkeys(
        ("evaluate_every", "checkpoint_every", "patience", "k", "width", "starts"), (1, inf)
    ),
    **dict.fromkeys(("max_history", "max_targets", "max_item_tokens", "word_min_items"), (1, inf)),
    **{"accumulate": (1, inf), "layers": (0, inf), "met_often": (0, inf)},
    **{"level_precision": (0, inf), "rare_items": (0, inf)},
    **dict.fromkeys(
        (
            "batch_size",
            "seed",
            "bootstrap",
            "steps",
            "encoder_steps",
            "warmup_steps",
            "max_user_tokens",
        ),
        (0, inf),
    ),
    **dict.fromkeys(
        ("learning_rate", "weight_decay", "rating_weight", "click_weight", "next_item_weight"),
        (0, inf),
    ),
    **dict.fromkeys(
        (
            "precision",
            "behaviour_width",
            "successor_width",
            "companion_width",
            "autoencoder_width",
            "popularity_days",
            "text_width",
            "waves",
        ),
        (0, inf),
    ),
    **dict.fromkeys(("clip_norm", "rating_step", "autoencoder_penalty"), (1e-9, inf)),
    "average": (0, 0.99999),
    **{"temperature": (0.001, inf), "members": (2, inf), "drawn_items": (0, inf)},
    "targets_per_sequence": (0, inf),
    "sequence_length": (8, 512),
    "vocabulary_size": (100, 1_000_000),
    **BOUNDS,
}


def _check_values(config: object, key: str) -> None:
    """Check choices and bounds, wherever in the tree the field stands."""
    for item in fields(config):  # type: ignore[arg-type]
        value = getattr(config, item.name)
        path = f"{key}.{item.name}" if key else item.name
        allowed = _CHOICES.get(path, _CHOICES.get(item.name))
        if allowed and value not in allowed:
            raise ConfigError(f"{path} is {show(value)}: give one of {', '.join(allowed)}")
        low, high = _BOUNDS.get(item.name, (-inf, inf))
        if isinstance(value, (int, float)) and not low <= value <= high:
            bounds = f"of at least {low:g}" if high == inf else f"from {low:g} to {high:g}"
            raise ConfigError(f"{path} is {value}: give a number {bounds}")
        for i, part in enumerate(value if isinstance(value, tuple) else (value,)):
            if is_dataclass(part):
                _check_values(part, f"{path}[{i}]" if isinstance(value, tuple) else path)
