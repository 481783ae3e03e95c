"""Shards to batches, inside the TensorFlow graph: parse, draw targets, pad, a batch at a time.

Order and draws are a function of (seed, step): a resumed run starts at any step
and sees what an unbroken one would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ssrec_tf import philox
from ssrec_tf.errors import DataError
from ssrec_tf.examples import FEATURES, read_info

Batch = dict[str, tf.Tensor]
Logs = dict[str, Any]  # columns by feature: ragged [n, (rows)], and `user` [n]

_SHUFFLE_BUFFER = 8192
_READ = 256  # records parsed at once where only their lengths are asked for
_COLUMNS = ("items", "ratings", "clicks", "times")
_READ_ONLY = {name: how for name, how in FEATURES.items() if not name.startswith("target_")}
_SHORTEST = 64  # events; histories are padded to this, twice this, and so on
# Of draws in order of time: the share that begin a log, so that new users are read too, and
# the share whose targets are told by one another, as they will be once they are history.
_FROM_NOTHING, _TOLD = 0.3, 0.5
# Nothing below holds a condition or loop of Python's that is a tensor's: AutoGraph would only
# rewrite every function that a dataset maps, which takes seconds.
_AS_WRITTEN = tf.autograph.experimental.do_not_convert


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


@_AS_WRITTEN
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
        records = _shards(folder, "train").batch(_READ).map(lambda some: _dealt(some, config))
        # The epoch's number is part of the seed: a new order each time, the same on resume.
        records = records.unbatch().shuffle(
            _SHUFFLE_BUFFER, seed=seed * 1_000_003 + number, reshuffle_each_iteration=False
        )
        indexed = records.enumerate(number * per_epoch * config.batch_size)
        return indexed.batch(config.batch_size, drop_remainder=True).map(
            lambda index, some: _draw(parse_logs(some, targets=False), _seeds(seed, index), config),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    epochs = tf.data.Dataset.range(start // per_epoch, 2**31).flat_map(epoch)
    steps = epochs.skip(start % per_epoch).enumerate(start)
    return steps.prefetch(tf.data.AUTOTUNE)


@_AS_WRITTEN
def evaluation_batches(folder: Path, part: str, config: BatchConfig) -> tf.data.Dataset:
    """Give every target of `part` ("valid" or "test") once, beside what it may read.

    Raises:
        DataError: records hold more targets than a batch has room for.
    """
    most = read_info(folder)[part].targets
    if most > config.max_targets:
        raise DataError(
            f"{folder}: records of up to {most} targets do not fit train.max_targets="
            f"{config.max_targets}: set it to {most}, or write the examples anew"
        )
    # A record of a streaming split has one target: no padding to the 64 of another.
    config = replace(config, max_targets=most)
    return (
        _shards(folder, part)
        .batch(config.batch_size)
        .map(
            lambda some: _whole(parse_logs(some, targets=True), config),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .prefetch(tf.data.AUTOTUNE)
    )


def some_batches(folder: Path, part: str, config: BatchConfig, rows: int) -> tf.data.Dataset:
    """Give every n-th batch of `evaluation_batches`, always the same, about so many rows in all."""
    every = max(1, read_info(folder)[part].examples // rows)
    return evaluation_batches(folder, part, config).shard(every, 0)


@_AS_WRITTEN
def read_logs(folder: Path, part: str) -> tf.data.Dataset:
    """Records of a part as `write_examples` wrote them: of train one a user."""
    records = _shards(folder, part)
    return records.map(
        lambda record: tf.io.parse_single_example(record, FEATURES),
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def columns_of_train(folder: Path, *names: str) -> list[list[np.ndarray]]:
    """Columns of the train rows, of "items", "ratings" and so on: each an array [events] a user."""
    logs = list(read_logs(folder, "train"))
    return [[log[f"history_{name}"].numpy() for log in logs] for name in names]


def parse_logs(records: tf.Tensor, *, targets: bool) -> Logs:
    """Parse many records at once, with or without targets: string [n] to columns of n rows.

    Ops of a graph cost some microseconds each, whatever they work on; called a record at a
    time they are most of what an input pipeline does.
    """
    features = FEATURES if targets else _READ_ONLY
    return Logs(tf.io.parse_example(records, features))


def _shards(folder: Path, part: str) -> tf.data.Dataset:
    """Serialized records of a part: string []."""
    return tf.data.TFRecordDataset(sorted(str(p) for p in folder.glob(f"{part}-*.tfrecord")))


def _times_dealt(rows: tf.Tensor, config: BatchConfig) -> tf.Tensor:
    """How many times a log is dealt in one epoch: once for each `max_targets` rows."""
    return tf.where(rows < 2, tf.constant(0, tf.int64), -(-rows // config.max_targets))


def _counts(records: tf.Tensor, config: BatchConfig) -> tf.Tensor:
    """How many times each record is dealt: string [n] to int64 [n]."""
    items = {"history_items": FEATURES["history_items"]}
    return _times_dealt(tf.io.parse_example(records, items)["history_items"].row_lengths(), config)


def _dealt(records: tf.Tensor, config: BatchConfig) -> tf.Tensor:
    """Repeat each record as often as it is dealt: string [n] to [draws]."""
    return tf.repeat(records, _counts(records, config))


@_AS_WRITTEN
def _draws(folder: Path, config: BatchConfig) -> int:
    counts = _shards(folder, "train").batch(_READ).map(lambda some: _counts(some, config))
    return int(counts.reduce(tf.constant(0, tf.int64), lambda sum_, n: sum_ + tf.reduce_sum(n)))


def _seeds(seed: int, index: tf.Tensor) -> tf.Tensor:
    """The seed of each draw, the run's and its own number: int64 [batch] to [batch, 2]."""
    return tf.stack([tf.fill(tf.shape(index), tf.constant(seed, tf.int64)), index], axis=1)


