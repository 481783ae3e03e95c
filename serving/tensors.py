"""Arrays on their way to a model server and back: as TensorProto, and as JSON in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2

Arrays = dict[str, np.ndarray]
_NUMBERS: dict[int, np.dtype[Any]] = {
    types_pb2.DT_FLOAT: np.dtype("<f4"),
    types_pb2.DT_INT32: np.dtype("<i4"),
    types_pb2.DT_INT64: np.dtype("<i8"),
}
_DTYPES: dict[str, int] = {dtype.char: number for number, dtype in _NUMBERS.items()}
_DTYPES["O"] = types_pb2.DT_STRING


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
        _write(request.inputs[name], value)
    return request


def from_response(response: predict_pb2.PredictResponse) -> Outputs:
    """The arrays of a PredictResponse, and the version that it names."""
    outputs = Outputs((name, _read(proto)) for name, proto in response.outputs.items())
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


def _write(proto: Any, value: np.ndarray) -> None:
    """Fill a TensorProto; what is neither text nor a common number goes the library's way.

    A gateway does it for every request; the library looks at each string more than once.
    """
    dtype = _DTYPES.get(value.dtype.char)
    if dtype is None:
        proto.CopyFrom(tf.make_tensor_proto(value))
        return
    proto.dtype = dtype
    for size in value.shape:
        proto.tensor_shape.dim.add(size=size)
    if dtype == types_pb2.DT_STRING:
        proto.string_val.extend(
            [x if isinstance(x, bytes) else tf.compat.as_bytes(x) for x in value.ravel().tolist()]
        )
    else:
        proto.tensor_content = np.ascontiguousarray(value).tobytes()


def _read(proto: Any) -> np.ndarray:
    dtype = _NUMBERS.get(proto.dtype)
    if dtype is None or not proto.tensor_content:
        return np.asarray(tf.make_ndarray(proto))
    shape = [dim.size for dim in proto.tensor_shape.dim]
    return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
