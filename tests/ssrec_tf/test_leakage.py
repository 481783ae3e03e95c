"""Leaks of every kind are caught, and what is allowed is let through."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from ssrec_tf.errors import LeakageError
from ssrec_tf.leakage import check_history, check_leakage
from ssrec_tf.splits import Split
from tests.ssrec_tf.test_splits import table

DATA = table("aaabbb", "xyzxyz", [1, 2, 3, 1, 2, 2])
SPLIT = Split(np.array([0, 1, 3]), np.array([4]), np.array([2, 5]), "time", "", True)
STREAMING = replace(SPLIT, kind="time_streaming")
ANY_TIME = Split(np.array([0, 1, 3]), np.array([4]), np.array([2, 5]), "random", "", False)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split(np.array([0, 1]), np.array([1]), np.arange(2, 6), "", "", False), "row 1 stands in"),
        (Split(np.array([0, 1]), np.array([2]), np.array([3, 4]), "", "", False), "row 5 stands"),
        (Split(np.arange(6), np.array([6]), np.array([7]), "", "", False), "names row 7 of 6"),
        (Split(np.arange(6), np.array([-1]), np.array([]), "", "", False), "names row -1 of 6"),
    ],
)
def test_parts_must_be_disjoint_and_cover(split, message):
    split = Split(*(np.asarray(p, int) for p in (split.train, split.valid, split.test)), "", "", 0)
    with pytest.raises(LeakageError, match=message):
        check_leakage(DATA, split)


@pytest.mark.parametrize("name", ["statistic_rows", "vocabulary_rows"])
def test_statistics_and_vocabularies_read_train_only(name):
    check_leakage(DATA, SPLIT, **{name: np.array([3, 0])})
    with pytest.raises(LeakageError, match=r"read row 4, which is a valid row; 2 such rows: use"):
        check_leakage(DATA, SPLIT, **{name: np.array([0, 4, 5])})


@pytest.mark.parametrize(
    ("split", "targets", "history", "message"),
    [
        (SPLIT, [2, 5], [[0, 1], [3, -1]], None),
        (SPLIT, [2, 5], [[0, 1], [3, 4]], r"row 5 \(user 'b'\) reads row 4 \(valid\), not a train"),
        (SPLIT, [1], [[1]], "reads row 1 .train., the target itself"),
        (SPLIT, [0], [[1]], "reads row 1 .train., not before the target; 1 such reads"),
        (STREAMING, [2, 5], [[0, 1], [3, 4]], None),
        (STREAMING, [4], [[5]], "reads row 5 .test., not before the target; .* earlier rows"),
        (STREAMING, [5], [[5]], "the target itself"),
        (ANY_TIME, [0], [[1]], None),
        (ANY_TIME, [0], [[2]], "not a train row"),
        (SPLIT, [4], [[1]], None),  # the same moment, an earlier row
    ],
)
def test_histories_read_earlier_train_rows_only(split, targets, history, message):
    arguments = {"target_rows": np.array(targets), "history_rows": np.array(history)}
    if message is None:
        check_leakage(DATA, split, **arguments)
    else:
        with pytest.raises(LeakageError, match=message):
            check_leakage(DATA, split, **arguments)


def test_histories_of_the_wrong_shape():
    with pytest.raises(ValueError, match="give both or neither"):
        check_leakage(DATA, SPLIT, target_rows=np.array([2]))
    with pytest.raises(ValueError, match=r"must be \[targets\] and \[targets, history\]"):
        check_leakage(DATA, SPLIT, target_rows=np.array([2]), history_rows=np.array([0]))


def events(times, rows) -> SimpleNamespace:
    return SimpleNamespace(times=np.array(times, int), rows=np.array(rows, int))


def test_history_of_one_record():
    late = events([5, 5], [8, 2])
    check_history(events([5, 4], [1, 9]), late, past_only=True)
    check_history(events([], []), late, past_only=True)
    check_history(events([9], [9]), late, past_only=False)
    with pytest.raises(LeakageError, match=r"history of row 2 \(time 5\) reads row 3 \(time 5\)"):
        check_history(events([5, 4], [3, 9]), late, past_only=True)
    with pytest.raises(LeakageError, match="row 8 is a target and stands in its own history"):
        check_history(events([5], [8]), late, past_only=False)
