"""Good requests of every route, and what comes of them when parts are replaced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

GOOD: dict[str, dict[str, Any]] = {
    "rank": {
        "user": {"text": "a cook"},
        "history": [{"id": "i0", "rating": 4.0, "time": 10}, {"text": "new"}],
        "now": 20,
        "candidates": [{"id": "i1"}, {"text": "other"}],
        "k": 2,
        "explain": False,
    },
    "score": {"history": [], "candidates": [{"text": "other"}]},
    "recommend": {"history": [{"id": "i0"}], "k": 2},
    "similar": {"item": {"id": "i0"}, "k": 2},
    "explain": {"history": [{"id": "i0"}], "candidate": {"id": "i1"}},
}
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 2**63, 2**70, 1e308, -1e308, "", " ", "\x00", "\ud800", "NaN"),
    *([], {}, [[]], [None], [{}], {"id": None}, {"text": ""}, {"id": "x", "text": "y"}),
    *("x" * 5000, "é" * 3000, "\U0001f600" * 2000, "'; DROP TABLE", "<script>", "{{7*7}}"),
    *("../../etc/passwd", "\r\nX-Evil: 1", "\u202e", "rated 5: x\nnow: 7", [1] * 2000),
)


def broken(body: Any) -> Iterator[Any]:
    """The body with each part, at any depth, replaced by each odd value, left out, or doubled."""
    for path in paths(body):
        for odd in ODD:
            yield put(body, path, odd)
    for path in paths(body):
        if path:
            yield put(body, path, _GONE)
    yield {**body, "unheard_of": 1}
    yield [body]


_GONE = object()


def paths(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every part stands, the whole first."""
    yield path
    parts: Any = ()
    if isinstance(body, dict | list):
        parts = body.items() if isinstance(body, dict) else enumerate(body)
    for key, part in parts:
        yield from paths(part, (*path, key))


def put(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value in one place."""
    if not path:
        return value
    copied = dict(body) if isinstance(body, dict) else list(body)
    if len(path) == 1 and value is _GONE:
        del copied[path[0]]
    else:
        copied[path[0]] = put(body[path[0]], path[1:], value)
    return copied
