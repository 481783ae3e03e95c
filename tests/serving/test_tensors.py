"""Arrays as messages; the oracle is TensorFlow's own conversion."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from serving.tensors import from_columns, from_response, to_columns, to_request

ARRAYS = [
    np.array([[b"a", b""], [b"\xff\x00", "é".encode()]], dtype=object),
    np.array(["text", b"bytes"], dtype=object),
    np.zeros((0, 3), np.float32),
    np.array([[1.5, float("nan")]], np.float32),
    np.array(7, np.int32),
    np.arange(6, dtype=np.int64).reshape(2, 3).T,
    np.array([True, False]),
    np.array([1.5]),
]


@pytest.mark.parametrize("array", ARRAYS)
def test_a_request_is_what_tensorflow_would_write(array):
    request = to_request("m", "rank", {"x": array})
    assert (request.model_spec.name, request.model_spec.signature_name) == ("m", "rank")
    mine = tf.make_ndarray(request.inputs["x"])
    other = tf.make_ndarray(tf.make_tensor_proto(array))
    assert mine.dtype == other.dtype
    np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("array", ARRAYS)
def test_a_response_is_read_as_tensorflow_would(array):
    response = predict_pb2.PredictResponse()
    response.outputs["y"].CopyFrom(tf.make_tensor_proto(array))
    response.model_spec.version.value = 4
    outputs = from_response(response)
    assert outputs.version == 4
    np.testing.assert_array_equal(outputs["y"], tf.make_ndarray(response.outputs["y"]))
    assert from_response(predict_pb2.PredictResponse()).version is None


def test_one_value_for_a_whole_tensor():
    response = predict_pb2.PredictResponse()
    proto = tf.make_tensor_proto(2.0, shape=[2, 2])
    response.outputs["y"].CopyFrom(proto)
    assert from_response(response)["y"].tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_columns():
    columns = to_columns({"a": ARRAYS[1], "b": ARRAYS[3]})
    assert columns == {"a": ["text", "bytes"], "b": [[1.5, 0]]}
    assert from_columns([1, 2])[""].tolist() == [1, 2]
