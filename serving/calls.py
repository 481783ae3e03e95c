"""The model's signatures as arrays: what each one is sent, and how its answer reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from serving.errors import InvalidArgument
from serving.tensors import Arrays, Outputs, strings, text


def score_inputs(behaviours: Sequence[str], items: Sequence[str]) -> Arrays:
    """Of `serving_default`: string [n] each."""
    return {"behaviour": strings(behaviours), "item": strings(items)}


def rank_inputs(
    user: str,
    history: Sequence[str],
    candidates: Sequence[str],
    history_ratings: Sequence[float] | None,
    history_times: Sequence[int] | None,
    now: int | None,
) -> Arrays:
    """Of `rank`, for one user: a first axis of 1.

    Raises:
        InvalidArgument: ratings or times are not one a past item.
    """
    ratings = _one_each("history_ratings", history_ratings, history)
    times = _one_each("history_times", history_times, history)
    return {
        "user": strings([user]),
        "history": strings(list(history) or [""])[None, :],  # [1, events]
        "history_ratings": np.array([ratings], np.float32),
        "history_times": np.array([times], np.int64),
        "now": np.array([now or 0], np.int64),
        "candidates": strings(candidates)[None, :],  # [1, candidates]
    }


def first_row(outputs: Outputs) -> Outputs:
    """The answer for the first of a batch, which may be the only one."""
    row = Outputs((name, value[0]) for name, value in outputs.items())
    row.version = outputs.version
    return row


def embed_inputs(texts: Sequence[str]) -> Arrays:
    """Of `embed`: string [n]."""
    return {"text": strings(texts)}


def vectors(outputs: Outputs) -> np.ndarray:
    """The only output: float [n, width]."""
    return next(iter(outputs.values()))


def recommend_inputs(behaviours: Sequence[str], k: int) -> Arrays:
    """Of `recommend`: string [n], and int32 [n]."""
    return {"behaviour": strings(behaviours), "k": np.full(len(behaviours), k, np.int32)}


def recommendations(outputs: Outputs) -> list[list[tuple[str, float]]]:
    """For each behaviour (id, score), best first; what stands for nothing is left out."""
    return [
        [(text(item), float(score)) for item, score in zip(items, scores, strict=True) if item]
        for items, scores in zip(outputs["items"], outputs["scores"], strict=True)
    ]


def _one_each(name: str, values: Sequence[float] | None, history: Sequence[str]) -> list[float]:
    """One number a past item, 0 where none is given; `[0]` beside an empty history."""
    numbers: list[float] = [0] * len(history) if values is None else list(values)
    if len(numbers) != len(history):
        raise InvalidArgument(
            f"{name} has {len(numbers)} values but history {len(history)}; "
            "give one a past item, 0 for none"
        )
    return numbers or [0]
