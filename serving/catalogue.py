"""The catalogue that travels with a version: ids, texts, and the fields a text is made of."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serving.errors import InvalidArgument, NotFound
from serving.version_folders import list_versions

FILE = "assets.extra/catalogue.jsonl"
Pieces = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Entry:
    """An item or a user: what it is called, its text, and the text by field, in order."""

    id: str
    text: str
    pieces: Pieces = ()


class Catalogue:
    """Entries by id; texts that are somebody's id can be told."""

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        """Index the entries; of two with one id the first counts."""
        self.entries = tuple(entries)
        self._by_id = {entry.id: entry for entry in reversed(self.entries)}
        self._by_text = {entry.text: entry for entry in reversed(self.entries)}

    def __len__(self) -> int:
        return len(self.entries)

    def get(self, name: str) -> Entry | None:
        """The entry with this id."""
        return self._by_id.get(name)

    def by_text(self, text: str) -> Entry | None:
        """The entry with exactly this text."""
        return self._by_text.get(text)

    @classmethod
    def load(cls, path: Path) -> Catalogue:
        """Read lines of `{"id", "text", "pieces": [[field or null, text], ...]}`.

        Raises:
            NotFound: the file cannot be read.
            InvalidArgument: names the line that is none.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise NotFound(f"{path} cannot be read: {reason}; export the model again") from None
        return cls([_entry(path, number, line) for number, line in enumerate(lines, 1) if line])


def newest_catalogue(folder: Path, version: int | None = None) -> Path:
    """Where the catalogue of a version lies, of the newest by default.

    Raises:
        NotFound: the folder holds no version.
    """
    found = list_versions(folder)
    if not found:
        raise NotFound(f"{folder} holds no version; give the folder that the server reads")
    return folder / str(max(found) if version is None else version) / FILE


def split_text(text: str, separator: str, name: str) -> Pieces:
    """Parts of a text that came without fields, called by their place: `part 1`, ...

    Joined they are the text again.
    """
    parts = re.split(f"(?={re.escape(separator)})", text)
    return tuple((f"{name} {place}", part) for place, part in enumerate(parts, 1) if part)


def _entry(path: Path, number: int, line: str) -> Entry:
    try:
        row = json.loads(line)
        pieces = tuple((str(field or "fixed"), str(text)) for field, text in row.get("pieces", ()))
        if not isinstance(row["id"], str) or not isinstance(row["text"], str):
            raise TypeError
        return Entry(row["id"], row["text"], pieces)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InvalidArgument(
            f'{path}, line {number} is no {{"id", "text", "pieces"}}; export the model again'
        ) from None
