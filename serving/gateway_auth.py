"""Who asks: API keys and JSON Web Tokens, each with a rate of its own; nobody else gets in."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from serving.errors import InvalidArgument, NotFound
from serving.gateway_settings import Access, Jwt

_LINE = re.compile(r"(?P<name>[A-Za-z0-9_.-]{1,64}) (?P<digest>[0-9a-f]{64})")
_MAX_TOKEN = 4096


@dataclass(frozen=True)
class Caller:
    """Who was let in; `name` is safe to log."""

    name: str


class Keys:
    """API keys by the SHA-256 of each; the keys themselves are nowhere.

    A key is 32 random bytes, so a plain hash is enough: there is nothing to guess.
    """

    def __init__(self, digests: Mapping[str, bytes]) -> None:
        """Hold digests by the name of who has the key."""
        self._digests = dict(digests)

    @classmethod
    def load(cls, path: Path) -> Keys:
        """Read lines of `NAME SHA256`; `#` begins a comment.

        Raises:
            NotFound: the file cannot be read.
            InvalidArgument: names the line that is none; its content is not shown.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise NotFound(f"{path} cannot be read: {error}") from None
        found = {}
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            if not text:
                continue
            match = _LINE.fullmatch(text)
            if match is None:
                raise InvalidArgument(
                    f"{path}, line {number} is not NAME SHA256; make one with "
                    "`python -m serving key NAME`"
                )
            found[match["name"]] = bytes.fromhex(match["digest"])
        return cls(found)

    def find(self, key: str) -> Caller | None:
        """Whose key it is; every digest is compared, each in constant time."""
        digest, found = hashlib.sha256(key.encode("utf-8", "replace")).digest(), None
        for name, known in self._digests.items():
            if hmac.compare_digest(digest, known):
                found = name
        return None if found is None else Caller(found)


def new_key(name: str) -> tuple[str, str]:
    """A fresh key, and the line of the file that lets it in.

    Raises:
        InvalidArgument: the name cannot stand in the file.
    """
    key = secrets.token_urlsafe(32)
    line = f"{name} {hashlib.sha256(key.encode()).hexdigest()}"
    if not _LINE.fullmatch(line):
        raise InvalidArgument(f"name={name!r:.70}: use up to 64 letters, digits, dots, - and _")
    return key, line


class Tokens:
    """JSON Web Tokens of one issuer, for one audience, by one algorithm."""

    def __init__(self, settings: Jwt) -> None:
        """Read the key.

        Raises:
            NotFound: it cannot be read.
            InvalidArgument: a shared secret shorter than the algorithm's hash.
        """
        self._settings = settings
        try:
            self._key: Any = settings.key.read_bytes().strip()
        except OSError as error:
            raise NotFound(f"{settings.key} cannot be read: {error.strerror}") from None
        if settings.algorithm == "HS256" and len(self._key) < 32:
            raise InvalidArgument(f"{settings.key} holds fewer than 32 bytes; make a longer secret")

    def find(self, token: str) -> Caller | None:
        """Whose token it is, if it is a valid one."""
        if len(token) > _MAX_TOKEN:
            return None
        pinned = self._settings
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[pinned.algorithm],
                issuer=pinned.issuer,
                audience=pinned.audience,
                leeway=pinned.leeway,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        subject = str(claims["sub"]).encode("utf-8", "replace")
        # A subject may be a person's address: what is logged is a digest of it.
        return Caller("jwt-" + hashlib.sha256(subject).hexdigest()[:16])


class Buckets:
    """A token bucket a caller: `burst` at once, then `rate` a second."""

    def __init__(
        self, rate: float, burst: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with full buckets."""
        self._rate, self._burst, self._clock = rate, burst, clock
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, name: str) -> float:
        """Take one: 0 if there was one, else the seconds until there is."""
        now = self._clock()
        level, then = self._levels.get(name, (float(self._burst), now))
        level = min(self._burst, level + (now - then) * self._rate)
        if level < 1.0:
            self._levels[name] = (level, now)
            return (1.0 - level) / self._rate
        self._levels[name] = (level - 1.0, now)
        if len(self._levels) > 10_000:  # many subjects of one issuer
            self._forget(now)
        return 0.0

    def _forget(self, now: float) -> None:
        """Drop the buckets that are full again."""
        wait = self._burst / self._rate
        self._levels = {name: v for name, v in self._levels.items() if now - v[1] < wait}


class Door:
    """Lets callers in by what they show."""

    def __init__(self, access: Access) -> None:
        """Read keys; without any, the door stays shut."""
        self._keys = Keys.load(access.keys) if access.keys else Keys({})
        self._tokens = Tokens(access.jwt) if access.jwt else None
        self.buckets = Buckets(access.rate, access.burst)

    def find(self, headers: Mapping[bytes, bytes]) -> Caller | None:
        """By `X-API-Key`, else by `Authorization: Bearer`."""
        key = headers.get(b"x-api-key")
        if key is not None:
            return self._keys.find(key.decode("latin-1"))
        kind, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if kind.lower() != "bearer" or not token:
            return None
        if self._tokens is not None and token.count(".") == 2:
            return self._tokens.find(token.strip())
        return self._keys.find(token.strip())
