"""Attribute tables -> one row an item (or user): joined, distinct, and complete.

Several rows for one id are merged: the distinct values of a category, the first of a
text or number; a later different text is counted in a warning.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ssrec_tf import table_values
from ssrec_tf.config import TableConfig
from ssrec_tf.errors import ConfigError
from ssrec_tf.table_reading import RawTable


def join_attributes(
    role: str, parts: Sequence[tuple[TableConfig, RawTable, pd.Series]], seen: pd.Index
) -> tuple[pd.DataFrame, list[str]]:
    """Join the attribute tables of items or users.

    Args:
        role: `item` or `user`.
        parts: A table's configuration, its rows, and the id of each row (str).
        seen: The distinct ids of the log. Those without a row get an empty one.

    Returns:
        A frame indexed by id (described ids in file order, then the others in order of
        first occurrence), and warnings.

    Raises:
        ConfigError: An attribute has two kinds.
    """
    warnings: list[str] = []
    order = [ids for _, _, ids in parts]
    described = pd.Index(pd.concat(order).unique()) if order else pd.Index([], dtype="str")
    orphans = seen[~seen.isin(described)]
    if parts and len(orphans):
        warnings.append(
            f"{len(orphans)} {role}s of the log have no row in the {role} tables, "
            f"first {orphans[0]!r}: they have no attributes"
        )
    frame = pd.DataFrame(index=described.append(orphans).rename(role).astype("str"))
    kinds: dict[str, str] = {}
    for table, raw, ids in parts:
        for name, column in table.columns.items():
            if name == role:
                continue
            kind = table.kinds.get(name, "text")
            if kinds.setdefault(name, kind) != kind:
                raise ConfigError(
                    f"{name!r} is {kinds[name]} in one {role} table and {kind} in another: "
                    "give it one kind"
                )
            values, odd = _merge(raw, column, ids, kind, table)
            values = values.reindex(frame.index)
            frame[name] = _combine(frame[name], values, kind) if name in frame else values
            warnings += [f"{raw.file}: {line}" for line in odd]
    for name in frame.columns:
        if frame[name].dtype == object:
            frame[name] = _joined(frame[name])
    return frame, warnings


def _merge(
    raw: RawTable, column: str, ids: pd.Series, kind: str, table: TableConfig
) -> tuple[pd.Series, list[str]]:
    """Return one value an id: a tuple for a category, a str or a float64 for the others."""
    cells = raw.columns[column]
    if kind == "category":
        lists = table_values.to_categories(cells, table.separator)
        if ids.is_unique:
            return pd.Series(lists.to_numpy(), index=ids.to_numpy()), []
        merged: dict[str, dict[str, None]] = {}
        for key, values in zip(ids, lists, strict=True):
            merged.setdefault(key, {}).update(dict.fromkeys(values))
        keys = list(merged)
        return pd.Series([tuple(merged[key]) for key in keys], index=keys, dtype=object), []
    warnings: list[str] = []
    if kind == "number":
        numbers, _, bad = table_values.to_numbers(cells, table.decimal)
        values = pd.Series(numbers)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            warnings.append(
                f"{int(bad.sum())} cells of {column!r} are no numbers and count as missing, "
                f"first {cells[row].as_py()!r} in line {raw.lines[row]}"
            )
    else:
        values = table_values.to_texts(cells)
    values.index = pd.Index(ids)
    values = values.dropna()
    first = values[~values.index.duplicated()]
    if len(first) < len(values):
        differ = int((values.to_numpy() != first.reindex(values.index).to_numpy()).sum())
        if differ:
            warnings.append(f"{differ} rows give another {column!r} than an earlier one: not used")
    return first, warnings


def _combine(old: pd.Series, new: pd.Series, kind: str) -> pd.Series:
    if kind != "category":
        return old.where(old.notna(), new)
    pairs = zip(old, new, strict=True)
    both = [tuple(dict.fromkeys((*_tuple(a), *_tuple(b)))) for a, b in pairs]
    return pd.Series(both, index=old.index, dtype=object)


def _joined(values: pd.Series) -> pd.Series:
    texts = [", ".join(_tuple(value)) or None for value in values]
    return pd.Series(texts, index=values.index, dtype="str")


def _tuple(value: object) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()
