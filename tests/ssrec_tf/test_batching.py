"""Batches: a function of (seed, step), targets never in their own history."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf import batching
from ssrec_tf.batching import (
    BatchConfig,
    columns_of_train,
    evaluation_batches,
    some_batches,
    train_batches,
)
from ssrec_tf.errors import DataError
from tests.ssrec_tf.conftest import World, planted_tables

SIZES = BatchConfig(batch_size=4, max_history=12, max_targets=8, past_only=False)


def take(world, count, *, seed=1, start=0, config=SIZES):
    found = train_batches(world.examples, config, seed=seed, start=start).take(count)
    return [(int(step), {k: v.numpy() for k, v in batch.items()}) for step, batch in found]


def same(left, right):
    return all(
        np.array_equal(left[k], right[k], equal_nan=k.endswith(("ratings", "clicks"))) for k in left
    )


@pytest.mark.slow
def test_a_resumed_stream_goes_on_where_it_was(world):
    whole = take(world, 45)  # 40 users, 4 a batch, two deals each: more than two epochs
    for start in (0, 7, 20, 33, 44):
        rest = take(world, 45 - start, start=start)
        assert [step for step, _ in rest] == list(range(start, 45))
        assert all(same(a, b) for (_, a), (_, b) in zip(whole[start:], rest, strict=True))


def test_other_seeds_and_epochs_differ(world):
    first, other = take(world, 1)[0][1], take(world, 1, seed=2)[0][1]
    assert not same(first, other)
    epoch = sum(1 for _ in range(20))
    batches = take(world, 2 * epoch)
    assert not same(batches[0][1], batches[epoch][1])


def test_targets_and_history_part_a_log(world):
    log = world.tables.interactions.loc[world.split.train]
    items = world.tables.items.index
    by_user = log.groupby("user")["item"].agg(set)
    users = world.tables.users.index
    for _, batch in take(world, 10):
        for row in range(4):
            own = by_user[users[batch["user"][row] - 1]]
            history = {items[i - 1] for i in batch["history_items"][row] if i}
            targets = {items[i - 1] for i in batch["target_items"][row] if i}
            assert targets
            assert not history & targets
            assert history | targets <= own
            share = len(targets) / len(own)
            assert share <= 0.5


def test_every_event_keeps_its_moment(world):
    log = world.tables.interactions
    times = {(u, i): t for u, i, t in zip(log["user"], log["item"], log["time"], strict=True)}
    items, users = world.tables.items.index, world.tables.users.index
    sizes = BatchConfig(8, 3, 8, past_only=False)
    batches = [batch for _, batch in take(world, 3)]
    batches += [
        {name: value.numpy() for name, value in batch.items()}
        for batch in evaluation_batches(world.examples, "valid", sizes)
    ]
    for batch in batches:
        for kind in ("history", "target"):
            refs, found = batch[f"{kind}_items"], batch[f"{kind}_times"]
            assert found.dtype == np.int64
            for user, row, moments in zip(batch["user"], refs, found, strict=True):
                own = [times[users[user - 1], items[i - 1]] if i else 0 for i in row]
                assert moments.tolist() == own


def test_past_only_targets_come_after_their_history(past_world):
    config = BatchConfig(4, 20, 8, past_only=True)
    log = past_world.tables.interactions
    times = {(u, i): t for u, i, t in zip(log["user"], log["item"], log["time"], strict=True)}
    items, users = past_world.tables.items.index, past_world.tables.users.index
    for _, batch in take(past_world, 10, config=config):
        for row in range(4):
            user = users[batch["user"][row] - 1]
            before = [times[user, items[i - 1]] for i in batch["history_items"][row] if i]
            after = [times[user, items[i - 1]] for i in batch["target_items"][row] if i]
            assert before == sorted(before)
            assert max(before, default=-1) < min(after)


def test_columns_of_train_are_those_of_the_log(tmp_path):
    tables = planted_tables()
    log = tables.interactions.copy()
    log.loc[log.index[::7], "rating"] = np.nan  # chosen, but not rated
    world = World(tmp_path, tables=replace(tables, interactions=log))
    columns = columns_of_train(world.examples, "items", "ratings")
    users = np.repeat(np.arange(len(columns[0])), [len(one) for one in columns[0]])
    refs, ratings = (np.concatenate(column) for column in columns)
    rated = ~np.isnan(ratings)
    users, refs, ratings = users[rated], refs[rated], ratings[rated]
    train = world.tables.interactions.loc[world.split.train].dropna(subset="rating")
    wanted = 1 + world.tables.items.index.get_indexer(train["item"])
    found = sorted(zip(refs, ratings, strict=True))
    assert found == sorted(zip(wanted, train["rating"], strict=True))
    assert refs.dtype == np.int64
    # Users are coded in another order; each code is one user's.
    counts = train["user"].value_counts()
    assert sorted(np.bincount(users)[np.unique(users)]) == sorted(counts)


@pytest.mark.slow
def test_some_draws_begin_a_log_and_some_are_told_by_their_peers(past_world, world):
    config = BatchConfig(32, 20, 8, past_only=True)
    batches = [batch for _, batch in take(past_world, 20, config=config)]
    begins = np.concatenate([~batch["history_items"].any(axis=1) for batch in batches])
    told = np.concatenate([batch["target_peers"] for batch in batches])  # [draws, targets]
    real = np.concatenate([batch["target_items"] != 0 for batch in batches])
    assert (told[real] == told.max(axis=1, keepdims=True).repeat(8, axis=1)[real]).all()
    told = told.max(axis=1)
    # Within three deviations of the share of 640 draws, and each without regard to the other.
    assert begins.mean() == pytest.approx(0.3, abs=0.055)
    assert told.mean() == pytest.approx(0.5, abs=0.06)
    assert told[begins].mean() == pytest.approx(0.5, abs=0.11)
    for batch in evaluation_batches(past_world.examples, "valid", config):
        assert not batch["target_peers"].numpy().any()
    assert all(batch["target_peers"].any(axis=1).all() for _, batch in take(world, 5))


def test_evaluation_gives_every_row_once_beside_the_newest_history(world):
    config = BatchConfig(8, 3, 8, past_only=False)
    rows = []
    log = world.tables.interactions.loc[world.split.train]
    newest = log.groupby("user")["item"].agg(lambda x: list(x)[-3:])
    items, users = world.tables.items.index, world.tables.users.index
    for batch in evaluation_batches(world.examples, "valid", config):
        wanted = batch["target_rows"].numpy()
        rows += wanted[wanted >= 0].tolist()
        for user, history in zip(
            batch["user"].numpy(), batch["history_items"].numpy(), strict=True
        ):
            assert [items[i - 1] for i in history if i] == newest[users[user - 1]]
    assert sorted(rows) == world.split.valid.tolist()


def test_a_streaming_part_is_batched_one_target_wide(streaming_world):
    config = BatchConfig(8, 3, 8, past_only=True)
    rows = []
    for batch in evaluation_batches(streaming_world.examples, "test", config):
        assert batch["target_rows"].shape[1] == 1
        rows += batch["target_rows"].numpy()[:, 0].tolist()
    assert sorted(rows) == streaming_world.split.test.tolist()


@pytest.mark.slow
def test_histories_are_padded_to_few_lengths(world, monkeypatch):
    monkeypatch.setattr(batching, "_SHORTEST", 2)
    for most, allowed in ((12, {2, 4, 8, 12}), (3, {2, 3}), (2, {2})):
        config = replace(SIZES, max_history=most, batch_size=1)
        widths = set()
        for _, batch in take(world, 30, config=config):
            longest = int((batch["history_items"] != 0).sum(axis=1).max())
            width = batch["history_items"].shape[1]
            assert width == min(size for size in allowed if size >= longest)
            assert batch["history_ratings"].shape == batch["history_items"].shape
            assert np.isnan(batch["history_ratings"][:, longest:]).all()
            assert batch["history_times"].shape == batch["history_items"].shape
            assert not batch["history_times"][:, longest:].any()
            widths.add(width)
        assert widths <= allowed


def test_too_few_records_for_a_batch_are_named(world):
    with pytest.raises(DataError, match="do not fill a batch of 5000"):
        train_batches(world.examples, BatchConfig(5000, 4, 4, past_only=False), seed=1)


def test_records_of_more_targets_than_a_batch_holds_are_named(world):
    config = BatchConfig(8, 3, 4, past_only=False)
    with pytest.raises(DataError, match=r"up to 8 targets do not fit train\.max_targets=4"):
        evaluation_batches(world.examples, "valid", config)


@pytest.mark.parametrize("past_only", [False, True])
def test_draws_are_those_of_each_record_alone(world, past_only):
    """The oracle draws one log at a time, by TensorFlow's own stateless ops."""
    config = BatchConfig(4, 12, 8, past_only=past_only)
    logs = {int(log["user"]): log for log in batching.read_logs(world.examples, "train")}
    for step, batch in take(world, 6, seed=5, config=config):
        for row in range(4):
            items = logs[batch["user"][row]]["history_items"].numpy()
            history, target, peers = drawn_alone(len(items), [5, 4 * step + row], config)
            assert [i for i in batch["history_items"][row] if i] == items[history][-12:].tolist()
            assert [i for i in batch["target_items"][row] if i] == items[target].tolist()
            assert batch["target_peers"][row].tolist() == [peers] * len(target) + [0.0] * (
                8 - len(target)
            )


