"""Train, valid and test rows, and the check that nothing learnt from the wrong ones.

The four kinds of split equal those published for MovieLens-100k row for row, and are
defined for any log. `past_only` splits (time, leave_one_out) let a history reach back
only: event a is before event b when (time, row) of a is smaller, since many events
share a timestamp. A log without times counts as written in order.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from ssrec_tf.config import SplitConfig
from ssrec_tf.errors import ConfigError, DataError, LeakageError
from ssrec_tf.tables import Tables

PARTS = ("train", "valid", "test")
_MIN_ITEM_ROWS = 5  # fewer ratings than these measure little of a cold item
_MIN_USER_ROWS = 3  # one row each for train, valid and test


@dataclass(frozen=True)
class Split:
    """Row numbers of the interactions, by part.

    Attributes:
        train: int64 [rows of the part], ascending; so are `valid` and `test`.
        valid: What tuning looks at.
        test: What is read once.
        kind: random, time, leave_one_out or cold_item.
        digest: SHA-256 of the part names of all rows, in order, joined by commas.
        past_only: Whether a history may hold only what was before its target.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    kind: str
    digest: str
    past_only: bool


class Events(Protocol):
    """Some rows of one user: `times` and `rows`, int64 [events]."""

    @property
    def times(self) -> np.ndarray:
        """Seconds."""

    @property
    def rows(self) -> np.ndarray:
        """Row numbers into the interactions."""


def make_split(tables: Tables, config: SplitConfig) -> Split:
    """Split the interactions.

    - random: a seeded permutation of the rows; train first, then valid, then test.
    - time: the oldest rows are train, the newest test; a cut moves on to the next row
      whose timestamp differs, so that no moment lies on both sides.
    - leave_one_out: a user's last row is test, the last but one valid; users with fewer
      than 3 rows are train. `valid` and `test` of the configuration do not count.
    - cold_item: a share of the items with 5 rows or more is test and another valid, with
      all their rows.

    Args:
        tables: Validated data.
        config: The kind, the seed, and the shares of valid and test.

    Raises:
        ConfigError: An unknown kind.
        DataError: Too few rows: a part that should have some would have none.
    """
    log = tables.interactions
    if config.kind == "random":
        parts = _random(len(log), config)
    elif config.kind == "time":
        parts = _by_time(log, config)
    elif config.kind == "leave_one_out":
        parts = _leave_one_out(log)
    elif config.kind == "cold_item":
        parts = _cold_items(log, config)
    else:
        raise ConfigError(
            f"split.kind is {config.kind!r}: give one of random, time, leave_one_out, cold_item"
        )
    rows = [np.flatnonzero(parts == code) for code in range(3)]
    shares = (1.0, config.valid, config.test)
    for name, found, share in zip(PARTS, rows, shares, strict=True):
        if share > 0 and not len(found):
            raise DataError(
                f"split.kind={config.kind} of {len(log)} interactions leaves no {name} rows: "
                "give more data, or another share or kind"
            )
    past_only = config.kind in ("time", "leave_one_out")
    return Split(rows[0], rows[1], rows[2], config.kind, _digest(parts), past_only)


def event_order(interactions: pd.DataFrame) -> np.ndarray:
    """Return each row's rank by (time, row): int64 [rows], 0 for the oldest.

    Without times the rows are in order already.
    """
    rows = np.arange(len(interactions))
    if "time" not in interactions:
        return rows
    order = np.argsort(interactions["time"].to_numpy(), kind="stable")
    rank = np.empty(len(rows), np.int64)
    rank[order] = rows
    return rank


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
            negative where there is none. Only train rows, never the target itself, and
            for `past_only` splits only rows before the target.
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
    rules = [
        (source == target, "the target itself"),
        (part[source] != 0, "not a train row"),
    ]
    if split.past_only:
        rules.append((rank[source] >= rank[target], "not before the target"))
    for broken, reason in rules:
        found = np.flatnonzero(broken)
        if len(found):
            log, i = tables.interactions, found[0]
            raise LeakageError(
                f"the history of row {target[i]} (user {log['user'].iloc[target[i]]!r}) reads "
                f"row {source[i]} ({PARTS[part[source[i]]]}), {reason}; {len(found)} such reads: "
                "build histories from earlier train rows"
            )


def _random(count: int, config: SplitConfig) -> np.ndarray:
    # RandomState: its stream never changes between versions of NumPy (NEP 19).
    order = np.random.RandomState(config.seed).permutation(count)
    valid, test = round(count * config.valid), round(count * config.test)
    parts = np.zeros(count, np.int64)
    parts[order[count - valid - test : count - test]] = 1
    parts[order[count - test :]] = 2
    return parts


def _by_time(log: pd.DataFrame, config: SplitConfig) -> np.ndarray:
    rank = event_order(log)
    count = len(log)
    times = log["time"].to_numpy() if "time" in log else np.arange(count)
    times = np.sort(times, kind="stable")
    test = round(count * config.test)
    valid = round(count * config.valid)
    # The first cut at or after the wished one at which the timestamp changes.
    cuts = np.append(np.flatnonzero(np.diff(times)) + 1, count)
    first = cuts[np.searchsorted(cuts, count - valid - test)] if count else 0
    second = cuts[np.searchsorted(cuts, count - test)] if count else 0
    return (rank >= first).astype(np.int64) + (rank >= second)


def _leave_one_out(log: pd.DataFrame) -> np.ndarray:
    rank = pd.Series(event_order(log), index=log.index)
    users = rank.groupby(log["user"])
    from_end = users.rank(method="first", ascending=False).to_numpy()  # 1 is the last
    enough = users.transform("size").to_numpy() >= _MIN_USER_ROWS
    parts = np.zeros(len(log), np.int64)
    parts[enough & (from_end == 2)] = 1
    parts[enough & (from_end == 1)] = 2
    return parts


def _cold_items(log: pd.DataFrame, config: SplitConfig) -> np.ndarray:
    sizes = log["item"].value_counts()
    eligible = sizes.index[sizes >= _MIN_ITEM_ROWS].tolist()
    # Ids that are all numbers are ordered as numbers; the rows' order must not matter.
    numbers = all(item.isascii() and item.isdigit() for item in eligible)
    eligible.sort(key=(lambda item: (int(item), item)) if numbers else None)
    order = np.random.RandomState(config.seed).permutation(len(eligible))
    test, valid = round(len(eligible) * config.test), round(len(eligible) * config.valid)
    part_of = {eligible[i]: 2 for i in order[:test]}
    part_of.update({eligible[i]: 1 for i in order[test : test + valid]})
    return log["item"].map(part_of).fillna(0).to_numpy(np.int64)


def _digest(parts: np.ndarray) -> str:
    names = np.array(PARTS)[parts]
    return hashlib.sha256(",".join(names.tolist()).encode()).hexdigest()
