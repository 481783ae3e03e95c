"""Shards to batches, inside the TensorFlow graph: parse, draw targets, pad.

Order and draws are a function of (seed, step): a resumed run starts at any step
and sees what an unbroken one would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import tensorflow as tf

from ssrec_tf.errors import DataError
from ssrec_tf.examples import FEATURES, read_info

Batch = dict[str, tf.Tensor]

_SHUFFLE_BUFFER = 8192
_SHORTEST = 64  # events; histories are padded to this, twice this, and so on
# Of draws in order of time: the share that begin a log, so that new users are read too, and
# the share whose targets are told by one another, as they will be once they are history.
_FROM_NOTHING, _TOLD = 0.3, 0.5


@dataclass(frozen=True)
class BatchConfig:
    """Static sizes of a batch, and how its targets are drawn.

    `past_only`: a history, now and then an empty one, ends where its targets begin.
    Otherwise a random tenth to half of a log is the targets and the rest the history, so
    that no rating is ever both read and predicted.
    """

    batch_size: int
    max_history: int
    max_targets: int
    past_only: bool


def train_batches(
    folder: Path, config: BatchConfig, *, seed: int, start: int = 0
) -> tf.data.Dataset:
    """Endless training batches from step `start` on.

    Args:
        folder: written by `write_examples`.
        config: static sizes and the rule for drawing.
        seed: of the run.
        start: the first step to give.

    Returns:
        Dataset of (step int64 [], batch). In a batch, with b the batch size, t the most
        targets and h a length that fits its longest history (64, 128 and so on, up to the
        maximum: few shapes, little padding): `user` int32 [b]; `history_items`,
        `target_items` int32 [b, h] and [b, t], 0 is padding; `history_ratings`,
        `target_ratings`, `target_clicks` float32, NaN where there is none; `history_times`,
        `target_times` int64, 0 where there is none; `target_rows` int64 [b, t] (-1);
        `target_peers` float32 [b, t], 1 where the row's other targets may be read beside it.

    Raises:
        DataError: fewer records than one batch needs.
    """
    # A log is dealt once for every `max_targets` of its rows, so that heavy users count.
    per_epoch = _draws(folder, config) // config.batch_size
    if per_epoch == 0:
        raise DataError(
            f"{folder}: {read_info(folder)['train'].examples} train logs do not fill a batch of "
            f"{config.batch_size}; lower train.loop.batch_size"
        )

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        records = read_logs(folder, "train").flat_map(
            lambda log: tf.data.Dataset.from_tensors(log).repeat(_times_dealt(log, config))
        )
        # The epoch's number is part of the seed: a new order each time, the same on resume.
        records = records.shuffle(
            _SHUFFLE_BUFFER, seed=seed * 1_000_003 + number, reshuffle_each_iteration=False
        )
        indexed = records.enumerate(number * per_epoch * config.batch_size)
        drawn = indexed.map(
            lambda index, log: _draw(log, tf.stack([tf.cast(seed, tf.int64), index]), config),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        return _padded(drawn, config, drop_remainder=True)

    epochs = tf.data.Dataset.range(start // per_epoch, 2**31).flat_map(epoch)
    steps = epochs.skip(start % per_epoch).enumerate(start)
    return steps.prefetch(tf.data.AUTOTUNE)


def evaluation_batches(folder: Path, part: str, config: BatchConfig) -> tf.data.Dataset:
    """Give every target of `part` ("valid" or "test") once, beside what it may read."""
    # A record of a streaming split has one target: no padding to the 64 of another.
    most = min(config.max_targets, read_info(folder)[part].targets)
    config = replace(config, max_targets=most)
    parsed = read_logs(folder, part).map(lambda log: _trim(log, config))
    return _padded(parsed, config, drop_remainder=False).prefetch(tf.data.AUTOTUNE)


def read_logs(folder: Path, part: str) -> tf.data.Dataset:
    """Records of a part as `write_examples` wrote them: of train one a user."""
    shards = sorted(str(path) for path in folder.glob(f"{part}-*.tfrecord"))
    records = tf.data.TFRecordDataset(shards)
    return records.map(
        lambda record: tf.io.parse_single_example(record, FEATURES),
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def _times_dealt(log: Batch, config: BatchConfig) -> tf.Tensor:
    """How many times a log is dealt in one epoch: once for each `max_targets` rows."""
    rows = tf.shape(log["history_items"], out_type=tf.int64)[0]
    return tf.where(rows < 2, tf.constant(0, tf.int64), -(-rows // config.max_targets))


def _draws(folder: Path, config: BatchConfig) -> int:
    counts = read_logs(folder, "train").map(lambda log: _times_dealt(log, config))
    return int(counts.reduce(tf.constant(0, tf.int64), lambda total, count: total + count))


def _draw(log: Batch, seed: tf.Tensor, config: BatchConfig) -> Batch:
    """Part a log into history and targets, at random or at a moment of it."""
    rows = tf.shape(log["history_items"])[0]
    share_seed, order_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    if config.past_only:
        cut = tf.random.stateless_uniform([], share_seed, 1, rows, tf.int32)
        rule_seed = tf.random.experimental.stateless_fold_in(share_seed, 1)
        begins, told = tf.unstack(tf.random.stateless_uniform([2], rule_seed))
        cut = tf.where(begins < _FROM_NOTHING, 0, cut)
        history = tf.range(cut)
        target = tf.range(cut, tf.minimum(rows, cut + config.max_targets))
        peers = tf.cast(told < _TOLD, tf.float32)
    else:
        share = tf.random.stateless_uniform([], share_seed, 0.1, 0.5)
        count = tf.cast(share * tf.cast(rows, tf.float32), tf.int32)
        count = tf.clip_by_value(count, 1, config.max_targets)
        order = tf.argsort(tf.random.stateless_uniform([rows], order_seed))  # [rows]
        target = tf.sort(order[:count])
        history = tf.sort(order[count:])
        peers = tf.constant(1.0)
    drawn = {"user": log["user"]}
    for name in ("items", "ratings", "clicks", "times"):
        column = log[f"history_{name}"]  # [rows]
        drawn[f"history_{name}"] = tf.gather(column, history)
        drawn[f"target_{name}"] = tf.gather(column, target)
    drawn["target_rows"] = tf.fill(tf.shape(target), tf.constant(-1, tf.int64))
    drawn["target_peers"] = tf.fill(tf.shape(target), peers)
    return _trim(drawn, config)


def _trim(log: Batch, config: BatchConfig) -> Batch:
    """Keep the newest `max_history` of the history; narrow the integers."""
    trimmed = {"user": tf.cast(log["user"], tf.int32), "target_rows": log["target_rows"]}
    trimmed["target_peers"] = log.get("target_peers", tf.zeros(tf.shape(log["target_rows"])))
    for name in ("history_items", "target_items"):
        trimmed[name] = tf.cast(log[name], tf.int32)
    for name in ("history_ratings", "target_ratings", "target_clicks"):
        trimmed[name] = log[name]
    for name in ("history_times", "target_times"):
        trimmed[name] = log[name]
    for name in ("history_items", "history_ratings", "history_times"):
        trimmed[name] = trimmed[name][-config.max_history :]
    return trimmed


def _padded(logs: tf.data.Dataset, config: BatchConfig, *, drop_remainder: bool) -> tf.data.Dataset:
    history, targets = [None], [config.max_targets]
    nan = tf.constant(float("nan"))
    zero = tf.constant(0, tf.int32)
    shapes = {
        "user": ([], zero),
        "history_items": (history, zero),
        "history_ratings": (history, nan),
        "history_times": (history, tf.constant(0, tf.int64)),
        "target_items": (targets, zero),
        "target_ratings": (targets, nan),
        "target_clicks": (targets, nan),
        "target_times": (targets, tf.constant(0, tf.int64)),
        "target_rows": (targets, tf.constant(-1, tf.int64)),
        "target_peers": (targets, tf.constant(0.0)),
    }
    batches = logs.padded_batch(
        config.batch_size,
        padded_shapes={name: shape for name, (shape, _) in shapes.items()},
        padding_values={name: value for name, (_, value) in shapes.items()},
        drop_remainder=drop_remainder,
    )
    return batches.map(lambda batch: _bucketed(batch, config), num_parallel_calls=tf.data.AUTOTUNE)


def _bucketed(batch: Batch, config: BatchConfig) -> Batch:
    """Pad histories up to one of few lengths, so that few shapes occur."""
    lengths = [_SHORTEST]
    while lengths[-1] < config.max_history:
        lengths.append(2 * lengths[-1])
    lengths[-1] = config.max_history
    longest = tf.shape(batch["history_items"])[1]
    fits = tf.boolean_mask(lengths, tf.constant(lengths) >= longest)  # ascending, never empty
    padding = [[0, 0], [0, fits[0] - longest]]
    items = tf.pad(batch["history_items"], padding)  # [batch, h]
    ratings = tf.pad(batch["history_ratings"], padding, constant_values=float("nan"))
    times = tf.pad(batch["history_times"], padding)  # [batch, h]
    padded = {"history_items": items, "history_ratings": ratings, "history_times": times}
    return {**batch, **padded}
