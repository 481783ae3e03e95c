"""The two trainings by name: `pretrain` an encoder on text, `fit` the heads on labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from ssrec_tf.adversarial import FastGradient
from ssrec_tf.batching import (
    Batch,
    BatchConfig,
    columns_of_train,
    evaluation_batches,
    some_batches,
    train_batches,
)
from ssrec_tf.biases import biases
from ssrec_tf.config import EncoderConfig, LoopConfig, PretrainConfig, TrainConfig
from ssrec_tf.cooccurrence import (
    autoencoder_vectors,
    companion_vectors,
    pairs_of_logs,
    successor_vectors,
    vectors_of_logs,
)
from ssrec_tf.encoders import Encoder
from ssrec_tf.errors import ConfigError
from ssrec_tf.objectives import MaskedToken, Mixture, make_objective
from ssrec_tf.popularity import recent_shift
from ssrec_tf.recommenders import BIAS_PRECISION, Indexed, Joint, Recommender, Retrieval, TwoLevel
from ssrec_tf.statistics import LabelStatistics
from ssrec_tf.tensorboard import filled_masks, item_projector
from ssrec_tf.text_table import TextTable
from ssrec_tf.training import Trainable, TrainState, Validation, not_trained, train

_VALID_ROWS = 10_000  # users of the valid part that a validation of heads reads, about
_VALID_BATCHES = 8  # validation of a pretraining reads this many batches, always the same


def create_encoder(config: EncoderConfig, text: TextTable, *, seed: int) -> Encoder:
    """Make an encoder whose fresh weights follow from `seed`."""
    keras.utils.set_random_seed(seed)
    return Encoder.create(config, text.vocabulary)


def pretrain(
    encoder: Encoder,
    text: TextTable,
    examples: Path,
    config: PretrainConfig,
    *,
    past_only: bool,
    workdir: Path,
) -> TrainState:
    """Pretrain `encoder` in place by the tasks that `config.objectives` weighs.

    Args:
        encoder: changed in place; at the end it holds the weights with the least
            validation loss.
        text: the token table.
        examples: folder of `write_examples`. Validation reads fixed batches of the
            train histories, with a fixed seed: no valid or test row is read.
        config: of the training.
        past_only: as in the split.
        workdir: checkpoints and TensorBoard logs; a killed run goes on from here.

    Returns:
        The state with the learning curve.

    Raises:
        ConfigError: an objective is unknown, or the data lack what it reads.
        NonFiniteError: the loss or a gradient became NaN or infinite.
    """
    if config.loop.steps == 0:
        return not_trained(workdir)
    config = replace(config, loop=config.loop.sized())
    keras.utils.set_random_seed(config.loop.seed)
    objective = make_objective(encoder, text, config)
    sizes = BatchConfig(config.loop.batch_size, 128, 1, past_only=past_only)
    fixed = list(train_batches(examples, sizes, seed=config.loop.seed + 1).take(_VALID_BATCHES))
    first, start = fixed[0][1], tf.zeros([2], tf.int64)
    objective.losses_of(first, seed=start, training=False)  # makes the weights
    losses = tf.function(
        lambda batch, seed: objective.losses_of(batch, seed=seed, training=False),
        reduce_retracing=True,
        autograph=False,
    )

    def measure() -> Mapping[str, float]:
        rows = [losses(batch, tf.constant([1, 0], tf.int64) + step) for step, batch in fixed]
        return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}

    parts = objective.parts.values() if isinstance(objective, Mixture) else [objective]
    masked_token = next((part for part in parts if isinstance(part, MaskedToken)), None)

    def observe(step: int, _: tf.summary.SummaryWriter) -> None:
        if masked_token is not None:
            filled_masks(masked_token, first, step)

    return train(
        objective,
        lambda start: train_batches(examples, sizes, seed=config.loop.seed, start=start),
        config=config.loop,
        optimizer=config.optimizer,
        validation=Validation(measure),
        workdir=workdir,
        name="pretrain",
        observer=observe,
        adversarial=FastGradient(config.regularisation.adversarial_epsilon, [encoder.token_table]),
    )


def make_recommender(
    encoder: Encoder, text: TextTable, statistics: LabelStatistics, config: TrainConfig
) -> Recommender:
    """Build the recommender that `config.reading` names.

    Of an encoder with a tuning, only what that added is trained from here on.

    Raises:
        ConfigError: the reading is unknown.
    """
    keras.utils.set_random_seed(config.loop.seed)
    readings: dict[str, type[Recommender]] = {
        "two_level": TwoLevel,
        "joint": Joint,
        "retrieval": Retrieval,
    }
    if config.reading not in readings:
        raise ConfigError(f"train.reading={config.reading!r} must be one of {', '.join(readings)}")
    encoder.freeze_base()
    reading = readings[config.reading]
    # What encodes all that it reads has no bargain in a large batch.
    users = len(text.user_tokens) if issubclass(reading, Indexed) else 0
    config = replace(config, loop=config.loop.sized(users))
    model = reading(encoder, text, statistics, config)
    model.build_layers()
    return model


def fit(
    model: Recommender,
    examples: Path,
    *,
    past_only: bool,
    workdir: Path,
    trainable: Trainable | None = None,
) -> TrainState:
    """Fine-tune the heads, and the encoder where the reading trains it.

    Args:
        model: of `make_recommender`; at the end it holds the weights that did best on the
            valid part (squared error, else cross-entropy, else next-item loss).
        examples: folder of `write_examples`.
        past_only: as in the split.
        workdir: checkpoints and TensorBoard logs; a killed run goes on from here.
        trainable: over the model's weights, whose losses the heads are trained by; the model
            itself when not given. The valid part is judged by the model in any case.

    Returns:
        The state with the learning curve.

    Raises:
        NonFiniteError: the loss or a gradient became NaN or infinite.
    """
    config = model.config
    trainable = trainable or model
    if isinstance(model, Indexed):
        if config.encoder_steps > 0:
            loop = replace(config.loop, steps=config.encoder_steps)
            model.encoder.trainable = True
            model.store_items()
            stage = workdir / "encoder"
            _fit(model, model, examples, loop, past_only, stage, "train encoder")
        model.encoder.trainable = False
        model.store_items()
        store_behaviour(model, examples)
    state = _fit(model, trainable, examples, config.loop, past_only, workdir, "train heads")
    if isinstance(model, Indexed):
        item_projector(model, workdir / "tensorboard")
    return state


def store_behaviour(model: Indexed, examples: Path) -> None:
    """Give a model what train rows say of items in closed form, before any step."""
    logs, ratings = columns_of_train(examples, "items", "ratings")
    count = len(model.text.item_tokens)
    if model.items.factors is not None:
        factors = model.config.factors
        model.items.store_behaviour(vectors_of_logs(logs, count, factors.behaviour_width))
        model.items.start_levels(item_levels(model, logs, ratings, factors.level_precision))
    if isinstance(model, TwoLevel):
        config = model.config
        model.store_order(
            *successor_vectors(logs, count, config.successor_width),
            companion_vectors(logs, count, config.companion_width),
            *autoencoder_vectors(logs, count, config.autoencoder_width, config.autoencoder_penalty),
        )


def item_levels(
    model: Indexed, logs: list[np.ndarray], ratings: list[np.ndarray], damping: float
) -> np.ndarray:
    """Items' biases, in deviations of the ratings: float64 [items + 1]; by users' logs."""
    users, items = pairs_of_logs(logs)
    stars = model.stars(np.concatenate([np.empty(0, np.float32), *ratings]))
    rated = ~np.isnan(stars)
    return biases(
        users[rated],
        items[rated],
        stars[rated],
        shape=(len(logs), len(model.text.item_tokens)),
        damping=(BIAS_PRECISION, damping),
    )[1]


def follow_recent(model: Indexed, examples: Path) -> None:
    """Shift the next item's log shares to what `train.popularity_days` says is recent."""
    if model.config.popularity_days > 0:
        items, times = (
            np.concatenate([np.empty(0, np.int64), *column])
            for column in columns_of_train(examples, "items", "times")
        )
        count = len(model.text.item_tokens)
        shift = recent_shift(items, times, count, model.config.popularity_days)
        model.items.next_bias.assign_add(shift)


