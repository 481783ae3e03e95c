"""Records: every row once, references that point at the right texts, no history of the future."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from ssrec_tf import examples
from ssrec_tf.errors import DataError, LeakageError
from ssrec_tf.splits import Split
from tests.ssrec_tf.conftest import planted_tables


def records(folder, part):
    for path in sorted(folder.glob(f"{part}-*.tfrecord")):
        for raw in tf.data.TFRecordDataset(str(path)):
            feature = tf.train.Example.FromString(raw.numpy()).features.feature
            yield {
                name: list(value.int64_list.value or value.float_list.value)
                for name, value in feature.items()
            }


def test_every_row_once_with_its_own_values(world):
    for part in ("valid", "test"):
        rows = sorted(
            row for record in records(world.examples, part) for row in record["target_rows"]
        )
        assert rows == getattr(world.split, part).tolist()
    log = world.tables.interactions
    items, users = world.tables.items.index, world.tables.users.index
    for record in records(world.examples, "test"):
        names = ("rows", "items", "ratings", "clicks", "times")
        targets = zip(*(record[f"target_{name}"] for name in names), strict=True)
        for row, item, rating, click, time in targets:
            expected = log.loc[row]
            assert items[item - 1] == expected["item"]
            assert users[record["user"][0] - 1] == expected["user"]
            found = (rating, click, time)
            assert found == (expected["rating"], expected["click"], expected["time"])


def test_histories_are_train_rows_in_time_order(world):
    log = world.tables.interactions.loc[world.split.train]
    order = log.sort_values(["user", "time"])
    expected = order.groupby("user")["item"].agg(list)
    times = order.groupby("user")["time"].agg(list)
    items, users = world.tables.items.index, world.tables.users.index
    for part in ("train", "valid"):
        for record in records(world.examples, part):
            history = [items[item - 1] for item in record["history_items"]]
            user = users[record["user"][0] - 1]
            assert history == expected[user]
            assert record["history_times"] == times[user]


def test_streaming_records_read_all_that_was_before_of_any_part(streaming_world):
    world = streaming_world
    log = world.tables.interactions
    items, rows = world.tables.items.index, []
    events = list(zip(log["time"], log.index, log["user"], strict=True))
    crossed = 0
    for part in ("valid", "test"):
        for record in records(world.examples, part):
            (row,) = record["target_rows"]
            rows.append(row)
            at = events[row]
            # By brute force: every row of the log looked at for every target.
            wanted = [e[1] for e in sorted(events) if e[2] == at[2] and e[:2] < at[:2]]
            found = [items[item - 1] for item in record.get("history_items", [])]
            assert found == log.loc[wanted, "item"].tolist()
            assert list(record.get("history_ratings", [])) == log.loc[wanted, "rating"].tolist()
            crossed += np.isin(wanted, world.split.train).sum() < len(wanted)
    assert sorted(rows) == np.sort(np.r_[world.split.valid, world.split.test]).tolist()
    assert crossed > 50
    assert world.info["test"].targets == 1


def test_info_counts_and_comes_back(world):
    assert world.info["train"].interactions == len(world.split.train)
    assert world.info["test"].interactions == len(world.split.test)
    assert world.info["train"].examples == len(world.tables.users)
    assert examples.read_info(world.examples) == world.info


def test_long_logs_are_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "MAX_LOG", 5)
    tables = planted_tables(users=2, events=12)
    rows = np.arange(24)
    split = Split(rows[:22], rows[22:23], rows[23:], "random", "0", past_only=False)
    info = examples.write_examples(tables, split, tmp_path / "x", shards=1)
    assert info["train"].examples == 3 + 2
    lengths = [len(r["history_items"]) for r in records(tmp_path / "x", "train")]
    assert sorted(lengths) == [2, 5, 5, 5, 5]


def test_a_history_of_the_future_is_refused(tmp_path):
    tables = planted_tables(users=1, events=4)
    split = Split(np.array([0, 3]), np.array([1]), np.array([2]), "time", "0", past_only=True)
    with pytest.raises(LeakageError):
        examples.write_examples(tables, split, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_an_empty_train_part_is_named(tmp_path):
    tables = planted_tables(users=1, events=4)
    none = np.array([], np.int64)
    split = Split(none, np.arange(2), np.arange(2, 4), "random", "0", past_only=False)
    with pytest.raises(DataError, match="train part has 0 rows"):
        examples.write_examples(tables, split, tmp_path / "x")


def test_a_log_without_times_or_labels(tmp_path):
    tables = planted_tables(users=2, events=6, ratings=False)
    log = tables.interactions.drop(columns="time")
    tables = type(tables)(
        name="t", interactions=log, items=tables.items, users=tables.users, rating_scale=None
    )
    rows = np.arange(len(log))
    split = Split(rows[:-2], rows[-2:-1], rows[-1:], "leave_one_out", "0", past_only=True)
    examples.write_examples(tables, split, tmp_path / "x", shards=1)
    record = next(records(tmp_path / "x", "test"))
    assert np.isnan(record["target_ratings"]).all()
    assert np.isnan(record["target_clicks"]).all()
    assert pd.Series(record["history_items"]).gt(0).all()
    assert record["history_times"] == [0] * len(record["history_items"])
    assert record["target_times"] == [0]
