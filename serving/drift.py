"""Are requests still like what the model was trained on? A population stability index says so.

PSI = sum over bins of (p - q) ln(p / q), p being the share of requests, q that of train rows
(Siddiqi, "Credit Risk Scorecards", 2006: below 0.1 nothing has changed, above 0.2 it has).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from serving.errors import InvalidArgument, NotFound

FILE = "assets.extra/traffic.json"
_FLOOR = 1e-3  # of a share: one odd request in an empty bin is no drift


@dataclass(frozen=True)
class Expected:
    """How a feature was spread in training: `edges` [bins - 1], `shares` [bins]."""

    edges: np.ndarray
    shares: np.ndarray


def psi(seen: np.ndarray, expected: np.ndarray) -> float:
    """Population stability index of two arrays of shares or counts, float [bins] each."""
    p = np.maximum(seen / max(seen.sum(), 1e-12), _FLOOR)
    q = np.maximum(expected / max(expected.sum(), 1e-12), _FLOOR)
    return float(np.sum((p - q) * np.log(p / q)))


def load_expected(path: Path) -> dict[str, Expected]:
    """What `traffic.json` says, by feature.

    Raises:
        NotFound: there is no such file.
        InvalidArgument: it is not as an export writes it.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        found = {
            name: Expected(np.array(part["edges"], float), np.array(part["shares"], float))
            for name, part in body["features"].items()
        }
        for name, part in found.items():
            if part.shares.shape != (len(part.edges) + 1,) or not np.isfinite(part.shares).all():
                raise ValueError(f"{name}: {len(part.edges)} edges need one share more")
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}; export again") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidArgument(f"{path}: {error}; export the model again") from None
    return found


class Drift:
    """Counts of the newest requests, feature by feature."""

    def __init__(self, expected: Mapping[str, Expected], window: int) -> None:
        """Compare with `expected` over the newest `window` values of each feature."""
        self._expected = dict(expected)
        self._bins: dict[str, deque[int]] = {name: deque(maxlen=window) for name in expected}
        self._window = window

    def see(self, feature: str, value: float) -> None:
        """Count a value; a feature that training did not describe is passed over."""
        part = self._expected.get(feature)
        if part is not None:
            place = int(np.searchsorted(part.edges, value, side="right"))
            self._bins[feature].append(place)

    def report(self) -> dict[str, float]:
        """PSI of each feature that was seen half a window often."""
        return {
            name: psi(
                np.bincount(bins, minlength=len(self._expected[name].shares)).astype(float),
                self._expected[name].shares,
            )
            for name, bins in self._bins.items()
            if len(bins) >= self._window // 2
        }
