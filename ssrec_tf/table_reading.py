"""Files -> columns of text: CSV, TSV, JSON Lines and Parquet, each maybe gzipped.

Every cell becomes a text or None, so that one set of checks serves every format:
`007` stays `007`, an integer keeps its digits, and a float that is whole loses its
`.0` (a column of integers with gaps is stored as floats). A list becomes its values
joined by `LIST_MARK`. A row that cannot be read at all becomes a `Reject`; blank
lines of a text file are no rows.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import itertools
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ssrec_tf.config import TableConfig
from ssrec_tf.errors import DataError
from ssrec_tf.storage import storage_errors
from ssrec_tf.table_cells import SURROGATE, arrow_texts, shorten, text_of

_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_DELIMITERS = {"csv": ",", "tsv": "\t"}
_OTHER_DELIMITERS = (";", "\t", "|", "::", ",")


@dataclass(frozen=True)
class Reject:
    """A row that was left out. `line` is that of its first character, from 1.

    In Parquet, which has no lines, it is the row's number, from 1.
    """

    file: str
    line: int
    reason: str
    value: str


@dataclass(frozen=True)
class RawTable:
    """The mapped columns of one file, as text.

    `columns` maps the file's column names to large_string arrays [rows]; `lines` is
    int64 [rows]; rows in `rejects` are in neither.
    """

    file: str
    columns: dict[str, pa.Array]
    lines: np.ndarray
    rejects: list[Reject]


def read_table(config: TableConfig, path: Path) -> RawTable:
    """Read the columns of a file that `config.columns` names.

    A text row with another number of fields than the header, with a broken quote or
    with bytes that are not of `config.encoding` is rejected. After a broken quote
    reading goes on at the next line, so that it cannot swallow what follows.

    Raises:
        StorageError: The file cannot be read.
        DataError: It has no rows, not the columns, or is not of its format.
    """
    wanted = list(dict.fromkeys(config.columns.values()))
    kind = _format(config, path)
    with storage_errors(path, "read"):
        data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = _unzip(data, config.path)
    if not data.strip():
        raise DataError(f"{config.path} is empty: give a file with a row or more")
    for_delimited = config.header or config.delimiter != "auto" or config.decimal != "."
    if kind not in _DELIMITERS and for_delimited:
        raise DataError(
            f"{config.path}: `header`, `delimiter` and `decimal` are for CSV and TSV, and this is "
            f"{kind}: leave them out, or say `format: csv`"
        )
    if kind == "parquet":
        return _read_parquet(data, config, wanted)
    text = _decode(data, config)
    if kind == "jsonl":
        return _read_jsonl(text, config, wanted)
    given = config.delimiter != "auto"
    return _read_delimited(text, config, wanted, config.delimiter if given else _DELIMITERS[kind])


def _format(config: TableConfig, path: Path) -> str:
    if config.format != "auto":
        return config.format
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise DataError(
            f"{config.path}: the ending {suffix!r} tells no format: "
            "add `format: csv`, tsv, jsonl or parquet to the table"
        )
    return _SUFFIXES[suffix]


def _unzip(data: bytes, name: str) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name}: broken gzip ({error}): fetch or write it again") from error


def _decode(data: bytes, config: TableConfig) -> str:
    encoding = "utf-8-sig" if config.encoding.lower() in ("utf-8", "utf8") else config.encoding
    try:
        # Bytes of another encoding become lone surrogates, and their row is rejected.
        return data.decode(encoding, "surrogateescape")
    except (UnicodeDecodeError, LookupError) as error:
        raise DataError(
            f"{config.path}: cannot decode as {config.encoding} ({error}): "
            "set `encoding` to the file's own"
        ) from error


def _read_delimited(text: str, config: TableConfig, wanted: list[str], delimiter: str) -> RawTable:
    lines = io.StringIO(text, newline="").readlines()
    records = _records(lines, delimiter, len(config.header))
    header: list[str] | str | None = list(config.header)
    if not header:
        _, header = next(((line, fields) for line, fields in records if fields), (0, None))
    if not isinstance(header, list):
        raise DataError(f"{config.path} has no header: give the column names in the first line")
    positions = [_position(header, name, config) for name in wanted]
    suspect = SURROGATE.search(text) is not None
    kept: list[int] = []
    cells: list[list[str]] = [[] for _ in wanted]
    rejects: list[Reject] = []
    for line, fields in records:
        reason = fields if isinstance(fields, str) else ""
        if isinstance(fields, list) and len(fields) != len(header):
            reason = f"{len(fields)} fields where the header has {len(header)}"
        elif suspect and SURROGATE.search("".join(fields)):
            reason = f"bytes that are not {config.encoding}"
        if reason:
            rejects.append(Reject(config.path, line, reason, shorten(lines[line - 1])))
            continue
        kept.append(line)
        for column, position in zip(cells, positions, strict=True):
            column.append(fields[position])
    return _table(config.path, wanted, cells, kept, rejects)


def _records(lines: list[str], delimiter: str, width: int) -> Iterator[tuple[int, list[str] | str]]:
    """Yield (first line, fields) of each record, or (line, reason) of a broken one.

    `width` is the number of fields, 0 where the first record tells it.
    """
    if len(delimiter) > 1:
        for line, text in enumerate(lines, start=1):
            if text.strip():
                yield line, text.rstrip("\r\n").split(delimiter)
        return
    limit = csv.field_size_limit(2**31 - 1)  # a cell of the default 128 KB is no error here
    start = 0
    try:
        while start < len(lines):
            rows = csv.reader(
                itertools.islice(lines, start, None), delimiter=delimiter, strict=True
            )
            first, broken = start, ""
            while not broken:
                try:
                    fields = next(rows, None)
                except csv.Error as error:
                    broken = f"broken quotes ({error})"
                    break
                if fields is None:
                    return
                after = start + rows.line_num
                width = width or len(fields)
                if after - first > 1 and fields and len(fields) != width:
                    broken = "broken quotes (a quoted cell runs over lines and fits no header)"
                    break
                if fields:
                    yield first + 1, fields
                first = after
            plain = lines[first].rstrip("\r\n").split(delimiter)
            # A tab-separated file often has quotes that quote nothing.
            literal = delimiter == "\t" and len(plain) == (width or len(plain))
            yield first + 1, plain if literal else broken
            start = first + 1
    finally:
        csv.field_size_limit(limit)


def _position(header: Sequence[str], name: str, config: TableConfig) -> int:
    if list(header).count(name) == 1:
        return list(header).index(name)
    if name in header:
        raise DataError(f"{config.path}: the column {name!r} occurs twice: rename one")
    raise DataError(_missing(config, name, header))


def _missing(config: TableConfig, name: str, there: Sequence[str]) -> str:
    role = next(role for role, column in config.columns.items() if column == name)
    return (
        f"{config.path}: no column {name!r} for {role!r}: {_mend(name, there)}"
        f"The columns are {shorten(', '.join(there))}"
    )


def _mend(name: str, there: Sequence[str]) -> str:
    """What to do about a column that is not there, a sentence with a space behind, or nothing."""
    for mark in _OTHER_DELIMITERS:
        if any(name in column.split(mark) for column in there):
            return f"the header is parted by {mark!r}: add `delimiter: {mark!r}` to the table. "
    near = difflib.get_close_matches(name, there, n=1)
    lower = {column.lower(): column for column in there}
    hint = lower.get(name.lower()) or (near[0] if near else None)
    if hint:
        return f"did you mean {hint!r}? "
    if any(column.replace(".", "", 1).isdigit() for column in there):
        return "is there no header? Then name all columns in order: `header: [...]`. "
    return ""


def _read_jsonl(text: str, config: TableConfig, wanted: list[str]) -> RawTable:
    kept: list[int] = []
    cells: list[list[str | None]] = [[] for _ in wanted]
    rejects: list[Reject] = []
    seen: dict[str, None] = {}
    # Not splitlines: a JSON string may hold U+2028 as it is.
    for line, row in enumerate(text.split("\n"), start=1):
        if not row.strip():
            continue
        try:
            reason, value = "not a JSON object", json.loads(row)
        except (ValueError, RecursionError) as error:
            reason, value = f"not JSON ({error})", None
        if isinstance(value, dict) and SURROGATE.search(row):
            reason, value = f"bytes that are not {config.encoding}", None
        if not isinstance(value, dict):
            rejects.append(Reject(config.path, line, reason, shorten(row)))
            continue
        seen.update(dict.fromkeys(value))
        try:
            texts = [text_of(value.get(name)) for name in wanted]
        except DataError as error:
            rejects.append(Reject(config.path, line, str(error), shorten(row)))
            continue
        kept.append(line)
        for column, cell in zip(cells, texts, strict=True):
            column.append(cell)
    for name in wanted:
        if name not in seen and seen:
            raise DataError(_missing(config, name, list(seen)))
    return _table(config.path, wanted, cells, kept, rejects)


def _read_parquet(data: bytes, config: TableConfig, wanted: list[str]) -> RawTable:
    name = config.path
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        there = file.schema_arrow.names
        for column in wanted:
            if column not in there:
                raise DataError(_missing(config, column, there))
        table = file.read(columns=wanted)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name}: not a Parquet file ({shorten(str(error))})") from error
    cells = [arrow_texts(table[column].combine_chunks(), name) for column in wanted]
    return _table(name, wanted, cells, np.arange(1, len(table) + 1), [])


def _table(
    name: str,
    wanted: list[str],
    cells: Sequence[Any],
    kept: Sequence[int] | np.ndarray,
    rejects: list[Reject],
) -> RawTable:
    if not len(kept) and not rejects:
        raise DataError(f"{name} has no rows: give a file with a row or more")
    columns = {
        column: pa.array(cell, pa.large_string()) if isinstance(cell, list) else cell
        for column, cell in zip(wanted, cells, strict=True)
    }
    return RawTable(name, columns, np.array(kept, np.int64), rejects)
