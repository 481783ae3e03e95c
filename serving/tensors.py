"""Arrays on their way to a model server and back: as TensorProto, and as JSON in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

Arrays = dict[str, np.ndarray]


class Outputs(dict[str, np.ndarray]):
    """A signature's outputs by name.

    Attributes:
        version: of the model that answered; None where the protocol does not say it (REST).
    """

    version: int | None = None


def to_request(
    model: str, signature: str, inputs: Mapping[str, np.ndarray]
) -> predict_pb2.PredictRequest:
    """A PredictRequest; strings are object arrays of bytes or str."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def from_response(response: predict_pb2.PredictResponse) -> Outputs:
    """The arrays of a PredictResponse, and the version that it names."""
    outputs = Outputs((name, tf.make_ndarray(proto)) for name, proto in response.outputs.items())
    outputs.version = int(response.model_spec.version.value) or None
    return outputs


def to_columns(inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays as JSON; REST has no NaN, so "no rating" travels as 0."""
    return {name: _plain(value) for name, value in inputs.items()}


def from_columns(outputs: Any) -> Outputs:
    """Arrays of REST's `outputs`; a single one comes without its name and is called ""."""
    named = outputs if isinstance(outputs, dict) else {"": outputs}
    return Outputs((name, np.array(value)) for name, value in named.items())


def strings(values: Sequence[str]) -> np.ndarray:
    """Texts as a signature takes them: object [n] of UTF-8 bytes."""
    return np.array([value.encode("utf-8", "replace") for value in values], dtype=object)


def text(value: Any) -> str:
    """An output's string, whichever way it came."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _plain(value: np.ndarray) -> Any:
    if value.dtype == object:
        return np.vectorize(text, otypes=[object])(value).tolist()
    return np.where(np.isnan(value), 0, value).tolist()
