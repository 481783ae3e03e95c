"""Where a training stands, and what it measured since the last look."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf


@dataclass
class TrainState:
    """What a checkpoint holds beside the weights."""

    step: int = 0
    best: float = float("inf")
    best_step: int = 0
    stale: int = 0
    curve: list[dict[str, float | str]] = field(default_factory=list)


class StateInCheckpoint(tf.train.experimental.PythonState):
    """The state, as a checkpoint keeps it."""

    def __init__(self) -> None:
        self.state = TrainState()

    def serialize(self) -> str:
        """See the base class."""
        return json.dumps(vars(self.state))

    def deserialize(self, string_value: str | bytes) -> None:
        """See the base class."""
        self.state = TrainState(**json.loads(string_value))


class Means:
    """Running means of scalars since the last look."""

    def __init__(self) -> None:
        self._rows: list[dict[str, float]] = []
        self._since = time.monotonic()

    def add(self, values: dict[str, float]) -> None:
        """Count a step's scalars."""
        self._rows.append(values)

    def take(self) -> dict[str, float]:
        """Give the means and begin anew."""
        rows, self._rows = self._rows, []
        if not rows:
            return {}
        seconds, self._since = time.monotonic() - self._since, time.monotonic()
        means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        return {**means, "steps_per_second": len(rows) / max(seconds, 1e-9)}
