"""Why an item scores as it does: what each event and each field adds, by leaving it out.

All variants go through the model in one request, so one version answers them all. An item of the
catalogue is known by its text; with a field left out it is a new item. Its fields are therefore
measured on its text as a new item's, and what knowing the item itself adds is told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serving.behaviour import Behaviour, join, rank_rows
from serving.catalogue import Pieces
from serving.tensors import Arrays, Outputs

MAX_EVENTS = 30
MAX_ITEMS = 10
_AS_NEW = " ."  # a text that no catalogue has, of the same words
Pair = tuple[float, float]


@dataclass(frozen=True)
class Asked:
    """An item to explain: its text, the text's fields, and whether the catalogue has it."""

    text: str
    pieces: Pieces
    known: bool


@dataclass(frozen=True)
class Effects:
    """What each part adds to (rating, click probability); events by their index."""

    scores: Pair
    events: tuple[tuple[int, Pair], ...]
    user_fields: tuple[tuple[str, Pair], ...]
    item_fields: tuple[tuple[str, Pair], ...]
    known: Pair | None


@dataclass(frozen=True)
class Plan:
    """One `rank` request that holds every variant."""

    behaviour: Behaviour
    items: tuple[Asked, ...]

    @property
    def _events(self) -> range:
        """The newest ones."""
        count = len(self.behaviour.events)
        return range(max(0, count - MAX_EVENTS), count)

    def inputs(self) -> Arrays:
        """Arrays of `rank`.

        Rows: as it is, without each event, without each user field. Columns: the items, each
        followed by its variants.
        """
        pieces = self.behaviour.user_pieces
        rows = [
            self.behaviour,
            *(self.behaviour.without_event(index) for index in self._events),
            *(self.behaviour.without_user_piece(place) for place in range(len(pieces))),
        ]
        return rank_rows(rows, [text for item in self.items for text in _variants(item)])

    def effects(self, outputs: Outputs) -> list[Effects]:
        """Read the answer: one `Effects` an item."""
        scores = np.stack([outputs["rating"], outputs["click_probability"]], axis=-1)
        scores = scores.astype(float)  # [rows, columns, 2]
        column, found = 0, []
        for item in self.items:
            width = len(_variants(item))
            found.append(self._of(item, scores[:, column : column + width]))
            column += width
        return found

    def _of(self, item: Asked, scores: np.ndarray) -> Effects:
        """Effects from an item's columns: float [rows, variants, 2]."""
        whole, count = scores[0, 0], len(self._events)
        names = [name for name, _ in self.behaviour.user_pieces]
        as_new = scores[0, 1]
        return Effects(
            scores=_pair(whole),
            events=tuple(
                (index, _pair(whole - scores[1 + place, 0]))
                for place, index in enumerate(self._events)
            ),
            user_fields=tuple(
                (name, _pair(whole - scores[1 + count + place, 0]))
                for place, name in enumerate(names)
            ),
            item_fields=tuple(
                (name, _pair(as_new - scores[0, 2 + place]))
                for place, (name, _) in enumerate(item.pieces)
            ),
            known=_pair(whole - as_new) if item.known else None,
        )


def plan(behaviour: Behaviour, items: Sequence[Asked]) -> Plan:
    """A request for the first `MAX_ITEMS` items and the newest `MAX_EVENTS` events."""
    return Plan(behaviour, tuple(items[:MAX_ITEMS]))


def _variants(item: Asked) -> list[str]:
    """The item, its text as a new item's, and that without each field."""
    suffix = _AS_NEW if item.known else ""
    without = [
        join(item.pieces[:place] + item.pieces[place + 1 :]) or "?"
        for place in range(len(item.pieces))
    ]
    whole = join(item.pieces) if item.known else item.text
    return [item.text, whole + suffix, *(text + suffix for text in without)]


def _pair(values: np.ndarray) -> Pair:
    return float(values[0]), float(values[1])
