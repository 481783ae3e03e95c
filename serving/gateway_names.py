"""From what a request names to what the model is asked: ids become texts, with their fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from serving.behaviour import Behaviour, Happened, one_line
from serving.catalogue import Catalogue, Entry, Pieces, split_text
from serving.explaining import Asked
from serving.gateway_limits import Refusal
from serving.gateway_schemas import MAX_TEXT_BYTES, Event, Item, Named


class Known(NamedTuple):
    """A request's item: the text that the model is asked, the id if the catalogue has it."""

    text: str
    id: str | None = None
    pieces: Pieces = ()

    def asked(self) -> Asked:
        """For an explanation."""
        pieces = self.pieces or split_text(self.text, ". ", "part")
        return Asked(self.text, pieces, self.id is not None)


def find_item(catalogue: Catalogue, item: Item, where: str) -> Known:
    """Look an item up; a text that the catalogue lacks is a new item's.

    Raises:
        Refusal: an id that the catalogue lacks, or a text that is blank, too long, or one that
            the model would take for an id.
    """
    if item.id is not None:
        entry = catalogue.get(item.id)
        if entry is None:
            message = "the catalogue has no such id; send the item's text"
            raise Refusal(422, "unknown_item", message, f"{where}.id")
        return _known(entry)
    text = _text(item, where)
    entry = catalogue.by_text(text)
    if entry is not None:
        return _known(entry)
    if catalogue.get(text) is not None:
        message = "this text is the id of an item; send it as id, or say more"
        raise Refusal(422, "ambiguous_text", message, f"{where}.text")
    if not text:
        raise Refusal(422, "blank", "text is blank", f"{where}.text")
    return Known(text)


def find_items(catalogue: Catalogue, items: Sequence[Item], where: str) -> list[Known]:
    """Look items up; `where` is the field that holds them.

    Raises:
        Refusal: as `find_item` does, of the first that cannot be found.
    """
    found = []
    for place, item in enumerate(items):
        entry = catalogue.by_text(item.text) if item.text is not None else None
        # Most are of the catalogue, word for word, and that is quicker.
        known = _known(entry) if entry else find_item(catalogue, item, f"{where}[{place}]")
        found.append(known)
    return found


def find_user(users: Catalogue, user: Named | None) -> tuple[str, Pieces, bool]:
    """A user's text and its fields, and whether their id is known; a new user's text is "".

    Raises:
        Refusal: the text is too long.
    """
    if user is None:
        return "", (), False
    if user.id is not None:
        entry = users.get(user.id)
        return (entry.text, entry.pieces, True) if entry else ("", (), False)
    text = _text(user, "user")
    return text, split_text(text, ", ", "user part"), False


def find_behaviour(
    catalogue: Catalogue,
    users: Catalogue,
    user: Named | None,
    history: list[Event],
    now: int,
) -> tuple[Behaviour, list[Known], bool]:
    """A request's behaviour, its past items, and whether the user's id is known.

    Raises:
        Refusal: names the event whose item is not known.
    """
    items = find_items(catalogue, history, "history")
    text, pieces, user_known = find_user(users, user)
    events = tuple(
        Happened(item.text, event.rating, event.time)
        for item, event in zip(items, history, strict=True)
    )
    return Behaviour(text, events, now, pieces), items, user_known


def _text(named: Named, where: str) -> str:
    text = named.text or ""
    if not text.isascii() and len(text.encode()) > MAX_TEXT_BYTES:
        message = f"is longer than {MAX_TEXT_BYTES} bytes"
        raise Refusal(422, "text_size", message, f"{where}.text")
    return one_line(text)


def _known(entry: Entry) -> Known:
    return Known(entry.text, entry.id, entry.pieces)
