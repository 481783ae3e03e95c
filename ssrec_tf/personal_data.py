"""E-mail addresses, phone numbers and card numbers in free text, hidden before storage."""

from __future__ import annotations

import re

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_DIGITS = re.compile(r"(?<![\w])\+?\(?\d[\d ().-]{6,22}\d(?![\w])")


def hide_personal_data(text: str) -> str:
    """Put the words `email`, `phone` and `card` where such a thing stood.

    A run of 13 to 19 digits that passes Luhn's check is a card number; one of 9 to 15
    digits, or of 7 to 15 with a leading `+` or bracket, is a phone number. Years, prices
    and short numbers stay.
    """
    return _DIGITS.sub(_hide_digits, _EMAIL.sub("email", text))


def _hide_digits(match: re.Match[str]) -> str:
    shown = match.group()
    digits = re.sub(r"\D", "", shown)
    if 13 <= len(digits) <= 19 and passes_luhn(digits):
        return "card"
    marked = shown.startswith(("+", "("))
    if 9 <= len(digits) <= 15 or (marked and len(digits) >= 7):
        return "phone"
    return shown


def passes_luhn(digits: str) -> bool:
    """Check a card number's last digit (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0
