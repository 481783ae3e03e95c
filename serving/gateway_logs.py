"""Structured logs in which no text of a request can stand: a fixed set of fields, ids as HMACs."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
import sys
import time
import traceback
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from serving.errors import NotFound

_LOGGER = logging.getLogger("serving.gateway")
_SPENT: ContextVar[list[float] | None] = ContextVar("spent", default=None)


def spent_at_model(*, anew: bool = False) -> list[float]:
    """Seconds of each call of the model server within the current request."""
    spent = _SPENT.get()
    if anew or spent is None:
        spent = []
        _SPENT.set(spent)
    return spent


class Pseudonyms:
    """Stands for user ids in logs and examples: HMAC-SHA-256 under a secret, 128 bits of it.

    With the secret in a file the names stay the same over restarts; without, they live as long
    as the process.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        """Use `secret`, or a fresh one."""
        self._secret = secret or secrets.token_bytes(32)

    @classmethod
    def load(cls, path: Path | None) -> Pseudonyms:
        """Read the secret.

        Raises:
            NotFound: the file cannot be read, or holds fewer than 16 bytes.
        """
        if path is None:
            return cls()
        try:
            secret = path.read_bytes().strip()
        except OSError as error:
            raise NotFound(f"{path} cannot be read: {error.strerror}") from None
        if len(secret) < 16:
            raise NotFound(f"{path} holds fewer than 16 bytes; write a longer secret into it")
        return cls(secret)

    def of(self, user: str) -> str:
        """The name that stands for a user's id."""
        digest = hmac.new(self._secret, user.encode("utf-8", "replace"), hashlib.sha256)
        return digest.hexdigest()[:32]


class _Json(logging.Formatter):
    """A record as a line of JSON; of an exception its type and places, never its message."""

    def format(self, record: logging.LogRecord) -> str:
        body: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.msg if record.name == _LOGGER.name else record.name,
        }
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            body.update(fields)
        if record.exc_info and record.exc_info[0] is not None:
            body["error"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])
            body["at"] = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-5:]]
        return json.dumps(body)


def configure(stream: Any = None) -> None:
    """Send every logger's records to one stream, as JSON; the standard error by default."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Json())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    _LOGGER.setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = True


def log(event: str, /, *, level: int = logging.INFO, **fields: Any) -> None:
    """Write one event; `fields` must hold nothing that a user wrote."""
    _LOGGER.log(level, event, extra={"fields": fields})


def log_fault(event: str, error: BaseException, /, **fields: Any) -> None:
    """Write an unforeseen error: what kind, and where."""
    info = (type(error), error, error.__traceback__)
    _LOGGER.error(event, exc_info=info, extra={"fields": fields})
