"""Rows to text, and back in the graph: the one renderer of training and serving.

A behaviour is a few lines: who, then what happened, oldest first::

    user: 24, M, technician
    now: 881252000
    rated 5 at 881250949: Toy Story (1995). Animation, Children's, Comedy
    seen: GoldenEye (1995). Action, Adventure, Thriller

Moments are in seconds since 1970, and may be left out.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf

from ssrec_tf.config import TextConfig
from ssrec_tf.errors import ConfigError
from ssrec_tf.personal_data import hide_personal_data
from ssrec_tf.tables import Tables

_SPACES = r"[\s\x00-\x1f\x7f\x85\u2028\u2029]+"
_SPACES_IN_GRAPH = r"[\s\pZ\x00-\x1f\x7f\x{85}]+"  # the same set, as RE2 writes it
# Few enough digits that no text is an infinite rating.
_AT = r"(?: at ([0-9]{1,12}))?:(?: |$)"
_EVENT = r"^rated (-?[0-9]{1,9}(?:\.[0-9]{1,9})?)" + _AT
_SEEN = r"^seen" + _AT
_MOMENT = r"^(?:rated -?[0-9]{1,9}(?:\.[0-9]{1,9})?|seen)" + _AT
_NOW = r"^now:(?: ([0-9]{1,12}))?$"
MAX_TEXT_BYTES = 65_536
"""A longer item text is cut when rendered: no encoder reads that far."""


class ParsedBehaviour(NamedTuple):
    """What a behaviour's lines say.

    Events are the newest, oldest of them first, from index 0 on; "", NaN and 0 pad behind.

    Attributes:
        user: string [batch].
        items: string [batch, events].
        ratings: float32 [batch, events], NaN where there is none.
        times: int64 [batch, events], seconds since 1970, 0 where there is none.
        now: int64 [batch], the same.
        count: int32 [batch], the events kept.
    """

    user: tf.Tensor
    items: tf.Tensor
    ratings: tf.Tensor
    times: tf.Tensor
    now: tf.Tensor
    count: tf.Tensor


class Piece(NamedTuple):
    """A stretch of every text: `texts` str [rows], "" where an attribute is missing.

    `field` is the attribute it goes with, None for what the template always writes.
    """

    field: str | None
    texts: pd.Series


def item_pieces(tables: Tables, config: TextConfig) -> list[Piece]:
    """Cut the items' texts into fields; joined and cleaned they are `render_items`.

    Raises:
        ConfigError: the template names an attribute that the items lack.
    """
    pieces = _pieces(tables.items, config.item_template, "text.item_template", config)
    empty = join_pieces(pieces, tables.items.index) == ""
    ids = _ids(tables.items.index)
    return [*pieces, Piece(None, ("item " + ids).where(empty, ""))]


def user_pieces(tables: Tables, config: TextConfig) -> list[Piece]:
    """Cut the users' texts into fields; joined and cleaned they are `render_users`.

    Raises:
        ConfigError: the template names an attribute that the users lack.
    """
    return _pieces(tables.users, config.user_template, "text.user_template", config)


def join_pieces(pieces: Sequence[Piece], index: pd.Index) -> pd.Series:
    """Put texts together from the pieces in their order, and clean them: str [rows]."""
    texts = pd.Series("", index=index, dtype=object)
    for piece in pieces:
        texts += piece.texts
    return texts.map(_clean).astype(object)


def render_items(tables: Tables, config: TextConfig) -> pd.Series:
    """Text of each item, in the order of `tables.items`; `item ID` where there is none.

    Raises:
        ConfigError: the template names an attribute that the items lack.
    """
    return join_pieces(item_pieces(tables, config), tables.items.index)


def unique_names(texts: pd.Series) -> pd.Series:
    """Make texts tell items apart: of equal ones all but the first end in `#ID`.

    An item in a raw string is found by its name; what the encoder reads is the text.
    """
    again = texts.duplicated()
    while again.any():  # a second turn only where some text ends in `#ID` by itself
        texts = texts.where(~again, texts + " #" + _ids(texts.index))
        again = texts.duplicated()
    return texts


def render_users(tables: Tables, config: TextConfig) -> pd.Series:
    """Text of each user, in the order of `tables.users`; "" without attributes.

    Raises:
        ConfigError: the template names an attribute that the users lack.
    """
    return join_pieces(user_pieces(tables, config), tables.users.index)


def render_event(item_text: str, rating: float | None, time: int = 0) -> str:
    """One line of a behaviour: `rated 5 at TIME: TEXT`, or `seen at TIME: TEXT`.

    `time` is in seconds since 1970; 0 leaves it out.
    """
    done = "seen" if rating is None or rating != rating else f"rated {format_number(rating)}"
    moment = f" at {time}" if time > 0 else ""
    return f"{done}{moment}: {item_text}"


def render_behaviour(user_text: str, events: Iterable[str], now: int = 0) -> str:
    """Lines of a behaviour: `user: TEXT` and `now: TIME` if any, then events, oldest first."""
    lines = [f"user: {user_text}"] if user_text else []
    lines += [f"now: {now}"] if now > 0 else []
    return "\n".join([*lines, *events])


def parse_behaviour(texts: tf.Tensor, *, max_history: int) -> ParsedBehaviour:
    """Take behaviours apart, in the graph, with core ops only.

    A line without a known beginning is an item without a rating; of several `user:` or
    `now:` lines the first counts; blank lines, and events without an item, are passed over.

    Args:
        texts: string [batch].
        max_history: events kept, the newest.
    """
    lines = tf.strings.split(tf.strings.regex_replace(texts, r"\r\n?", "\n"), "\n")
    rows, flat = lines.value_rowids(), collapse(lines.values)  # [lines] each
    batch = tf.shape(texts, out_type=tf.int64)[0]
    is_user = tf.strings.substr(flat, 0, len("user:")) == "user:"
    is_now = tf.strings.regex_full_match(flat, _NOW)
    named = tf.strings.regex_replace(flat, f"{_EVENT}|{_SEEN}", "")  # [lines]
    is_event = ~is_user & ~is_now & (named != "")
    user = tf.strings.strip(tf.strings.regex_replace(flat, "^user:", ""))
    event_rows = tf.boolean_mask(rows, is_event)

    def first(values: tf.Tensor, where: tf.Tensor, default: str) -> tf.Tensor:
        """Give each behaviour's first value where there is one: string [batch]."""
        found = tf.boolean_mask(values, where), tf.boolean_mask(rows, where)
        found = tf.RaggedTensor.from_value_rowids(*found, nrows=batch, validate=False)
        return found[:, :1].to_tensor(default, shape=[None, 1])[:, 0]

    def ragged(values: tf.Tensor) -> tf.RaggedTensor:
        kept = tf.RaggedTensor.from_value_rowids(values, event_rows, nrows=batch, validate=False)
        return kept[:, -max_history:]

    items = ragged(tf.boolean_mask(named, is_event))
    events, shape = tf.boolean_mask(flat, is_event), [None, max_history]
    return ParsedBehaviour(
        user=first(user, is_user, ""),
        items=items.to_tensor("", shape=shape),
        ratings=ragged(_ratings(events)).to_tensor(float("nan"), shape=shape),
        times=ragged(_times(events, _MOMENT)).to_tensor(0, shape=shape),
        now=_times(first(flat, is_now, ""), _NOW),
        count=tf.cast(items.row_lengths(), tf.int32),
    )


