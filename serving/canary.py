"""Which users a new version gets, and when it loses them."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from serving.gateway_settings import Canary


@dataclass
class _Seen:
    """The newest requests of a label: seconds, and whether each went well."""

    window: int
    rows: deque[tuple[float, bool]] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = deque(maxlen=self.window)

    def errors(self) -> float:
        return sum(not well for _, well in self.rows) / max(len(self.rows), 1)

    def p95(self) -> float:
        return float(np.percentile([seconds for seconds, _ in self.rows], 95))


class CanaryRouter:
    """Sends a share of the users to the canary label, until it is worse than the stable one.

    A user stays with a label: the choice is a hash of who asks. Once rolled back, a canary
    version gets no more requests; another version may be tried.
    """

    def __init__(self, settings: Canary) -> None:
        """Begin with the settings' share."""
        self._settings = settings
        self._stable, self._canary = (_Seen(settings.window) for _ in range(2))
        self.bad_versions: set[int] = set()
        self.reason = ""
        self.stopped = False

    @property
    def stable(self) -> str:
        """The label of those that are not tried on."""
        return self._settings.stable

    def label(self, who: str) -> str:
        """The label for a user, or for a request without one."""
        if self.stopped or not self._settings.share:
            return self._settings.stable
        digest = hashlib.sha256(f"{self._settings.label}:{who}".encode()).digest()
        share = int.from_bytes(digest[:8], "big") / 2**64
        chosen = share < self._settings.share
        return self._settings.label if chosen else self._settings.stable

    def observe(self, label: str, seconds: float, *, well: bool, version: int | None) -> bool:
        """Note how a request went; whether that rolled the canary back just now."""
        if label != self._settings.label:
            self._stable.rows.append((seconds, well))
            return False
        self._canary.rows.append((seconds, well))
        why = self._why()
        if not why or self.stopped:
            return False
        self.stopped, self.reason = True, why
        if version is not None:
            self.bad_versions.add(version)
        return True

    def retry(self, newest: int | None) -> None:
        """Try again once the server has a version newer than those that failed."""
        if self.stopped and newest is not None and newest > max(self.bad_versions, default=newest):
            self.stopped, self.reason = False, ""
            self._canary.rows.clear()

    def _why(self) -> str:
        """What is wrong with the canary; nothing, or too little known, is ""."""
        limits, seen, other = self._settings, self._canary, self._stable
        if len(seen.rows) < limits.least:
            return ""
        if seen.errors() > other.errors() + limits.errors:
            return f"errors {seen.errors():.3f}, stable {other.errors():.3f}"
        enough = len(other.rows) >= limits.least
        if enough and seen.p95() > limits.slower * other.p95():
            return f"p95 {seen.p95():.3f} s, stable {other.p95():.3f} s"
        return ""
