"""The published parts row for row; and by hand on small logs."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from ssrec_tf import datasets
from ssrec_tf.config import SplitConfig
from ssrec_tf.errors import ConfigError, DataError, NetworkError
from ssrec_tf.leakage import check_leakage
from ssrec_tf.splits import event_order, make_split
from ssrec_tf.tables import Tables

# The first 16 digits, as published with the benchmark.
PUBLISHED = [
    ("random", 42, "9cffaa348b4ee0a1", (80_000, 10_000, 10_000)),
    ("random", 43, "735f05cd4d35397a", (80_000, 10_000, 10_000)),
    ("random", 44, "81b54458f4f9561b", (80_000, 10_000, 10_000)),
    ("u1", 42, "cb4d85c079dcce12", (72_000, 8_000, 20_000)),
    ("time", 42, "994672e5a5484a05", (80_003, 9_997, 10_000)),
    ("time_streaming", 42, "994672e5a5484a05", (80_003, 9_997, 10_000)),
    ("leave_one_out", 42, "21f8c12a78bacb8b", (98_114, 943, 943)),
    ("leave_one_out_streaming", 42, "21f8c12a78bacb8b", (98_114, 943, 943)),
    ("cold_item", 42, "f29a27f3defe1ad4", (82_383, 7_801, 9_816)),
]


def table(users, items, times=None) -> Tables:
    log = pd.DataFrame({"user": pd.Series(list(users), dtype="str"), "item": list(items)})
    if times is not None:
        log["time"] = np.array(times, np.int64)
    return Tables("t", log, pd.DataFrame(), pd.DataFrame())


@pytest.fixture(scope="module")
def movielens() -> Tables:
    try:
        return datasets.load("movielens-100k")
    except NetworkError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seed", "digest", "sizes"), PUBLISHED)
def test_movielens_splits_equal_the_published_ones(movielens, kind, seed, digest, sizes):
    split = make_split(movielens, SplitConfig(kind=kind, seed=seed))
    assert split.digest[:16] == digest
    assert (len(split.train), len(split.valid), len(split.test)) == sizes
    # The digest again, from the rows and by another way.
    names = ["train"] * len(movielens.interactions)
    for part in ("valid", "test"):
        for row in getattr(split, part).tolist():
            names[row] = part
    assert hashlib.sha256(",".join(names).encode()).hexdigest() == split.digest
    check_leakage(movielens, split, statistic_rows=split.train, vocabulary_rows=split.train)


def test_random_split_is_a_function_of_the_seed():
    data = table("a" * 100, "b" * 100)
    one, same, other = (make_split(data, SplitConfig(seed=seed)) for seed in (1, 1, 2))
    assert one.digest == same.digest != other.digest
    assert (len(one.train), len(one.valid), len(one.test)) == (80, 10, 10)
    # Worked out once with NumPy's own generator: the last tenth of the permutation.
    assert one.test.tolist() == sorted(np.random.RandomState(1).permutation(100)[90:].tolist())
    assert not one.past_only


def test_time_split_never_cuts_a_moment_in_two():
    times = [5, 1, 1, 9, 9, 9, 2, 3, 4, 10]  # sorted: 1 1 2 3 4 5 9 9 9 10
    split = make_split(table("abcdefghij", "x" * 10, times), SplitConfig("time", 0, 0.5, 0.2))
    # Wished cuts after 3 and 8 rows: the second one moves on, past the three nines.
    assert split.train.tolist() == [1, 2, 6]
    assert split.valid.tolist() == [0, 3, 4, 5, 7, 8]
    assert split.test.tolist() == [9]
    assert split.past_only
    times[9] = 9
    with pytest.raises(DataError, match=r"kind=time of 10 interactions leaves no test rows: give"):
        make_split(table("abcdefghij", "x" * 10, times), SplitConfig("time", 0, 0.5, 0.2))


def test_time_split_of_a_log_without_times_is_by_row():
    split = make_split(table("a" * 10, "x" * 10), SplitConfig("time", 0, 0.2, 0.1))
    assert split.train.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert split.valid.tolist() == [7, 8]
    assert split.test.tolist() == [9]


@pytest.mark.parametrize("kind", ["time", "leave_one_out"])
def test_streaming_has_the_parts_of_the_other_kind_and_another_rule(kind):
    data = table("aabbaabbaa", "x" * 10, [5, 1, 1, 9, 9, 9, 2, 3, 4, 10])
    plain, streaming = (
        make_split(data, SplitConfig(each, 0, 0.5, 0.2)) for each in (kind, f"{kind}_streaming")
    )
    assert streaming.digest == plain.digest
    assert (plain.streaming, streaming.streaming) == (False, True)
    assert streaming.past_only


def test_folds_are_blocks_of_the_file():
    data = table("a" * 23, "x" * 23)
    tests = []
    for number in range(1, 6):
        split = make_split(data, SplitConfig(f"u{number}", 3, 0.25))
        tests.append(split.test.tolist())
        base = np.concatenate([split.train, split.valid])
        assert not split.past_only
        assert len(split.valid) == round(len(base) * 0.25)
        other = make_split(data, SplitConfig(f"u{number}", 4, 0.25))
        assert other.test.tolist() == tests[-1]
        assert other.valid.tolist() != split.valid.tolist()
    assert [row for rows in tests for row in rows] == list(range(23))


def test_leave_one_out_goes_by_time_then_row():
    data = table("aababaccb", "xyzxyzxyz", [3, 1, 9, 3, 9, 2, 1, 2, 5])
    split = make_split(data, SplitConfig("leave_one_out"))
    # a: rows 1(1) 5(2) 0(3) 3(3); b: 8(5) 2(9) 4(9); c has two rows only.
    assert split.test.tolist() == [3, 4]
    assert split.valid.tolist() == [0, 2]
    assert split.train.tolist() == [1, 5, 6, 7, 8]


def test_cold_items_go_whole_and_rare_ones_stay():
    items = [str(i) for i in range(20) for _ in range(5)] + ["rare"] * 4
    data = table("u" * len(items), items)
    config = SplitConfig("cold_item", 3, 0.2, 0.1)
    split = make_split(data, config)
    parts = [set(data.interactions["item"].iloc[rows]) for rows in (split.train, split.valid)]
    parts.append(set(data.interactions["item"].iloc[split.test]))
    assert [len(part) for part in parts] == [15, 4, 2]
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]
    assert "rare" in parts[0]
    # The order of the rows does not choose the items, for numbers and for words.
    for prefix in ("", "film "):
        named = [prefix + item for item in items]
        chosen = []
        for order in (1, -1):
            shuffled = table("u" * len(items), named[::order])
            test = make_split(shuffled, config).test
            chosen.append(set(shuffled.interactions["item"].iloc[test]))
        assert chosen[0] == chosen[1]


def test_too_little_data_and_unknown_kinds():
    with pytest.raises(DataError, match=r"of 3 interactions leaves no (valid|test) rows: give mor"):
        make_split(table("abc", "xyz"), SplitConfig())
    with pytest.raises(DataError, match="leaves no train rows"):
        make_split(table("", "", []), SplitConfig("time"))
    with pytest.raises(ConfigError, match=r"split\.kind is 'odd'"):
        make_split(table("abc", "xyz"), SplitConfig("odd"))
    split = make_split(table("abc", "xyz"), SplitConfig("random", 1, 0.0, 0.4))
    assert (len(split.train), len(split.valid), len(split.test)) == (2, 0, 1)


def test_event_order_is_by_time_then_row():
    assert event_order(table("aaaa", "xxxx", [2, 1, 2, 1]).interactions).tolist() == [2, 0, 3, 1]
    assert event_order(table("aaa", "xxx").interactions).tolist() == [0, 1, 2]