def drawn_alone(rows, seed, config):
    """Places of history and targets in a log of so many rows, and whether targets are told."""
    first, second = tf.unstack(
        tf.random.experimental.stateless_split(tf.constant(seed, tf.int64), 2)
    )
    if config.past_only:
        cut = int(tf.random.stateless_uniform([], first, 1, rows, tf.int32))
        rule = tf.random.stateless_uniform([2], tf.random.experimental.stateless_fold_in(first, 1))
        cut = 0 if rule[0] < 0.3 else cut
        target = np.arange(cut, min(rows, cut + config.max_targets))
        return np.arange(cut), target, float(rule[1] < 0.5)
    share = tf.random.stateless_uniform([], first, 0.1, 0.5)
    count = int(np.clip(int(share * rows), 1, config.max_targets))
    order = np.argsort(tf.random.stateless_uniform([rows], second))
    return np.sort(order[count:]), np.sort(order[:count]), 1.0


def test_some_batches_are_every_nth_one(world):
    config = BatchConfig(4, 16, 8, past_only=False)
    every = [b["target_rows"].numpy() for b in evaluation_batches(world.examples, "valid", config)]
    rows = sum(len(batch) for batch in every)
    some = [b["target_rows"].numpy() for b in some_batches(world.examples, "valid", config, 9)]
    step = rows // 9
    assert step > 1
    assert len(some) == -(-len(every) // step)
    assert all(np.array_equal(a, b) for a, b in zip(some, every[::step], strict=True))
    whole = some_batches(world.examples, "valid", config, 10 * rows)
    assert len(list(whole)) == len(every)
