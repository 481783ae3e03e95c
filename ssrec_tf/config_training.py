"""How the encoder is pretrained and the heads are fine-tuned, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ssrec_tf.config_ensemble import EnsembleConfig
from ssrec_tf.config_objectives import TaskConfig
from ssrec_tf.config_regularisation import RegularisationConfig

_SIZES = (32, 64, 128, 256)  # of a batch, unless one is given


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with linear warm-up and, unless not `decay`, linear decay, clipped by global norm.

    `average`: momentum of a running mean of the weights, say 0.99, which is what is
    validated and kept; 0 keeps the weights themselves.
    `accumulate`: batches whose gradients' mean is one update: one batch, so many times as
    large, that need not fit into memory. Steps count batches.
    """

    learning_rate: float = 1e-3
    warmup_steps: int = 100
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    average: float = 0.0
    decay: bool = True
    accumulate: int = 1


@dataclass(frozen=True)
class DevicesConfig:
    """What trains: by `strategy`, one device, or several as if they were one.

    mirrored: all GPUs of this machine; tpu: the one it is attached to; multi_worker: a
    process on each machine that `TF_CONFIG` names. Weights and losses are those
    of one device but for rounding, and for what dropout draws.
    """

    strategy: str = "one"


@dataclass(frozen=True)
class LoopConfig:
    """How long a training lasts and how often it looks up.

    `batch_size` of 0: 32, and of heads over stored items as many as let the steps read each
    user's log once, 256 at most: a step over a large catalogue costs much, a user more little.
    `steps` of a pretraining may be 0: a published encoder is then left as it is. `xla`: the
    whole step is compiled by XLA, once for each length of the histories.
    `compute_dtype`: float32, or bfloat16, in which matrices are then multiplied on a chip that
    has instructions for it; weights, sums and losses stay in float32 (`precision`).
    """

    steps: int = 1000
    batch_size: int = 0
    evaluate_every: int = 100
    checkpoint_every: int = 100
    patience: int = 5
    seed: int = 7
    xla: bool = False
    compute_dtype: str = "float32"

    def sized(self, users: int = 0) -> LoopConfig:
        """Choose a batch size where none is given, for so many users."""
        wanted = self.batch_size or next(
            size for size in _SIZES if size >= min(users / max(self.steps, 1), _SIZES[-1])
        )
        return replace(self, batch_size=wanted)


@dataclass(frozen=True)
class PretrainConfig:
    """Self-supervised tasks, weighed by name; a weight moves to `objectives_end` over the steps."""

    loop: LoopConfig = field(default_factory=LoopConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    sequence_length: int = 128
    mask_rate: float = 0.15
    whole_word: bool = False
    item_token_dropout: float = 0.3
    objectives: Mapping[str, float] = field(default_factory=lambda: {"masked_token": 1.0})
    objectives_end: Mapping[str, float] = field(default_factory=dict)
    tasks: TaskConfig = field(default_factory=TaskConfig)
    regularisation: RegularisationConfig = field(default_factory=RegularisationConfig)


@dataclass(frozen=True)
class FactorConfig:
    """The factorization of the two-level reading.

    `precision`: of its weights' prior, in precisions of one rating's noise.
    `level_precision`: the same of an item's level, so in ratings: one of so many is half believed.
    `rare_items`: what the id of an item of so many events says of tastes is held twice as hard,
    of one of a tenth eleven times; 0 holds all alike, which suits logs of few rare items.
    `behaviour_width`: length of the items' co-occurrence vectors; 0 does without.
    `text_width`: how many leading directions of the encoder's vectors a user's taste may
    follow; 0 for none.
    `waves`: frequencies for each pace at which a user's bias drifts; 0 keeps it still.
    `starts`: factorizations from so many starts, trained side by side; their mean is served.
    `met_often`: an item met so often counts half of what its events say where the met tell of
    the unmet; 1 suits new items that hardly anyone meets, 100 such as are met like the others.
    0 chooses, once all is learnt, what suits those of the valid part.
    """

    width: int = 16
    precision: float = 300.0
    level_precision: float = 6.0
    rare_items: float = 100.0
    behaviour_width: int = 32
    text_width: int = 0
    waves: int = 6
    starts: int = 1
    met_often: float = 0.0


@dataclass(frozen=True)
class TrainConfig:
    """Fine-tuning of the heads.

    `reading`: two_level, joint or retrieval. `item_text`, of all but the joint reading: what
    speaks for an item beside its id; encoder (its vector, frozen), words (their embeddings,
    learnt from the labels, of those in `word_min_items` train items or more) or both.
    `pair_head`, of the two-level reading: what scores a pair; neural, factorization, both, or
    auto, a factorization where there are ratings.
    `successor_width`, `companion_width`, `autoencoder_width`, of the two-level reading: lengths
    of the vectors that say which item follows which, which go together, and which a linear
    autoencoder of the log finds by which (the larger its `autoencoder_penalty`, the less it
    knows by heart); 0 does without. `popularity_days`, of
    all but the joint reading: in splits whose histories end before their targets, popularity is
    at last set to that of about so many newest days of train; 0 leaves that of all.
    `targets_per_sequence`, of the joint reading of a BERT: candidates that share one history in
    one sequence, unseen by it and by each other; 0 reads each pair alone, all seeing all.
    `task_weights`: fixed, or uncertainty, which learns them and reads of `rating_weight` and
    its like only whether they are 0. Of the retrieval reading: `temperature`, by which
    cosines are divided, and `sampling_correction`, of frequent in-batch negatives.
    """

    reading: str = "two_level"
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=300, patience=10))
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(
            learning_rate=1e-2, warmup_steps=50, weight_decay=1.0, average=0.99
        )
    )
    max_history: int = 128
    max_targets: int = 64
    width: int = 64
    dropout: float = 0.2
    id_dropout: float = 0.2
    item_text: str = "encoder"
    word_min_items: int = 10
    pair_head: str = "auto"
    factors: FactorConfig = field(default_factory=FactorConfig)
    successor_width: int = 128
    companion_width: int = 64
    autoencoder_width: int = 256
    autoencoder_penalty: float = 300.0
    popularity_days: float = 0.0
    encoder_steps: int = 0
    joint_length: int = 128
    targets_per_sequence: int = 0
    rating_weight: float = 1.0
    click_weight: float = 0.3
    next_item_weight: float = 0.05
    regularisation: RegularisationConfig = field(default_factory=RegularisationConfig)
    task_weights: str = "fixed"
    temperature: float = 0.1
    sampling_correction: bool = True
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)

    def pair_head_of(self, *, rated: bool) -> str:
        """Say which pair head it is for data with or without ratings."""
        if self.pair_head != "auto":
            return self.pair_head
        return "factorization" if rated else "neural"
