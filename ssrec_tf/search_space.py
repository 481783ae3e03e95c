"""What may be tuned of a model, and between which bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ssrec_tf.errors import ConfigError


@dataclass(frozen=True)
class Range:
    """The values of one parameter: whole numbers where both bounds are, else any between.

    Attributes:
        low: The least.
        high: The greatest, which may be drawn too.
        log: Whether it is drawn evenly over its logarithm.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        """Refuse bounds that leave nothing to draw.

        Raises:
            ConfigError: `low` is not below `high`, or not above 0 where `log` asks for it.
        """
        if not self.low < self.high:
            raise ConfigError(f"a range from {self.low} to {self.high}: give low below high")
        if self.log and self.low <= 0:
            raise ConfigError(f"a range from {self.low} by logarithm: give a low above 0")

    @property
    def whole(self) -> bool:
        """Whether the values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


Space = Mapping[str, Range]
"""Parameter -> its range. A parameter is a constructor's argument or a key of the configuration."""
