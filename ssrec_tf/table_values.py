"""Columns of text -> ids, times, numbers and attributes, each cell checked.

Every function takes a large_string array [rows] and returns its values with a mask
bool [rows] of those it could not read; the caller says what becomes of the row.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ssrec_tf.table_cells import LIST_MARK

# What common writers put for a missing value. Exact, so that a user `na` stays one.
MISSING = ("", "NaN", "nan", "NULL", "null", "None", "<NA>", "\\N")
_UNITS = ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000), (np.inf, 1_000_000_000))
_PART = 1_000_000  # rows
_YEAR_3000 = 32_503_680_000
_TRUE = ("1", "1.0", "true", "True", "TRUE")
_FALSE = ("0", "0.0", "false", "False", "FALSE")


def to_ids(column: Any) -> tuple[pd.Series, np.ndarray, np.ndarray]:
    """Trim ids, and find the missing ones and those that no list could hold.

    Returns:
        The ids (str); mask of missing ones (empty, NaN, null, ...); mask of ids with
        a line break, a tab or another control character.
    """
    column = pc.fill_null(pc.utf8_trim_whitespace(column), "")
    missing = _numpy(pc.is_in(column, value_set=pa.array(MISSING, pa.large_string())))
    control = _numpy(pc.match_substring_regex(column, r"[\pC\p{Zl}\p{Zp}]"))
    # Joiners and direction marks are category C too, but belong to words and emoji.
    for i in np.flatnonzero(control):
        control[i] = any(_is_control(char) for char in column[i].as_py())
    return _series(column), missing, control & ~missing


def to_numbers(column: Any, decimal: str = ".") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read numbers, with a point or with a comma (`decimal`) before their fraction.

    Where it is a comma, a point would part thousands or be another number: no number has one.

    Returns:
        float64 values, NaN where there is none; mask of missing cells; mask of cells
        that hold something else than a finite number.
    """
    column = pc.fill_null(pc.utf8_trim_whitespace(column), "")
    missing = _numpy(pc.is_in(column, value_set=pa.array(MISSING, pa.large_string())))
    if decimal != ".":
        column = pc.replace_substring(pc.replace_substring(column, ".", "?"), decimal, ".")
    # Part by part: pandas makes an object of every cell of a part.
    parts = [column.slice(start, _PART) for start in range(0, len(column), _PART)]
    values = np.concatenate([np.empty(0), *map(_numbers, parts)])
    bad = ~np.isfinite(values) & ~missing
    values = np.where(missing | bad, np.nan, values)
    return values, missing, bad


def why_no_number(column: Any, bad: np.ndarray) -> str:
    """Say what is wrong with the cells of a mask of `to_numbers`."""
    first = column[int(np.argmax(bad))].as_py() if bad.any() else ""
    if re.fullmatch(r"\s*[-+]?\d*,\d+\s*", first):
        return "no number: is the comma a decimal one? Then add `decimal: ','` to the table"
    return "no number"


def _numbers(column: Any) -> np.ndarray:
    numbers: pd.Series = pd.to_numeric(_series(column), errors="coerce")
    return numbers.to_numpy(np.float64, na_value=np.nan)


def to_clicks(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """Read 0/1 or true/false.

    Returns:
        int8 values; mask of cells that are neither.
    """
    column = pc.fill_null(pc.utf8_trim_whitespace(column), "")
    yes = _numpy(pc.is_in(column, value_set=pa.array(_TRUE, pa.large_string())))
    no = _numpy(pc.is_in(column, value_set=pa.array(_FALSE, pa.large_string())))
    return yes.astype(np.int8), ~(yes | no)


def to_times(column: Any) -> tuple[np.ndarray, np.ndarray, str]:
    """Read times as whole seconds since 1970, UTC.

    A column's numbers share one unit, told by the size of their median: below 1e11
    seconds, below 1e14 milli-, below 1e17 micro-, else nanoseconds. Other cells are
    ISO 8601; without an offset they count as UTC. Fractions are cut off.

    Returns:
        int64 values, 0 where there is none; mask of cells that are no time, or one
        after the year 3000 (another unit than the rest of the column); the unit's name.
    """
    values, missing, bad = to_numbers(column)
    number = ~(missing | bad)
    seconds = np.zeros(len(values), np.int64)
    unit = "s"
    if number.any():
        # Through float64: exact to microseconds until 2255, and nanoseconds to 128 of them.
        median = float(np.median(np.abs(values[number])))
        per_second = next(scale for bound, scale in _UNITS if median < bound)
        unit = {1: "s", 1_000: "ms", 1_000_000: "us", 1_000_000_000: "ns"}[per_second]
        whole = np.floor(values[number] / per_second)
        seconds[number] = np.clip(whole, -_YEAR_3000, _YEAR_3000).astype(np.int64)
    if bad.any():
        rows = np.flatnonzero(bad)
        texts = _series(column.take(pa.array(rows))).str.strip()
        stamps = pd.to_datetime(texts, utc=True, format="ISO8601", errors="coerce")
        read = stamps.notna().to_numpy()
        found = stamps[read].dt.as_unit("s").astype("int64").to_numpy()
        seconds[rows[read]] = found
        bad[rows[read]] = False
        unit = unit if number.any() else "ISO 8601"
    return seconds, missing | bad | (np.abs(seconds) >= _YEAR_3000), unit


def to_texts(column: Any) -> pd.Series:
    """Read texts: trimmed, None where there is none, values of a list joined by ', '."""
    column = pc.replace_substring(column, LIST_MARK, ", ")
    column = pc.utf8_trim_whitespace(column)
    empty = pc.is_in(column, value_set=pa.array(MISSING, pa.large_string()))
    return _series(pc.if_else(empty, None, column))


def to_categories(column: Any, separator: str) -> pd.Series:
    """Read cells of several values: the distinct ones, in order, as a list a row."""
    cells = _series(pc.fill_null(column, "")).tolist()
    known: dict[str, tuple[str, ...]] = {}
    for cell in set(cells):
        parts = cell.replace(LIST_MARK, separator).split(separator) if separator else [cell]
        trimmed = (" ".join(part.split()) for part in parts)
        known[cell] = tuple(dict.fromkeys(part for part in trimmed if part not in MISSING))
    return pd.Series([known[cell] for cell in cells], dtype=object)


def _is_control(char: str) -> bool:
    return ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 or char in "\u2028\u2029"


def _numpy(mask: Any) -> np.ndarray:
    return np.array(mask.to_numpy(zero_copy_only=False), bool)


def _series(column: Any) -> pd.Series:
    return pd.Series(column.to_pandas(), dtype="str")
