"""What is refused before anything is parsed, and how much is taken on at once."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from serving.gateway_settings import Limits

MAX_BODY_BYTES = 64 * 1024
MAX_DEPTH = 8
RETRY_AFTER_SECONDS = 1
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_NO_MARKS = bytes(set(range(256)) - set(b'[]{}"'))


@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault
    """A request that is answered at once."""

    status: int
    code: str
    message: str
    field: str | None = None
    retry_after: float | None = None
    hang_up: bool = False


def check_head(headers: Mapping[bytes, bytes]) -> int:
    """Length of the body that is announced.

    Raises:
        Refusal: it is encoded, of another type, too large or of no known length.
    """
    if b"content-encoding" in headers:
        raise Refusal(
            415, "content_encoding", "send the body as it is, not compressed", "Content-Encoding"
        )
    kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if kind != b"application/json":
        raise Refusal(415, "content_type", "send application/json", "Content-Type")
    length = headers.get(b"content-length", b"")
    if not re.fullmatch(rb"[0-9]{1,18}", length):
        raise Refusal(411, "content_length", "send the body's length", "Content-Length")
    if int(length) > MAX_BODY_BYTES:
        raise Refusal(413, "body_size", f"send at most {MAX_BODY_BYTES} bytes", "body")
    return int(length)


async def read_body(receive: Any, length: int, timeout: float) -> bytes:
    """The whole body, which may take `timeout` seconds.

    Raises:
        Refusal: it does not come in time, or is not of that length.
    """
    parts: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(timeout):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(400, "disconnected", "the client went away", "body")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                more = message.get("more_body", False)
                if size > min(length, MAX_BODY_BYTES):
                    raise Refusal(413, "body_size", "send no more than Content-Length", "body")
    except TimeoutError:
        raise Refusal(408, "slow", f"send the body within {timeout:g} s", "body") from None
    return b"".join(parts)


def check_depth(body: bytes) -> None:
    """Refuse deep nesting before a parser recurses into it.

    Raises:
        Refusal: lists and objects within one another beyond `MAX_DEPTH`.
    """
    # Of a string that holds no bracket two quotes are left; most bodies have no other.
    marks = body.translate(None, _NO_MARKS).replace(b'""', b"")
    if b'"' in marks or b"\\" in body:
        marks = _STRINGS.sub(b"", body).translate(None, _NO_BRACKETS)
    depth = 0
    for mark in marks:
        if mark in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise Refusal(400, "depth", f"nest at most {MAX_DEPTH} deep", "body")
        else:
            depth -= 1


class Admission:
    """So many requests at the model, so many in front of it, the rest is told to come back."""

    def __init__(self, limits: Limits) -> None:
        """Begin empty."""
        self._free, self._queue = limits.concurrency, limits.queue
        self._wait = limits.wait
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place for a block.

        Raises:
            Refusal: the queue is full, or a place was not free in time.
        """
        await self._take()
        try:
            yield
        finally:
            self._give()

    async def _take(self) -> None:
        if self._free > 0:
            self._free -= 1
            return
        if len(self._waiting) >= self._queue:
            raise overloaded("the queue is full")
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._wait):
                await asyncio.shield(turn)
        except BaseException as error:
            if turn.done():  # the place came in the same moment
                self._give()
            else:
                self._waiting.remove(turn)
                turn.cancel()
            if isinstance(error, TimeoutError):
                raise overloaded(f"no place within {self._wait:g} s") from None
            raise

    def _give(self) -> None:
        """Hand the place to who waits longest, else keep it free."""
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self._free += 1


def overloaded(why: str, *, hang_up: bool = False) -> Refusal:
    """Say when to come back, and close the connection where it is one too many."""
    message = f"{why}; try again later"
    return Refusal(503, "overloaded", message, retry_after=RETRY_AFTER_SECONDS, hang_up=hang_up)
