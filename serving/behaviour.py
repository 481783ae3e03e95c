"""A user's behaviour as the signatures take it: columns for `rank`, lines for `recommend`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from serving.catalogue import Pieces
from serving.tensors import Arrays, strings

_BREAKS = re.compile(r"[\s\x00-\x1f\x7f\x85\u2028\u2029]+")


class Happened(NamedTuple):
    """An event: an item's text, a rating or None, seconds since 1970 or 0."""

    text: str
    rating: float | None = None
    time: int = 0


@dataclass(frozen=True)
class Behaviour:
    """Who, what they did (oldest first), and when that is asked."""

    user: str = ""
    events: tuple[Happened, ...] = ()
    now: int = 0
    user_pieces: Pieces = field(default=())

    def without_event(self, index: int) -> Behaviour:
        """The same user, had that not happened."""
        return replace(self, events=self.events[:index] + self.events[index + 1 :])

    def without_user_piece(self, index: int) -> Behaviour:
        """The same history, by somebody of whom that field is not known."""
        pieces = self.user_pieces[:index] + self.user_pieces[index + 1 :]
        return replace(self, user=join(pieces))

    def lines(self) -> str:
        """As a raw string: `user: ...`, `now: ...`, `rated 5 at TIME: ...`, `seen: ...`."""
        head = [f"user: {one_line(self.user)}"] if self.user.strip() else []
        head += [f"now: {self.now}"] if self.now else []
        return "\n".join([*head, *(_line(event) for event in self.events)])


def rank_rows(rows: Sequence[Behaviour], candidates: Sequence[str]) -> Arrays:
    """Inputs of `rank`: each behaviour asks for all candidates.

    Shorter histories are padded behind, as the graph's own parser does.
    """
    longest = max(1, *(len(row.events) for row in rows))
    history = np.full((len(rows), longest), b"", dtype=object)
    ratings = np.zeros((len(rows), longest), np.float32)
    times = np.zeros((len(rows), longest), np.int64)
    for place, row in enumerate(rows):
        count = len(row.events)
        history[place, :count] = strings([event.text for event in row.events])
        ratings[place, :count] = [_number(event.rating) for event in row.events]
        times[place, :count] = [event.time for event in row.events]
    wanted = strings(candidates)[None, :]  # [1, candidates]
    return {
        "user": strings([row.user for row in rows]),
        "history": history,
        "history_ratings": ratings,
        "history_times": times,
        "now": np.array([row.now for row in rows], np.int64),
        "candidates": np.repeat(wanted, len(rows), axis=0),
    }


def one_line(text: str) -> str:
    """A text without line breaks: what stands behind one would be read as another event."""
    if text.isascii() and text.isprintable() and "  " not in text:  # most are, and it is quicker
        return text.strip()
    return _BREAKS.sub(" ", text).strip()


def join(pieces: Pieces) -> str:
    """A text of its pieces, without what separated a first one from one that is gone."""
    return "".join(text for _, text in pieces).lstrip(" .,;").strip()


def _number(rating: float | None) -> float:
    """0 is "none"; a rating of 0 is nudged so that it is one."""
    if rating is None:
        return 0.0
    return rating or float(np.finfo(np.float32).tiny)


def _line(event: Happened) -> str:
    rating = f"{event.rating:.6f}".rstrip("0").rstrip(".") if event.rating is not None else ""
    done = f"rated {rating}" if rating else "seen"
    moment = f" at {event.time}" if event.time else ""
    return f"{done}{moment}: {one_line(event.text)}"
