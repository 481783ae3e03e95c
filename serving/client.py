"""One client for TensorFlow Serving and the stand-in, over gRPC or REST, with the same calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import numpy as np

from serving import calls
from serving.async_transports import AsyncGrpcTransport, AsyncRestTransport, AsyncTransport
from serving.errors import DeadlineExceeded, NotFound, NotReady, Unavailable
from serving.tensors import Outputs
from serving.transports import GrpcTransport, RestTransport, Transport
from serving.wire import VersionState

__all__ = [
    "AsyncClient",
    "AsyncGrpcTransport",
    "AsyncRestTransport",
    "Client",
    "GrpcTransport",
    "RestTransport",
]
_AVAILABLE = "AVAILABLE"
_PAUSE = 0.1


class Client:
    """The model's signatures as calls.

    A behaviour is lines: `user: TEXT`, then `rated 5: ITEM TEXT` or `seen: ITEM TEXT`,
    oldest first. Moments, in seconds since 1970, may be told: `rated 5 at 881250949: ITEM
    TEXT`, `seen at 881250949: ITEM TEXT`, and `now: 881252000`.
    """

    def __init__(self, transport: Transport) -> None:
        """Speak over `transport`."""
        self._transport = transport

    def score(self, behaviours: Sequence[str], items: Sequence[str]) -> Outputs:
        """Score pairs: `rating` and `click_probability`, float [n]."""
        inputs = calls.score_inputs(behaviours, items)
        return self._transport.predict("serving_default", inputs)

    def rank(
        self,
        user: str,
        history: Sequence[str],
        candidates: Sequence[str],
        history_ratings: Sequence[float] | None = None,
        history_times: Sequence[int] | None = None,
        now: int | None = None,
    ) -> Outputs:
        """Rank candidates, ids or texts: `ranking` int [n], `rating`, `click_probability`.

        Times are in seconds since 1970, 0 where unknown.

        Raises:
            InvalidArgument: ratings or times are not one a past item.
        """
        inputs = calls.rank_inputs(user, history, candidates, history_ratings, history_times, now)
        return calls.first_row(self._transport.predict("rank", inputs))

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of texts: float [n, width]."""
        return calls.vectors(self._transport.predict("embed", calls.embed_inputs(texts)))

    def recommend(self, behaviours: Sequence[str], k: int) -> list[list[tuple[str, float]]]:
        """Best items for each behaviour: (id, score), best first."""
        inputs = calls.recommend_inputs(behaviours, k)
        return calls.recommendations(self._transport.predict("recommend", inputs))

    def ready(self) -> list[int]:
        """Versions that answer, newest first.

        Raises:
            NotReady: the server is there, but has none.
            Unavailable: nobody is there.
        """
        try:
            return _available(self._transport.states())
        except NotFound as error:
            raise NotReady(f"the server has no such model yet: {error}") from None

    def wait_until_ready(self, timeout: float = 60.0) -> list[int]:
        """`ready`, asked until it is so.

        Raises:
            NotReady: not within `timeout` seconds.
            Unavailable: nobody was there within them.
        """
        until = time.monotonic() + timeout
        while True:
            try:
                return self.ready()
            except (Unavailable, DeadlineExceeded):
                if time.monotonic() + _PAUSE > until:
                    raise
            time.sleep(_PAUSE)

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class AsyncClient:
    """`Client` for an event loop: the same calls, awaited."""

    def __init__(self, transport: AsyncTransport) -> None:
        """Speak over `transport`."""
        self._transport = transport

    async def score(self, behaviours: Sequence[str], items: Sequence[str]) -> Outputs:
        """Score pairs: `rating` and `click_probability`, float [n]."""
        inputs = calls.score_inputs(behaviours, items)
        return await self._transport.predict("serving_default", inputs)

    async def rank(
        self,
        user: str,
        history: Sequence[str],
        candidates: Sequence[str],
        history_ratings: Sequence[float] | None = None,
        history_times: Sequence[int] | None = None,
        now: int | None = None,
    ) -> Outputs:
        """Rank candidates; see `Client.rank`."""
        inputs = calls.rank_inputs(user, history, candidates, history_ratings, history_times, now)
        return calls.first_row(await self._transport.predict("rank", inputs))

    async def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of texts: float [n, width]."""
        return calls.vectors(await self._transport.predict("embed", calls.embed_inputs(texts)))

    async def recommend(self, behaviours: Sequence[str], k: int) -> list[list[tuple[str, float]]]:
        """Best items for each behaviour: (id, score), best first."""
        inputs = calls.recommend_inputs(behaviours, k)
        return calls.recommendations(await self._transport.predict("recommend", inputs))

    async def ready(self) -> list[int]:
        """Versions that answer; see `Client.ready`."""
        try:
            return _available(await self._transport.states())
        except NotFound as error:
            raise NotReady(f"the server has no such model yet: {error}") from None

    async def wait_until_ready(self, timeout: float = 60.0) -> list[int]:
        """`ready`, asked until it is so; see `Client.wait_until_ready`."""
        until = time.monotonic() + timeout
        while True:
            try:
                return await self.ready()
            except (Unavailable, DeadlineExceeded):
                if time.monotonic() + _PAUSE > until:
                    raise
            await asyncio.sleep(_PAUSE)

    async def close(self) -> None:
        """Close the transport."""
        await self._transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()


def _available(states: Sequence[VersionState]) -> list[int]:
    found = sorted((s.version for s in states if s.state == _AVAILABLE), reverse=True)
    if not found:
        shown = ", ".join(f"{s.version} {s.state} {s.error}".strip() for s in states) or "none"
        raise NotReady(f"no version is available yet; there are: {shown}")
    return found
