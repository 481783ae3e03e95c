"""When a request may be sent again: it changes nothing, nobody took it, and there is time left.

Full jitter as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): clients that
failed together do not come back together.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from serving.errors import DeadlineExceeded, InvalidArgument, ServingError, Unavailable

T = TypeVar("T")


@dataclass(frozen=True)
class Retries:
    """How often and how soon a request is sent again; times in seconds."""

    attempts: int = 3
    base: float = 0.05
    cap: float = 1.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.base <= 0 or self.cap < self.base:
            raise InvalidArgument(
                f"attempts={self.attempts}, base={self.base}, cap={self.cap}: give at least one "
                "attempt and 0 < base <= cap"
            )


NO_RETRIES = Retries(attempts=1)


class Attempts:
    """The attempts at one request, all before one deadline."""

    def __init__(
        self,
        retries: Retries,
        timeout: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """Start the clock; `timeout` is in seconds for all attempts together."""
        self._retries, self._clock, self._draw = retries, clock, draw
        self._timeout, self._until, self._made = timeout, clock() + timeout, 0

    def remaining(self) -> float:
        """Seconds that the next attempt has.

        Raises:
            DeadlineExceeded: none.
        """
        left = self._until - self._clock()
        if left <= 0:
            raise DeadlineExceeded(
                f"no answer in {self._timeout} s; allow more time, or ask for less at once"
            )
        self._made += 1
        return left

    def pause_after(self, error: ServingError) -> float:
        """Seconds to wait before the next attempt.

        Only `Unavailable` is tried again: of the others, the server has decided or is at work.

        Raises:
            ServingError: the error itself, where there is no next attempt.
        """
        if not isinstance(error, Unavailable) or self._made >= self._retries.attempts:
            raise error
        ceiling = min(self._retries.cap, self._retries.base * 2 ** (self._made - 1))
        pause = self._draw(0.0, ceiling)
        if self._clock() + pause >= self._until:
            raise error
        return pause


def call(attempts: Attempts, send: Callable[[float], T]) -> T:
    """Send until it succeeds or `attempts` says no; `send` gets the seconds left."""
    while True:
        try:
            return send(attempts.remaining())
        except ServingError as error:
            time.sleep(attempts.pause_after(error))


async def call_async(attempts: Attempts, send: Callable[[float], Awaitable[T]]) -> T:
    """The same, awaited."""
    while True:
        try:
            return await send(attempts.remaining())
        except ServingError as error:
            await asyncio.sleep(attempts.pause_after(error))
