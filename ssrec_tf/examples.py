"""Sharded `tf.train.Example` records: one user's log each, as references into the token table.

A reference is a row of the token table: 0 stands for "none", an item or a user
has its position plus one. A text is tokenized once, however often it is mentioned.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from ssrec_tf import storage
from ssrec_tf.errors import DataError
from ssrec_tf.leakage import check_history
from ssrec_tf.splits import Split
from ssrec_tf.tables import Tables

MAX_LOG = 1024  # a longer log becomes several examples

FEATURES = {
    "user": tf.io.FixedLenFeature([], tf.int64),
    "history_items": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
    "history_ratings": tf.io.RaggedFeature(tf.float32, row_splits_dtype=tf.int64),
    "history_clicks": tf.io.RaggedFeature(tf.float32, row_splits_dtype=tf.int64),
    "history_times": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
    "target_items": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
    "target_ratings": tf.io.RaggedFeature(tf.float32, row_splits_dtype=tf.int64),
    "target_clicks": tf.io.RaggedFeature(tf.float32, row_splits_dtype=tf.int64),
    "target_times": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
    "target_rows": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
}
"""How a record is parsed. Ratings and clicks are NaN, times 0, where the log has none."""


@dataclass(frozen=True)
class ExampleInfo:
    """What a folder of shards holds: counts that the batches need before reading.

    `targets` is the most targets of one record; 0 where they are drawn.
    """

    examples: int
    interactions: int
    shards: int
    targets: int


@dataclass(frozen=True)
class _Log:
    """One user's rows in columns, ordered by (time, row)."""

    user: int
    items: np.ndarray
    ratings: np.ndarray
    clicks: np.ndarray
    times: np.ndarray
    rows: np.ndarray

    def __getitem__(self, index: slice) -> _Log:
        return _Log(
            user=self.user,
            items=self.items[index],
            ratings=self.ratings[index],
            clicks=self.clicks[index],
            times=self.times[index],
            rows=self.rows[index],
        )

    def __len__(self) -> int:
        return len(self.rows)


_Record = tuple[bytes, int]  # serialized, and how many interactions it trains or evaluates on


def write_examples(
    tables: Tables, split: Split, folder: Path, *, max_targets: int = 64, shards: int = 4
) -> dict[str, ExampleInfo]:
    """Write `train`, `valid` and `test` shards under `folder`.

    A train record holds a user's train rows as history and no targets: those are
    drawn anew at every step. A valid or test record holds up to `max_targets`
    targets and the train rows they may read; of a streaming split it holds one target
    and the user's rows before it, of all parts.

    Args:
        tables: the validated rows.
        split: which rows belong to which part.
        folder: written whole or not at all.
        max_targets: targets in one valid or test record.
        shards: files a part.

    Returns:
        What each part holds, also written to `examples.json`.

    Raises:
        LeakageError: a history row is not older than a target, where the split is by time.
        DataError: the train part has no rows.
    """
    if not len(split.train):
        raise DataError(f"{tables.name}: the train part has 0 rows; give more data")
    known = _logs(tables, split.train)
    most = 1 if split.streaming else max_targets
    infos = {}
    with storage.atomic_folder(folder) as staged:
        infos["train"] = _write_part(staged / "train", _train_records(known), shards, 0)
        for part, rows in (("valid", split.valid), ("test", split.test)):
            if split.streaming:
                records = _streaming_records(tables, split, rows)
            else:
                records = _target_records(known, _logs(tables, rows), split, most)
            infos[part] = _write_part(staged / part, records, shards, most)
        body = {part: vars(info) for part, info in infos.items()}
        (staged / "examples.json").write_text(json.dumps(body, indent=2))
    return infos


def read_info(folder: Path) -> dict[str, ExampleInfo]:
    """Read back what `write_examples` returned."""
    body = json.loads((folder / "examples.json").read_text())
    return {part: ExampleInfo(**info) for part, info in body.items()}


