"""The check that nothing was learnt from, or read beside, the wrong rows."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ssrec_tf.errors import LeakageError
from ssrec_tf.splits import PARTS, Split, event_order
from ssrec_tf.tables import Tables


class Events(Protocol):
    """Some rows of one user: `times` and `rows`, int64 [events]."""

    @property
    def times(self) -> np.ndarray:
        """Seconds."""

    @property
    def rows(self) -> np.ndarray:
        """Row numbers into the interactions."""


def check_leakage(
    tables: Tables,
    split: Split,
    *,
    target_rows: np.ndarray | None = None,
    history_rows: np.ndarray | None = None,
    statistic_rows: np.ndarray | None = None,
    vocabulary_rows: np.ndarray | None = None,
) -> None:
    """Fail when something that was learnt or read saw what it may not.

    Args:
        tables: The data that was split.
        split: Its parts; they must be disjoint and cover every row.
        target_rows: int64 [targets], rows that were or will be scored.
        history_rows: int64 [targets, history], the rows each target's history reads;
            negative where there is none. Never the target itself, and for `past_only`
            splits only rows before it by (time, row). Only train rows, but for a
            `streaming` split, where an earlier row of any part may be read.
        statistic_rows: int64 [any], rows a mean, a count or a scale was made of: train.
        vocabulary_rows: int64 [any], rows a vocabulary was made of: train.

    Raises:
        LeakageError: Naming the first row that breaks a rule, and how many do.
        ValueError: Only one of `target_rows` and `history_rows`, or shapes that differ.
    """
    part = _check_parts(split, len(tables.interactions))
    for name, rows in (("a statistic", statistic_rows), ("a vocabulary", vocabulary_rows)):
        if rows is not None:
            _check_train(np.asarray(rows, np.int64).ravel(), part, name)
    if target_rows is None and history_rows is None:
        return
    if target_rows is None or history_rows is None:
        raise ValueError("target_rows and history_rows belong together: give both or neither")
    _check_history(tables, split, part, np.asarray(target_rows), np.asarray(history_rows))


def check_history(history: Events, targets: Events, *, past_only: bool) -> None:
    """Fail when a history that is written beside targets may not stand there.

    What `check_leakage` checks of a whole run, of one user's events, cheaply.

    Args:
        history: The events all of the targets may read.
        targets: The events to be scored.
        past_only: Whether every event of the history must be before every target.

    Raises:
        LeakageError: Naming the rows.
    """
    both = np.intersect1d(history.rows, targets.rows)
    if len(both):
        raise LeakageError(f"row {both[0]} is a target and stands in its own history")
    if not (past_only and len(history.rows) and len(targets.rows)):
        return
    last = np.lexsort((history.rows, history.times))[-1]
    first = np.lexsort((targets.rows, targets.times))[0]
    newest = (int(history.times[last]), int(history.rows[last]))
    oldest = (int(targets.times[first]), int(targets.rows[first]))
    if newest >= oldest:
        raise LeakageError(
            f"the history of row {oldest[1]} (time {oldest[0]}) reads row {newest[1]} "
            f"(time {newest[0]}), not before the target: build histories from earlier rows"
        )


def _check_parts(split: Split, count: int) -> np.ndarray:
    """Return the part's code of every row, int64 [rows]."""
    rows = np.concatenate([split.train, split.valid, split.test])
    if len(rows) and (rows.min() < 0 or rows.max() >= count):
        raise LeakageError(
            f"the split names row {rows.min() if rows.min() < 0 else rows.max()} of {count}: "
            "it was made for other data, make it anew"
        )
    times = np.bincount(rows, minlength=count)
    wrong = np.flatnonzero(times != 1)
    if len(wrong):
        row = int(wrong[0])
        raise LeakageError(
            f"row {row} stands in {times[row]} places of train, valid and test, not in one; "
            f"{len(wrong)} such rows: make the split anew"
        )
    part = np.zeros(count, np.int64)
    part[split.valid] = 1
    part[split.test] = 2
    return part


def _check_train(rows: np.ndarray, part: np.ndarray, name: str) -> None:
    wrong = rows[part[rows] != 0]
    if len(wrong):
        raise LeakageError(
            f"{name} read row {wrong[0]}, which is a {PARTS[part[wrong[0]]]} row; "
            f"{len(wrong)} such rows: use train rows only"
        )


def _check_history(
    tables: Tables, split: Split, part: np.ndarray, targets: np.ndarray, history: np.ndarray
) -> None:
    if targets.ndim != 1 or history.ndim != 2 or len(targets) != len(history):
        raise ValueError(
            f"target_rows {targets.shape} and history_rows {history.shape} must be "
            "[targets] and [targets, history]"
        )
    read = history >= 0  # [targets, history]
    target = np.broadcast_to(targets[:, None], history.shape)[read]  # [pairs]
    source = history[read]  # [pairs]
    rank = event_order(tables.interactions)
    rules = [(source == target, "the target itself")]
    if not split.streaming:
        rules.append((part[source] != 0, "not a train row"))
    if split.past_only:
        rules.append((rank[source] >= rank[target], "not before the target"))
    for broken, reason in rules:
        found = np.flatnonzero(broken)
        if len(found):
            log, i = tables.interactions, found[0]
            raise LeakageError(
                f"the history of row {target[i]} (user {log['user'].iloc[target[i]]!r}) reads "
                f"row {source[i]} ({PARTS[part[source[i]]]}), {reason}; {len(found)} such reads: "
                f"build histories from earlier {'' if split.streaming else 'train '}rows"
            )
