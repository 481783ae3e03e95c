"""TensorFlow Serving's JSON of examples: requests of classify and regress, and their results."""

from __future__ import annotations

import json
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import input_pb2

from serving.errors import InvalidArgument
from serving.json_tensors import leaf_bytes, parse_object, short

_LEAST, _MOST = -(2**63), 2**63 - 1


def parse_examples(body: bytes) -> tuple[str, Any]:
    """Read a classify or regress request.

    Args:
        body: JSON with `examples`, objects of features; maybe `context`, features of all of
            them, and `signature_name`.

    Returns:
        The signature's name, and an `Input`.

    Raises:
        InvalidArgument: names what is wrong.
    """
    request, name = parse_object(body)
    parsed = input_pb2.Input()
    listed: Any = parsed.example_list
    if "context" in request:
        listed = parsed.example_list_with_context
        _fill(request["context"], listed.context)
    if "examples" not in request:
        raise InvalidArgument("key 'examples' is expected and was not found")
    rows = request["examples"]
    if not isinstance(rows, list):
        raise InvalidArgument("Expecting 'examples' value to be an list/array")
    if not rows:
        raise InvalidArgument("'examples' value is an empty array")
    for row in rows:
        _fill(row, listed.examples.add())
    return name, parsed


def format_classes(result: Any) -> str:
    """Write a `ClassificationResult`: for each example pairs of label and score."""
    rows = [
        [[one.label, short(one.score)] for one in entry.classes] for entry in result.classifications
    ]
    return json.dumps({"results": rows}, indent=1)


def format_values(result: Any) -> str:
    """Write a `RegressionResult`: a number for each example."""
    return json.dumps({"results": [short(one.value) for one in result.regressions]}, indent=1)


def _fill(row: Any, example: Any) -> None:
    """Features of a JSON object: integers and truths as int64, other numbers as float, texts."""
    if not isinstance(row, dict):
        raise InvalidArgument(f"Example must be JSON object but got JSON {_kind(row)}")
    for name, content in row.items():
        feature = example.features.feature[name]
        for value in content if isinstance(content, list) else [content]:
            _add(value, name, feature)


def _add(value: Any, name: str, feature: tf.train.Feature) -> None:
    kind, plain = _typed(value, name)
    found = feature.WhichOneof("kind") or kind
    if found != kind:
        raise InvalidArgument(
            f"Unexpected element type in feature: {name} expecting type: "
            f"{found.removesuffix('_list')}"
        )
    getattr(feature, kind).value.append(plain)


def _typed(value: Any, name: str) -> tuple[str, Any]:
    """Which list of a feature takes a value, and the value as it takes it."""
    if isinstance(value, str | dict):
        try:
            return "bytes_list", leaf_bytes(value)
        except ValueError:
            pass
    elif isinstance(value, float):
        return "float_list", value
    elif isinstance(value, int):  # a truth is an integer, too
        if not _LEAST <= value <= _MOST:
            raise InvalidArgument(
                f"Feature: {name} has uint64_t element. Only int64_t is supported."
            )
        return "int64_list", int(value)
    raise InvalidArgument(f"Feature: {name} has element with unexpected JSON type: {_kind(value)}")


def _kind(value: Any) -> str:
    kinds = {dict: "Object", list: "Array", str: "String", bool: "Boolean", type(None): "Null"}
    return kinds.get(type(value), "Number")
