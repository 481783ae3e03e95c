"""Score a SavedModel as a stranger would: this script imports tensorflow and numpy only.

Usage: python score_saved_model.py FOLDER REQUEST.json ANSWERS
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

_OUTPUTS = ("rating", "click_probability")
Scorer = Callable[[list[str], list[str]], dict[str, np.ndarray]]


def by_function(folder: str) -> Scorer:
    """Load as Python does."""
    serve = tf.saved_model.load(folder).signatures["serving_default"]

    def score(behaviours: list[str], items: list[str]) -> dict[str, np.ndarray]:
        out = serve(behaviour=tf.constant(behaviours), item=tf.constant(items))
        return {name: out[name].numpy() for name in _OUTPUTS}

    score.keep = serve  # type: ignore[attr-defined]
    return score


def by_session(folder: str) -> Scorer:
    """Load as a session does: TensorFlow Serving's way."""
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        meta = tf.compat.v1.saved_model.load(session, ["serve"], folder)
    signature = meta.signature_def["serving_default"]
    fetches = {name: signature.outputs[name].name for name in _OUTPUTS}

    def score(behaviours: list[str], items: list[str]) -> dict[str, np.ndarray]:
        feed = {
            signature.inputs["behaviour"].name: np.array(behaviours, dtype=object),
            signature.inputs["item"].name: np.array(items, dtype=object),
        }
        answer: dict[str, np.ndarray] = session.run(fetches, feed)
        return answer

    return score


def batches(count: int, size: int) -> Iterator[slice]:
    """Slices of `size` that cover `count`."""
    for start in range(0, count, size):
        yield slice(start, start + size)


def main(folder: str, request: str, answers: str) -> None:
    """Score the request's pairs in every way; write `ANSWERS/<way>.npz` for each."""
    body = json.loads(Path(request).read_text())
    behaviours, items = body["behaviours"], body["items"]
    function, session = by_function(folder), by_session(folder)
    ways = (
        ("function", function, len(items), 64),
        ("one_by_one", function, min(64, len(items)), 1),
        ("session", session, len(items), 64),
    )
    for name, score, count, size in ways:
        parts = [score(behaviours[part], items[part]) for part in batches(count, size)]
        columns: dict[str, Any] = {n: np.concatenate([p[n] for p in parts]) for n in _OUTPUTS}
        np.savez(Path(answers) / f"{name}.npz", **columns)


if __name__ == "__main__":
    main(*sys.argv[1:])
