"""E-mail addresses, phone numbers and card numbers in free text, hidden before storage."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssrec_tf import storage

if TYPE_CHECKING:
    import pandas as pd

    from ssrec_tf.tables import Tables

# The look-behind starts one attempt a run of letters: linear in a text of any length.
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_DIGITS = re.compile(r"(?<![\w])\+?\(?\d[\d ().-]{6,22}\d(?![\w])")
_YEARS = re.compile(r"(?:1[5-9]|20)\d\d")
_DATE = re.compile(r"(?:1[5-9]|20)\d\d[-.](?:0[1-9]|1[0-2])[-.](?:0[1-9]|[12]\d|3[01])(?!\d)")


def hide_personal_data(text: str) -> str:
    """Put the words `email`, `phone` and `card` where such a thing stood.

    A run of 13 to 19 digits that passes Luhn's check is a card number; one of 9 to 15
    digits, or of 7 to 15 with a leading `+` or bracket, is a phone number. Years, dates,
    book numbers (ISBN-13), prices and short numbers stay. Give one cell at a time: the
    numbers of two cells side by side look like one number.
    """
    return _DIGITS.sub(_hide_digits, _EMAIL.sub("email", text))


def _hide_digits(match: re.Match[str]) -> str:
    shown = match.group()
    digits = re.sub(r"\D", "", shown)
    if 13 <= len(digits) <= 19 and passes_luhn(digits):
        return "card"
    if _is_no_number_to_call(shown, digits):
        return shown
    marked = shown.startswith(("+", "("))
    if 9 <= len(digits) <= 15 or (marked and len(digits) >= 7):
        return "phone"
    return shown


def _is_no_number_to_call(shown: str, digits: str) -> bool:
    """Years in a row, a date, or a book's number."""
    if shown.startswith("+"):
        return False
    if len(digits) == 13 and digits.startswith(("978", "979")):
        return True
    groups = re.findall(r"\d+", shown)
    return all(_YEARS.fullmatch(group) for group in groups) or bool(_DATE.match(shown))


def passes_luhn(digits: str) -> bool:
    """Check a card number's last digit (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def hide_in_tables(tables: Tables) -> Tables:
    """Hide it in every text of items and users; ids stay, they name rows."""
    return replace(tables, items=_hide_cells(tables.items), users=_hide_cells(tables.users))


def hide_in_rejects(path: Path) -> None:
    """Hide it in the values that `rejects.jsonl` shows."""
    if not path.exists():
        return
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines = [json.dumps(_hide_values(row), ensure_ascii=False) + "\n" for row in rows]
    storage.atomic_write_text(path, "".join(lines))


def _hide_cells(frame: pd.DataFrame) -> pd.DataFrame:
    hidden = frame.copy()
    for name in frame.columns:
        hidden[name] = frame[name].map(lambda x: hide_personal_data(x) if isinstance(x, str) else x)
    return hidden


def _hide_values(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hide_values(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_hide_values(part) for part in value]
    return hide_personal_data(value) if isinstance(value, str) else value
