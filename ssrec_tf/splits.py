"""Train, valid and test rows.

Every kind of split equals the one published for MovieLens-100k row for row, and is
defined for any log. `past_only` splits (time, leave_one_out and their streaming kinds)
let a history reach back only: event a is before event b when (time, row) of a is smaller,
since many events share a timestamp. A log without times counts as written in order.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ssrec_tf.config import SplitConfig
from ssrec_tf.errors import ConfigError, DataError
from ssrec_tf.tables import Tables

PARTS = ("train", "valid", "test")
_MIN_ITEM_ROWS = 5  # fewer ratings than these measure little of a cold item
_MIN_USER_ROWS = 3  # one row each for train, valid and test
_FOLDS = ("u1", "u2", "u3", "u4", "u5")
STREAMING = ("time_streaming", "leave_one_out_streaming")
_PAST_ONLY = ("time", "leave_one_out", *STREAMING)


@dataclass(frozen=True)
class Split:
    """Row numbers of the interactions, by part.

    Attributes:
        train: int64 [rows of the part], ascending; so are `valid` and `test`.
        valid: What tuning looks at.
        test: What is read once.
        kind: random, time, leave_one_out, either with _streaming behind, cold_item or
            u1 to u5.
        digest: SHA-256 of the part names of all rows, in order, joined by commas.
        past_only: Whether a history may hold only what was before its target.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    kind: str
    digest: str
    past_only: bool

    @property
    def streaming(self) -> bool:
        """Whether a valid or test row's history holds the user's earlier rows of all parts."""
        return self.kind in STREAMING


def make_split(tables: Tables, config: SplitConfig) -> Split:
    """Split the interactions.

    - random: a seeded permutation of the rows; train first, then valid, then test.
    - time: the oldest rows are train, the newest test; a cut moves on to the next row
      whose timestamp differs, so that no moment lies on both sides.
    - leave_one_out: a user's last row is test, the last but one valid; users with fewer
      than 3 rows are train. `valid` and `test` of the configuration do not count.
    - time_streaming, leave_one_out_streaming: the same parts. Weights come from train
      alone, but a row that is scored may be read beside all earlier rows of its user, of
      any part: what a service that stores events at once, and trains seldom, does.
    - cold_item: a share of the items with 5 rows or more is test and another valid, with
      all their rows.
    - u1 to u5: five folds. Fold i of the rows in file order is test, as in the archive's
      `mku.sh`; `valid` is a seeded share of the rest. `test` does not count.

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
    elif config.kind in ("time", "time_streaming"):
        parts = _by_time(log, config)
    elif config.kind in ("leave_one_out", "leave_one_out_streaming"):
        parts = _leave_one_out(log)
    elif config.kind == "cold_item":
        parts = _cold_items(log, config)
    elif config.kind in _FOLDS:
        parts = _fold(len(log), config)
    else:
        raise ConfigError(
            f"split.kind is {config.kind!r}: give one of random, {', '.join(_PAST_ONLY)}, "
            f"cold_item, {', '.join(_FOLDS)}"
        )
    rows = [np.flatnonzero(parts == code) for code in range(3)]
    shares = (1.0, config.valid, config.test)
    for name, found, share in zip(PARTS, rows, shares, strict=True):
        if share > 0 and not len(found):
            raise DataError(
                f"split.kind={config.kind} of {len(log)} interactions leaves no {name} rows: "
                "give more data, or another share or kind"
            )
    past_only = config.kind in _PAST_ONLY
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


def _random(count: int, config: SplitConfig) -> np.ndarray:
    # RandomState: its stream never changes between versions of NumPy (NEP 19).
    order = np.random.RandomState(config.seed).permutation(count)
    valid, test = round(count * config.valid), round(count * config.test)
    parts = np.zeros(count, np.int64)
    parts[order[count - valid - test : count - test]] = 1
    parts[order[count - test :]] = 2
    return parts


def _fold(count: int, config: SplitConfig) -> np.ndarray:
    number = _FOLDS.index(config.kind)
    first, last = (round(count * n / len(_FOLDS)) for n in (number, number + 1))
    parts = np.zeros(count, np.int64)
    parts[first:last] = 2
    base = np.flatnonzero(parts == 0)  # [rows of train and valid]
    order = np.random.RandomState(config.seed).permutation(len(base))
    parts[base[order[: round(len(base) * config.valid)]]] = 1
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
