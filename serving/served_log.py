"""A sample of what was served, in the format that training reads.

`interactions-DATE.jsonl` holds what users did: `{"user", "item", "rating", "timestamp"}`, a log
as any other. `shown-DATE.jsonl` holds what they were shown, to be joined with what they click on.
Users are sampled, so that a log is there whole or not at all; they stand under their HMAC. Items
stand under their ids; no text is written, and what has no id is left out.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.errors import InvalidArgument


@dataclass(frozen=True)
class Shown:
    """An item as it was shown."""

    item: str
    rating: float
    click_probability: float


class ServedLog:
    """Appends lines; a line is written at once, whole."""

    def __init__(
        self, folder: Path, sample: float, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Write below `folder` of a share `sample` of the users.

        Raises:
            InvalidArgument: the folder cannot be made.
        """
        self._folder, self._sample, self._clock = folder, sample, clock
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise InvalidArgument(f"{folder} cannot be made: {error.strerror}") from None

    def sampled(self, user: str) -> bool:
        """Whether a user, given by HMAC, is of the sample."""
        return int(user[:8], 16) / 2**32 < self._sample

    def did(self, user: str, item: str, rating: float | None, timestamp: int) -> None:
        """Note what a sampled user did."""
        row = {"user": user, "item": item, "rating": rating, "timestamp": timestamp}
        self._append("interactions", [row])

    def showed(
        self, user: str, items: Sequence[Shown], *, request: str, version: int | None
    ) -> None:
        """Note what a sampled user was shown, best first."""
        now = int(self._clock())
        self._append(
            "shown",
            [
                {
                    "user": user,
                    "item": shown.item,
                    "position": position,
                    "rating": round(shown.rating, 4),
                    "click_probability": round(shown.click_probability, 6),
                    "timestamp": now,
                    "request": request,
                    "model_version": version,
                }
                for position, shown in enumerate(items)
            ],
        )

    def _append(self, kind: str, rows: Sequence[dict[str, Any]]) -> None:
        day = time.strftime("%Y%m%d", time.gmtime(self._clock()))
        text = "".join(json.dumps(row) + "\n" for row in rows)
        path = self._folder / f"{kind}-{day}.jsonl"
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, text.encode())  # one write: lines of two processes do not mix
        finally:
            os.close(handle)
