"""Raw files -> interactions, items and users; what is left out is written down.

Every row of every file is accepted or rejected, and a reject has its file, line and
reason. `read_tables` is the way in.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ssrec_tf import storage, table_values
from ssrec_tf.config import DataConfig, TableConfig
from ssrec_tf.errors import ConfigError, DataError
from ssrec_tf.table_attributes import join_attributes
from ssrec_tf.table_cells import shorten
from ssrec_tf.table_reading import RawTable, Reject, read_table


@dataclass(frozen=True)
class FileCount:
    """How many rows of a file were read; accepted and rejected add up to it."""

    file: str
    read: int
    accepted: int
    rejected: int


@dataclass(frozen=True)
class Tables:
    """Validated data.

    Attributes:
        name: What reports call the data.
        interactions: In file order, with a RangeIndex. Columns `user` and `item` (str);
            where the log has them, `time` (int64, seconds), `rating` (float32), `click`
            (int8, 0 or 1; given, or rating >= `click_threshold`), `weight` (float32),
            `event` (str). Of an event without a rating (`config.unrated`) rating, and click by
            threshold, are NaN; click is float32 then.
        items: Indexed by item id, a column an attribute: str for text and for category
            (values joined by ', '), float64 for number; NaN where there is none. Every
            item of an interaction has a row.
        users: Likewise, by user id.
        rating_scale: Lowest and highest rating; None without ratings.
        rating_step: The distance of two neighbouring ratings.
        click_threshold: The lowest rating that counts as a click.
        warnings: What was accepted but looks odd, a line each.
        counts: A `FileCount` a file.
    """

    name: str
    interactions: pd.DataFrame
    items: pd.DataFrame
    users: pd.DataFrame
    rating_scale: tuple[float, float] | None = None
    rating_step: float = 1.0
    click_threshold: float | None = None
    warnings: tuple[str, ...] = ()
    counts: tuple[FileCount, ...] = ()


_NO_RATING, _OUTSIDE = "no rating", "outside the scale"


def read_tables(
    config: DataConfig, *, base: Path, rejects: Path | None = None, name: str | None = None
) -> Tables:
    """Read and validate the files a configuration names.

    Rejected are rows that cannot be read, with a missing id or one that holds a line
    break, with a time, rating, click or weight that is none (of a rating, unless
    `config.unrated` says so), with a rating outside `rating_scale`, and rows equal to an
    earlier one in every mapped column.

    Args:
        config: `interactions` must be given. A path may hold `$VARIABLE`; a relative one
            starts at `base`.
        base: A folder, normally the configuration file's.
        rejects: Where to write a JSON line (file, line, reason, value) a reject.
        name: What reports call the data; by default the log's file name.

    Returns:
        The tables; items and users nobody described get rows without attributes.

    Raises:
        ConfigError: No log is given, or a variable in a path is not set.
        StorageError: A file cannot be read, or `rejects` not be written.
        DataError: A file is empty or lacks a column, or the share of its rejects is
            over `config.max_reject_share` (`rejects` is written nevertheless).
    """
    if config.interactions is None:
        raise ConfigError("data.interactions is missing: map the columns of a log")
    tally = _Tally()
    log = _read(config.interactions, base, "data.interactions.path")
    interactions, found = _interactions(log, config.interactions, config)
    tally.add(log, found, len(interactions))
    items, odd_items = _attributes("item", config.items, base, interactions["item"], tally)
    users, odd_users = _attributes("user", config.users, base, interactions["user"], tally)
    if rejects is not None:
        write_rejects(rejects, tally.dropped)
    _check_share(tally, config.max_reject_share, rejects)
    scale = config.rating_scale if "rating" in interactions else None
    if scale is None and "rating" in interactions:
        scale = (float(interactions["rating"].min()), float(interactions["rating"].max()))
    return Tables(
        name or Path(config.interactions.path).name.split(".")[0],
        interactions,
        items,
        users,
        scale,
        config.rating_step,
        config.click_threshold,
        (*odd_items, *odd_users),
        tuple(tally.counts),
    )


def write_rejects(path: Path, rejects: Sequence[Reject]) -> None:
    """Write a JSON line a reject, whole or not at all; an empty file says there are none."""
    lines = [json.dumps(dataclasses.asdict(reject), ensure_ascii=False) for reject in rejects]
    storage.atomic_write_text(path, "".join(f"{line}\n" for line in lines))


class _Tally:
    """What became of the rows of every file so far."""

    def __init__(self) -> None:
        self.counts: list[FileCount] = []
        self.dropped: list[Reject] = []

    def add(self, raw: RawTable, found: list[Reject], accepted: int) -> None:
        found = sorted(raw.rejects + found, key=lambda reject: reject.line)
        self.counts.append(FileCount(raw.file, accepted + len(found), accepted, len(found)))
        self.dropped.extend(found)


def _read(table: TableConfig, base: Path, key: str) -> RawTable:
    return read_table(table, _resolve(table.path, base, key))


def _attributes(
    role: str, tables: Sequence[TableConfig], base: Path, seen: pd.Series, tally: _Tally
) -> tuple[pd.DataFrame, list[str]]:
    parts = []
    for i, table in enumerate(tables):
        raw = _read(table, base, f"data.{role}s[{i}].path")
        kept, ids, found = _known_rows(raw, table, (role,))
        tally.add(raw, found, len(kept.lines))
        parts.append((table, kept, ids[role]))
    return join_attributes(role, parts, pd.Index(seen.unique()))


def _interactions(
    raw: RawTable, table: TableConfig, config: DataConfig
) -> tuple[pd.DataFrame, list[Reject]]:
    raw, ids, rejects = _known_rows(raw, table, ("user", "item"))
    frame = pd.DataFrame({"user": ids["user"], "item": ids["item"]})
    bad = _Bad(raw, table)
    columns = {role: raw.columns[name] for role, name in table.columns.items()}
    for role in columns:
        if role not in ("user", "item", "time", "rating", "click", "event", "weight"):
            raise ConfigError(
                f"data.interactions.columns.{role} is no role: known are user, item, time, "
                "rating, click, event, weight"
            )
    if "time" in columns:
        frame["time"], mask, unit = table_values.to_times(columns["time"])
        bad.mark(mask, "time", f"no time (the column's unit is {unit}; ISO 8601 is read too)")
    if "rating" in columns:
        frame["rating"] = _ratings(columns["rating"], bad, config, table.decimal)
    if "click" in columns:
        frame["click"], mask = table_values.to_clicks(columns["click"])
        bad.mark(mask, "click", "neither 0/1 nor true/false")
    elif "rating" in columns and config.click_threshold is not None:
        frame["click"] = _clicks(frame["rating"].to_numpy(), bad.none, config.click_threshold)
    if "weight" in columns:
        values, missing, wrong = table_values.to_numbers(columns["weight"], table.decimal)
        bad.mark(missing | wrong | (values < 0), "weight", "no number of at least 0")
        frame["weight"] = values.astype(np.float32)
    if "event" in columns:
        frame["event"] = table_values.to_texts(columns["event"]).fillna("")
    same = _repeated(_only(frame, bad.none))
    bad.mark_rows(np.flatnonzero(bad.none)[same], "user", "the same row occurred before")
    return _only(frame, bad.none).reset_index(drop=True), rejects + bad.rejects()


def _repeated(frame: pd.DataFrame) -> np.ndarray:
    """Mark rows equal to an earlier one, bool [rows]; `frame.duplicated` takes more memory."""
    hashes = pd.util.hash_pandas_object(frame, index=False)
    alike = np.flatnonzero(hashes.duplicated(keep=False))  # equal rows, and chance
    found = np.zeros(len(frame), bool)
    found[alike] = frame.iloc[alike].duplicated()
    return found


def _only(frame: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """Those rows, without a copy of a long log where they are all."""
    return frame if rows.all() else frame[rows]


def _ratings(column: object, bad: _Bad, config: DataConfig, decimal: str) -> np.ndarray:
    values, missing, wrong = table_values.to_numbers(column, decimal)
    if config.unrated is None:
        bad.mark(missing, "rating", _NO_RATING)
    else:
        values[np.isin(values, config.unrated)] = np.nan
    bad.mark(wrong, "rating", table_values.why_no_number(column, wrong))
    if config.rating_scale is not None:
        low, high = config.rating_scale
        outside = (values < low) | (values > high)
        bad.mark(outside, "rating", f"{_OUTSIDE} {low:g} to {high:g}")
    return values.astype(np.float32)


def _clicks(ratings: np.ndarray, kept: np.ndarray, threshold: float) -> np.ndarray:
    clicks = ratings >= threshold
    if not np.isnan(ratings[kept]).any():
        return clicks.astype(np.int8)
    return np.where(np.isnan(ratings), np.nan, clicks).astype(np.float32)


def _known_rows(
    raw: RawTable, table: TableConfig, roles: tuple[str, ...]
) -> tuple[RawTable, dict[str, pd.Series], list[Reject]]:
    """Return the rows whose ids of `roles` are usable, and the rejects among the others."""
    bad = _Bad(raw, table)
    ids: dict[str, pd.Series] = {}
    for role in roles:
        ids[role], missing, control = table_values.to_ids(raw.columns[table.columns[role]])
        bad.mark(missing, role, f"no {role} id")
        bad.mark(control, role, "a line break or control character in the id")
    if bad.none.all():
        return raw, ids, []
    kept = RawTable(
        raw.file,
        {name: column.filter(bad.none) for name, column in raw.columns.items()},
        raw.lines[bad.none],
        raw.rejects,
    )
    chosen = {role: values[bad.none].reset_index(drop=True) for role, values in ids.items()}
    return kept, chosen, bad.rejects()


class _Bad:
    """The bad rows of a table, each with its first reason."""

    def __init__(self, raw: RawTable, table: TableConfig) -> None:
        self._raw = raw
        self._table = table
        self.none = np.ones(len(raw.lines), bool)
        self._found: list[Reject] = []

    def mark(self, mask: np.ndarray, role: str, reason: str) -> None:
        self.mark_rows(np.flatnonzero(mask & self.none), role, reason)

    def mark_rows(self, rows: np.ndarray, role: str, reason: str) -> None:
        name = self._table.columns[role]
        self.none[rows] = False
        for row in rows.tolist():
            value = self._raw.columns[name][row].as_py()
            line = int(self._raw.lines[row])
            text = "" if value is None else shorten(value)
            self._found.append(Reject(self._raw.file, line, f"{name}: {reason}", text))

    def rejects(self) -> list[Reject]:
        return self._found


def _check_share(tally: _Tally, limit: float, written: Path | None) -> None:
    for count in tally.counts:
        share = count.rejected / count.read
        if share <= limit and count.accepted:
            continue
        reasons = Counter(reject.reason for reject in tally.dropped if reject.file == count.file)
        reason, times = reasons.most_common(1)[0]
        where = f"see {written}, then " if written is not None else ""
        if _NO_RATING in reason or _OUTSIDE in reason:
            where += "say in data.unrated what stands where an event has no rating, "
        raise DataError(
            f"{count.file}: {count.rejected} of {count.read} rows rejected ({share:.1%}, the limit "
            f"is {limit:.1%}), {times} for `{reason}`: {where}mend them or raise "
            "data.max_reject_share"
        )


def _resolve(path: str, base: Path, key: str) -> Path:
    expanded = os.path.expanduser(os.path.expandvars(path))
    if "$" in expanded:
        unset = expanded[expanded.index("$") :].split("/")[0]
        raise ConfigError(f"{key}={path!r}: the variable {unset} is not set: export it first")
    return base / expanded
