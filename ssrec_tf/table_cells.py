"""A cell of any format -> its text, and how a report shows one."""

from __future__ import annotations

import re

import pyarrow as pa

from ssrec_tf.errors import DataError

LIST_MARK = "\x1f"
SHOWN = 80
SURROGATE = re.compile("[\ud800-\udfff]")


def shorten(text: str) -> str:
    """Return a value as reports show it: one line, printable, not too long."""
    text = text[: SHOWN + 1].encode("utf-8", "backslashreplace").decode("utf-8")
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def text_of(value: object) -> str | None:
    """Return one value, of JSON say, as text.

    Raises:
        DataError: it is an object, or holds half a character.
    """
    if value is None or isinstance(value, str):
        # A JSON escape can spell half a character, which no file can store.
        if value is not None and SURROGATE.search(value):
            raise DataError("half a character (a lone surrogate escape)")
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, list):
        return LIST_MARK.join(text_of(part) or "" for part in value)
    raise DataError("an object where a text, a number or a list belongs")


def arrow_texts(column: pa.Array, name: str) -> pa.Array:
    """Return a column as texts: large_string [rows]; `name` is the file's, for the error.

    Raises:
        DataError: its type is neither text nor number nor a list of these.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return arrow_texts(column.cast(kind.value_type), name)
    if pa.types.is_floating(kind):  # few distinct ones, as of ratings: each is written once
        numbers = column.dictionary_encode()
        return _texts(numbers.dictionary).take(numbers.indices)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _texts(column)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        # Whole seconds: no unit is left to be guessed, and a naive time counts as UTC.
        zone = kind.tz if pa.types.is_timestamp(kind) else None
        column = column.cast(pa.timestamp("s", zone), safe=False).cast(pa.int64())
    try:
        return column.cast(pa.large_string())
    except (pa.ArrowException, NotImplementedError) as error:
        raise DataError(f"{name}: a column of type {kind} is no text or number") from error


def _texts(column: pa.Array) -> pa.Array:
    return pa.array([text_of(value) for value in column.to_pylist()], pa.large_string())