def _draw(logs: Logs, seeds: tf.Tensor, config: BatchConfig) -> Batch:
    """Part logs into history and targets, at random or at a moment of each."""
    rows = tf.cast(logs["history_items"].row_lengths(), tf.int32)[:, None]  # [batch, 1]
    place = tf.range(tf.reduce_max(rows))[None, :]  # [1, rows of the longest]
    split = philox.split(seeds, 2)  # [batch, 2, 2]
    if config.past_only:
        cut = philox.integers(split[:, 0], 1, rows[:, 0])[:, None]  # [batch, 1]
        rule = philox.uniform(philox.fold_in(split[:, 0], 1), 2)  # [batch, 2]
        cut = tf.where(rule[:, :1] < _FROM_NOTHING, 0, cut)
        history = (place < cut) & (place < rows)  # [batch, rows of the longest]
        target = (place >= cut) & (place < tf.minimum(rows, cut + config.max_targets))
        peers = tf.cast(rule[:, 1:] < _TOLD, tf.float32)  # [batch, 1]
    else:
        share = 0.1 + (0.5 - 0.1) * philox.uniform(split[:, 0], 1)  # [batch, 1]
        count = tf.cast(share * tf.cast(rows, tf.float32), tf.int32)
        count = tf.clip_by_value(count, 1, config.max_targets)
        target = _least(philox.uniform(split[:, 1], tf.reduce_max(rows)), rows, count, config)
        history = ~target & (place < rows)
        peers = tf.ones_like(share)
    read = {name: _masked(logs[f"history_{name}"], history) for name in _COLUMNS}
    asked = {name: _masked(logs[f"history_{name}"], target) for name in _COLUMNS}
    asked["rows"] = tf.zeros_like(asked["items"]) - 1
    return _dense(logs["user"], read, asked, peers, config)


def _least(drawn: tf.Tensor, rows: tf.Tensor, count: tf.Tensor, config: BatchConfig) -> tf.Tensor:
    """Tell the `count` least of the first `rows` numbers of each row, the first of equal ones.

    Args:
        drawn: float32 [batch, n], at least 0.
        rows: int32 [batch, 1].
        count: int32 [batch, 1], from 1 to `max_targets`.
        config: of the sizes.

    Returns:
        Bool [batch, n].
    """
    place = tf.range(tf.shape(drawn)[1])[None, :]  # [1, n]
    # The bits of floats above 0 are in the floats' order; places behind them make all differ.
    keys = tf.cast(tf.bitcast(drawn, tf.int32), tf.int64) * 2**20 + tf.cast(place, tf.int64)
    keys = tf.where(place < rows, keys, tf.int64.max)
    most = tf.minimum(config.max_targets, tf.shape(drawn)[1])
    least = -tf.math.top_k(-keys, most).values  # [batch, most], ascending
    return keys <= tf.gather(least, count - 1, batch_dims=1)


def _whole(logs: Logs, config: BatchConfig) -> Batch:
    """Take records as they are, none of whose targets may be read beside another."""
    read = {name: logs[f"history_{name}"] for name in _COLUMNS}
    asked = {name: logs[f"target_{name}"] for name in (*_COLUMNS, "rows")}
    return _dense(logs["user"], read, asked, tf.zeros([1, 1]), config)


def _masked(column: tf.RaggedTensor, mask: tf.Tensor) -> tf.RaggedTensor:
    """Keep some of the cells: [batch, (rows)] and bool [batch, rows of the longest]."""
    there = tf.sequence_mask(column.row_lengths(), tf.shape(mask)[1])  # [batch, rows]
    kept = tf.boolean_mask(column.values, tf.boolean_mask(mask, there))
    lengths = tf.reduce_sum(tf.cast(mask, tf.int64), axis=1)  # [batch]
    return tf.RaggedTensor.from_row_lengths(kept, lengths, validate=False)


def _dense(
    user: tf.Tensor, read: Logs, asked: Logs, peers: tf.Tensor, config: BatchConfig
) -> Batch:
    """Keep the newest `max_history` of the history, narrow the integers, pad.

    Args:
        user: int64 [batch].
        read: columns of the history.
        asked: columns of the targets.
        peers: float32 [batch or 1, 1], whether a target may be read beside the others.
        config: of the sizes.
    """
    empty = {"items": 0, "ratings": float("nan"), "clicks": float("nan"), "times": 0, "rows": -1}
    batch = {"user": tf.cast(user, tf.int32)}
    for name in ("items", "ratings", "times"):
        newest = read[name][:, -config.max_history :]
        batch[f"history_{name}"] = newest.to_tensor(empty[name])  # [batch, longest]
    width = [None, config.max_targets]
    for name, column in asked.items():
        batch[f"target_{name}"] = column.to_tensor(empty[name], shape=width)
    for name in ("history_items", "target_items"):
        batch[name] = tf.cast(batch[name], tf.int32)
    there = tf.sequence_mask(asked["items"].row_lengths(), config.max_targets, tf.float32)
    return _bucketed({**batch, "target_peers": peers * there}, config)


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