def collapse(texts: tf.Tensor) -> tf.Tensor:
    """One space for each run of white space, none at the ends: string, any shape."""
    return tf.strings.strip(tf.strings.regex_replace(texts, _SPACES_IN_GRAPH, " "))


def _ratings(events: tf.Tensor) -> tf.Tensor:
    """Number after `rated`, NaN where there is none: string to float32 [events]."""
    # \C is any byte: a text need not be valid UTF-8.
    rated = tf.strings.regex_full_match(events, rf"{_EVENT}\C*")
    numbers = tf.strings.regex_replace(events, rf"{_EVENT}\C*", r"\1")
    return tf.strings.to_number(tf.where(rated, numbers, "nan"))


def _times(lines: tf.Tensor, pattern: str) -> tf.Tensor:
    """Moments that a pattern's first group finds, 0 where it finds none: string to int64."""
    found = tf.strings.regex_replace(lines, rf"{pattern}\C*", r"\1")
    timed = tf.strings.regex_full_match(lines, rf"{pattern}\C*") & (found != "")
    return tf.strings.to_number(tf.where(timed, found, "0"), tf.int64)


def format_number(value: float) -> str:
    """Write 4.0 as `4` and 4.5 as `4.5`."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _pieces(frame: pd.DataFrame, template: str, key: str, config: TextConfig) -> list[Piece]:
    """Fill a template for every row; without a template, all attributes in their order."""
    columns = {name: _cells(frame[name], config) for name in frame.columns}
    if not template:
        return _all_pieces(columns, frame.index)
    pieces = []
    for before, name, after in _parse_template(template, list(columns), key):
        if name is None:
            pieces.append(Piece(None, pd.Series(before, index=frame.index, dtype=object)))
            continue
        cells = columns[name] if name in columns else _rounded(columns, name)
        filled = before + cells + after
        field = name if name in columns else name.rpartition(":")[0]
        pieces.append(Piece(field, filled.where(cells != "", "")))
    return pieces


def _all_pieces(columns: Mapping[str, pd.Series], index: pd.Index) -> list[Piece]:
    """A piece an attribute; a point and a space before all but a row's first."""
    pieces, begun = [], pd.Series(False, index=index)
    for name, cells in columns.items():
        there = cells != ""
        pieces.append(Piece(name, cells.where(~(begun & there), ". " + cells)))
        begun |= there
    return pieces


