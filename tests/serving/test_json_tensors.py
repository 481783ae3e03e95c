"""Requests and answers as JSON, at the edges of each type."""

import json
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from serving.errors import InvalidArgument
from serving.json_tensors import format_response, parse_request


def servable(dtype, shape=None):
    """A servable of one signature with the input `x`."""
    info = SimpleNamespace(dtype=tf.as_dtype(dtype).as_datatype_enum, tensor_shape=shape)
    return SimpleNamespace(signature=lambda name: SimpleNamespace(inputs={"x": info}))


def parse(value, dtype):
    _, arrays, _ = parse_request(json.dumps({"inputs": {"x": value}}).encode(), servable(dtype))
    return arrays["x"]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "uint32", "uint64"])
def test_the_ends_of_every_integer(dtype):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    array = parse([[int(low)], [int(high)]], dtype)
    assert (array.dtype, array.shape) == (np.dtype(dtype), (2, 1))
    assert array.ravel().tolist() == [low, high]
    for outside in (int(low) - 1, int(high) + 1):
        with pytest.raises(InvalidArgument, match=f"x is not {dtype}: {outside} is outside"):
            parse([outside], dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_ends_of_every_float(dtype):
    info = np.finfo(dtype)
    even = 2 ** (info.nmant + 1)  # even + 1 lies between two floats: it is rounded to the even
    array = parse([float(info.max), float(info.min), even + 1, -even - 1, 0.5], dtype)
    assert array.dtype == np.dtype(dtype)
    assert array.tolist() == [float(info.max), float(info.min), even, -even, 0.5]
    with pytest.raises(InvalidArgument, match=f"x is not {dtype}: 1000.* is too big"):
        parse([10**400], dtype)


@pytest.mark.filterwarnings("error")
def test_a_float_beyond_the_type_is_infinity():
    assert parse([3.5e38, -3.5e38], "float32").tolist() == [np.inf, -np.inf]
    assert parse([float("inf"), float("-inf")], "float32").tolist() == [np.inf, -np.inf]
    assert np.isnan(parse(float("nan"), "float32"))


def test_booleans_are_themselves_only():
    assert parse([True, False], "bool").tolist() == [True, False]
    for wrong in (1, "true", None):
        with pytest.raises(InvalidArgument, match="is not true or false"):
            parse([wrong], "bool")
    with pytest.raises(InvalidArgument, match="true is not a number"):
        parse([True], "float32")


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (1, 1, 1, 2)])
def test_shapes_are_kept(shape):
    value = np.zeros(shape, np.int32).tolist()
    assert parse(value, "int32").shape == shape
    texts = np.full(shape, "a", dtype=object).tolist()
    assert parse(texts, "string").shape == shape


def test_a_long_text_among_short_ones_costs_its_length_only():
    # As fixed-width bytes the 2,000 short ones would take 1 MB each.
    value = [["a"] * 2000, ["b" * 1_000_000] + [""] * 1999]
    tracemalloc.start()
    array = parse(value, "string")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert array[1, 0] == b"b" * 1_000_000
    assert peak < 20_000_000


def test_half_a_surrogate_pair_becomes_a_question_mark():
    assert parse(["\ud83d"], "string").tolist() == [b"?"]


def test_an_object_with_b64_stands_for_a_single_input():
    body = json.dumps({"inputs": {"b64": "YQ=="}}).encode()
    assert parse_request(body, servable("string"))[1]["x"].item() == b"a"


def test_rows_need_a_common_first_dimension():
    outputs = {"a": np.zeros(2), "b": np.zeros(3)}
    with pytest.raises(InvalidArgument, match="no common first dimension"):
        format_response(outputs, in_rows=True)
    with pytest.raises(InvalidArgument, match="no common first dimension"):
        format_response({"a": np.float32(1)}, in_rows=True)
    assert json.loads(format_response(outputs, in_rows=False))["outputs"]["b"] == [0, 0, 0]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (np.float32(0.1), 0.1),
        (np.float64(0.1), 0.1),
        (np.float32([[1.5], [3e-8]]), [[1.5], [3e-8]]),
        (np.int64([2**53 + 1]), [2**53 + 1]),
        (np.array([True]), [True]),
        (np.array("é".encode(), dtype=object), "é"),
        (np.empty((2, 0), dtype=object), [[], []]),
    ],
)
def test_outputs_are_written_as_they_are(value, written):
    text = format_response({"only": np.asarray(value)}, in_rows=False)
    assert json.loads(text) == {"outputs": written}


def test_what_is_no_finite_number_is_written_as_tensorflow_serving_does():
    text = format_response({"x": np.float32([np.nan, np.inf, -np.inf])}, in_rows=False)
    assert [part.strip(" ,") for part in text.splitlines()[2:5]] == ["NaN", "Infinity", "-Infinity"]