def _fit(
    model: Recommender,
    trainable: Trainable,
    examples: Path,
    loop: LoopConfig,
    past_only: bool,
    workdir: Path,
    name: str,
) -> TrainState:
    config = model.config
    keras.utils.set_random_seed(loop.seed)
    sizes = batch_config(config, past_only=past_only)
    return train(
        trainable,
        lambda start: train_batches(examples, sizes, seed=loop.seed, start=start),
        config=loop,
        optimizer=config.optimizer,
        validation=Validation(_measure(model, examples, sizes), _monitor(model)),
        workdir=workdir,
        name=name,
        adversarial=FastGradient(
            config.regularisation.adversarial_epsilon, model.input_embeddings()
        ),
    )


def _measure(
    model: Recommender, examples: Path, sizes: BatchConfig
) -> Callable[[], Mapping[str, float]]:
    """Make what measures the losses of the valid part."""
    # Compiled once for batches of all lengths, the last and smaller one too.
    batch = evaluation_batches(examples, "valid", sizes).element_spec
    if not isinstance(model, Indexed):
        losses = tf.function(
            lambda batch: model.losses_of(batch, seed=tf.zeros([2], tf.int64), training=False),
            input_signature=[batch],
            autograph=False,
        )
        return lambda: _weighted_means(losses, examples, sizes)
    by_index = tf.function(
        model.losses_by,
        input_signature=[tf.TensorSpec([None, None], tf.float32), batch],
        autograph=False,
    )
    index = tf.function(model.index, autograph=False)  # compiled once for all validations

    def measure() -> Mapping[str, float]:
        model.items.settle()
        return _weighted_means(partial(by_index, index()), examples, sizes)

    return measure


def batch_config(config: TrainConfig, *, past_only: bool) -> BatchConfig:
    """Sizes of a fine-tuning batch."""
    size = config.loop.sized().batch_size
    return BatchConfig(size, config.max_history, config.max_targets, past_only)


def _monitor(model: Recommender) -> str:
    if isinstance(model, Retrieval):
        return "next_item_loss"  # what it is for
    if model.statistics.has_rating and model.config.rating_weight > 0:
        return "rating_loss"
    if model.statistics.has_click and model.config.click_weight > 0:
        return "click_loss"
    return "next_item_loss"


def _weighted_means(
    losses: Callable[[Batch], dict[str, tf.Tensor]], examples: Path, sizes: BatchConfig
) -> dict[str, float]:
    """Means over valid rows, `_VALID_ROWS` if there are more: a batch counts by its targets."""
    totals: dict[str, float] = {}
    rows = 0
    for batch in some_batches(examples, "valid", sizes, _VALID_ROWS):
        count = int(np.sum(batch["target_rows"].numpy() >= 0))
        for key, value in losses(batch).items():
            totals[key] = totals.get(key, 0.0) + float(value) * count
        rows += count
    return {key: total / max(rows, 1) for key, total in totals.items()}