Part = tuple[str, str | None, str]


def _parse_template(template: str, names: Sequence[str], key: str) -> list[Part]:
    """Cut a template into (before, attribute, after); what is optional goes with its attribute."""
    parts: list[Part] = []
    pattern = r"\[([^\[\]]*)\]|\{([^{}\[\]]+)\}|([^\[\]{}]+)|(.)"
    for optional, name, literal, stray in re.findall(pattern, template, re.DOTALL):
        if stray:
            raise ConfigError(f"{key}: a {stray} in {template!r} has no partner; add or remove it")
        if literal:
            parts.append((literal, None, ""))
            continue
        inner = None if name else re.fullmatch(r"([^{}]*)\{([^{}]+)\}([^{}]*)", optional)
        if not name and inner is None:
            raise ConfigError(f"{key}: [{optional}] must hold one attribute in braces")
        before, wanted, after = inner.groups() if inner else ("", name, "")
        base, _, step = wanted.rpartition(":")
        if wanted not in names and base in names and _is_step(step):
            parts.append((before, wanted, after))
            continue
        if wanted not in names:
            near = difflib.get_close_matches(wanted, names, n=1)
            hint = f"; did you mean {{{near[0]}}}?" if near else ""
            raise ConfigError(
                f"{key}: {{{wanted}}} is no attribute; there are {', '.join(names) or 'none'}{hint}"
            )
        parts.append((before, wanted, after))
    return parts


def _is_step(text: str) -> bool:
    return re.fullmatch(r"[0-9]*\.?[0-9]+", text) is not None and float(text) > 0


def _rounded(columns: Mapping[str, pd.Series], wanted: str) -> pd.Series:
    """Cells of `name:step`: numbers rounded down to a multiple of the step; "" for the rest."""
    name, _, step = wanted.rpartition(":")
    numbers = pd.to_numeric(columns[name], errors="coerce")
    rounded = pd.Series(np.floor(numbers / float(step)) * float(step), index=numbers.index)
    return rounded.map(_cell).astype(object)


def _cells(column: pd.Series, config: TextConfig) -> pd.Series:
    """A column as text, personal data hidden cell by cell if asked: str, "" for missing."""
    texts = column.map(_cell).astype(object)
    return texts.map(hide_personal_data) if config.mask_personal_data else texts


def _ids(index: pd.Index) -> pd.Series:
    """Ids as text: a name already, with no words to drop and no phone number in it."""
    return index.to_series().map(lambda item: _clean(str(item)))


def _cell(value: object) -> str:
    """A cell as text: missing is "", a whole number has no `.0`."""
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, float | np.floating):
        return format_number(float(value))
    return str(value)


def _clean(text: str) -> str:
    text = re.sub(_SPACES, " ", text).strip()
    return text.encode("utf-8", "replace")[:MAX_TEXT_BYTES].decode("utf-8", "ignore").strip()
