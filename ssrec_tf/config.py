"""The configuration of a run: frozen dataclasses, read from one YAML file.

`load_config` refuses an unknown key and names the nearest known one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TableConfig:
    """One file and what its columns mean.

    `columns` maps a role or an attribute name of ours to a column of the file.
    Roles of interactions: user, item, time, rating, click, event, weight.
    Items need `item`, users need `user`; every other name is an attribute,
    whose kind (`text`, `category` or `number`) stands in `kinds` (default text).
    A category cell may hold several values, separated by `separator`.
    """

    path: str
    columns: Mapping[str, str]
    kinds: Mapping[str, str] = field(default_factory=dict)
    format: str = "auto"
    encoding: str = "utf-8"
    separator: str = "|"


@dataclass(frozen=True)
class DataConfig:
    """Where the rows come from: a named public dataset, or files of your own.

    Several item tables are joined on the item; many rows for one item
    (tags, say) become one cell of their distinct values.
    """

    dataset: str | None = None
    interactions: TableConfig | None = None
    items: tuple[TableConfig, ...] = ()
    users: tuple[TableConfig, ...] = ()
    rating_scale: tuple[float, float] | None = None
    rating_step: float = 1.0
    click_threshold: float | None = None
    max_reject_share: float = 0.01


@dataclass(frozen=True)
class SplitConfig:
    """`kind`: random, time, leave_one_out or cold_item."""

    kind: str = "random"
    seed: int = 42
    valid: float = 0.1
    test: float = 0.1


@dataclass(frozen=True)
class TextConfig:
    """How rows become text, and text becomes tokens.

    A template names attributes in braces; a part in square brackets is left out
    when its attribute is missing: `"{title}[ ({year})][. {genres}]"`.
    """

    item_template: str = ""
    user_template: str = ""
    vocabulary_size: int = 8000
    lowercase: bool = True
    huggingface: str | None = None
    stop_words: tuple[str, ...] = ()
    mask_personal_data: bool = False
    max_item_tokens: int = 32
    max_user_tokens: int = 16


@dataclass(frozen=True)
class EncoderConfig:
    """`size`: tiny, mini, small or base, from scratch; or `huggingface`: a BERT folder."""

    size: str = "tiny"
    huggingface: str | None = None
    dropout: float = 0.1


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with linear warm-up and decay, clipped by global norm."""

    learning_rate: float = 1e-3
    warmup_steps: int = 100
    weight_decay: float = 0.01
    clip_norm: float = 1.0


@dataclass(frozen=True)
class LoopConfig:
    """How long a training lasts and how often it looks up."""

    steps: int = 1000
    batch_size: int = 32
    evaluate_every: int = 100
    checkpoint_every: int = 100
    patience: int = 5
    seed: int = 7


@dataclass(frozen=True)
class PretrainConfig:
    """Masked-token prediction on rendered behaviour (Devlin et al. 2019, section 3.1)."""

    loop: LoopConfig = field(default_factory=LoopConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    sequence_length: int = 128
    mask_rate: float = 0.15
    whole_word: bool = False
    item_token_dropout: float = 0.3


@dataclass(frozen=True)
class TrainConfig:
    """Fine-tuning of the heads. `reading`: two_level or joint."""

    reading: str = "two_level"
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(batch_size=16))
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    max_history: int = 128
    max_targets: int = 64
    width: int = 64
    dropout: float = 0.2
    id_dropout: float = 0.2
    encoder_steps: int = 0
    rating_weight: float = 1.0
    click_weight: float = 0.3
    next_item_weight: float = 0.05


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
