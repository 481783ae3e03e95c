"""Requests that TensorFlow Serving replays before a version answers its first real one.

Without them the first request of a signature pays for what TensorFlow sets up on its first run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

WARMUP = "tf_serving_warmup_requests"
_SIZES = ((1, 1), (20, 100))  # (events, candidates)


def write_warmup(path: Path, signatures: Mapping[str, Any], texts: Sequence[str]) -> int:
    """Write the requests for every signature, a short and a long one.

    Args:
        path: `assets.extra/tf_serving_warmup_requests` of a SavedModel.
        signatures: concrete functions by name.
        texts: of items, at least one.

    Returns:
        How many requests, each of one row: a server that batches refuses a version whose
        warm-up does not fit into its largest batch.
    """
    count = 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for events, candidates in _SIZES:
            made = _requests(texts, events, candidates)
            for name in signatures:
                if name in made:
                    writer.write(_record(name, made[name]))
                    count += 1
    return count


def _requests(texts: Sequence[str], events: int, candidates: int) -> dict[str, dict[str, Any]]:
    def pick(count: int) -> list[str]:
        return [texts[place % len(texts)] for place in range(count)]

    history = pick(events)
    behaviour = "\n".join(["user: ", *(f"seen: {text}" for text in history)])
    return {
        "serving_default": {"behaviour": [behaviour], "item": pick(1)},
        "rank": {
            "user": [""],
            "history": [history],
            "history_ratings": tf.zeros([1, events]),
            "history_times": tf.zeros([1, events], tf.int64),
            "now": tf.zeros([1], tf.int64),
            # One that no catalogue holds takes the way through the encoder.
            "candidates": [[*pick(candidates - 1), "a new item, added this morning"]],
        },
        "embed": {"text": pick(1)},
        "recommend": {"behaviour": [behaviour], "k": tf.constant([1], tf.int32)},
    }


def _record(name: str, inputs: Mapping[str, Any]) -> bytes:
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = name
    for key, value in inputs.items():
        array = value.numpy() if isinstance(value, tf.Tensor) else value
        request.inputs[key].CopyFrom(tf.make_tensor_proto(array))
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(request)
    # Else the order of a map's entries differs from process to process, and so would the model.
    return bytes(log.SerializeToString(deterministic=True))