def _logs(tables: Tables, rows: np.ndarray) -> dict[int, _Log]:
    """Group rows by user, each ordered by (time, row); a log without times by row."""
    frame = tables.interactions.loc[rows]
    missing = np.full(len(frame), np.nan, np.float32)
    users = 1 + tables.users.index.get_indexer(pd.Index(frame["user"]))
    times = frame["time"].to_numpy(np.int64) if "time" in frame else np.zeros(len(frame), np.int64)
    numbers = frame.index.to_numpy(np.int64)
    order = np.lexsort((numbers, times, users))
    users = users[order]
    whole = _Log(
        user=0,
        items=(1 + tables.items.index.get_indexer(pd.Index(frame["item"])))[order],
        ratings=(frame["rating"].to_numpy(np.float32) if "rating" in frame else missing)[order],
        clicks=(frame["click"].to_numpy(np.float32) if "click" in frame else missing)[order],
        times=times[order],
        rows=numbers[order],
    )
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    ends = np.append(starts[1:], len(users))
    return {
        int(users[start]): replace(whole[start:end], user=int(users[start]))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    }


def _train_records(logs: dict[int, _Log]) -> Iterator[_Record]:
    """One record a user, cut into pieces of at most MAX_LOG rows."""
    for log in logs.values():
        for start in range(0, len(log), MAX_LOG):
            piece = log[start : start + MAX_LOG]
            yield _serialize(piece, piece[:0])


def _target_records(
    known: dict[int, _Log], targets: dict[int, _Log], split: Split, max_targets: int
) -> Iterator[_Record]:
    """Targets of a user beside the train rows they may read."""
    for user, log in targets.items():
        history = known.get(user, log[:0])
        check_history(history, log, past_only=split.past_only)
        for start in range(0, len(log), max_targets):
            yield _serialize(history[-MAX_LOG:], log[start : start + max_targets])


def _streaming_records(tables: Tables, split: Split, rows: np.ndarray) -> Iterator[_Record]:
    """Each of `rows` alone, beside all rows of its user before it that are in a part."""
    every = np.concatenate([split.train, split.valid, split.test])
    users = tables.interactions["user"].iloc[every]
    read = np.sort(every[users.isin(tables.interactions["user"].iloc[rows].unique()).to_numpy()])
    for whole in _logs(tables, read).values():
        for place in np.flatnonzero(np.isin(whole.rows, rows)):
            history, target = whole[max(0, place - MAX_LOG) : place], whole[place : place + 1]
            check_history(history, target, past_only=True)
            yield _serialize(history, target)


def _serialize(history: _Log, targets: _Log) -> _Record:
    """Encode one record; it trains, or evaluates, on its targets, else on its history."""

    # Lists: protobuf takes an array's numbers one by one, each as an object of NumPy's.
    def ints(values: np.ndarray) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values.tolist()))

    def floats(values: np.ndarray) -> tf.train.Feature:
        return tf.train.Feature(float_list=tf.train.FloatList(value=values.tolist()))

    feature = {
        "user": ints(np.array([history.user])),
        "history_items": ints(history.items),
        "history_ratings": floats(history.ratings),
        "history_clicks": floats(history.clicks),
        "history_times": ints(history.times),
        "target_items": ints(targets.items),
        "target_ratings": floats(targets.ratings),
        "target_clicks": floats(targets.clicks),
        "target_times": ints(targets.times),
        "target_rows": ints(targets.rows),
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    record = bytes(example.SerializeToString(deterministic=True))
    return record, len(targets) or len(history)


def _write_part(stem: Path, records: Iterator[_Record], shards: int, targets: int) -> ExampleInfo:
    """Deal records round-robin to `<stem>-00000-of-00004.tfrecord`."""
    names = [f"{stem}-{i:05d}-of-{shards:05d}.tfrecord" for i in range(shards)]
    writers = [tf.io.TFRecordWriter(name) for name in names]
    examples = interactions = 0
    try:
        for record, rows in records:
            writers[examples % shards].write(record)
            examples, interactions = examples + 1, interactions + rows
    finally:
        for writer in writers:
            writer.close()
    return ExampleInfo(examples, interactions, shards, targets)
