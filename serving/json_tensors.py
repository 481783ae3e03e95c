"""TensorFlow Serving's JSON: requests in rows or columns to arrays, outputs back."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from serving.errors import InvalidArgument
from serving.servable import Servable

MAX_RANK = 32  # beyond any signature's, within NumPy's


def parse_request(body: bytes, servable: Servable) -> tuple[str, dict[str, np.ndarray], bool]:
    """Read a predict request.

    Args:
        body: JSON with `instances` (rows) or `inputs` (columns), maybe `signature_name`.
        servable: whose signature gives names and types.

    Returns:
        The signature's name, arrays by input name, and whether the answer is in rows.

    Raises:
        InvalidArgument: names what is wrong.
    """
    request, name = parse_object(body)
    rows, columns = request.get("instances"), request.get("inputs")
    if (rows is None) == (columns is None):
        raise InvalidArgument('Missing "instances" or "inputs" key; give one of the two')
    inputs = servable.signature(name).inputs
    values = _by_column(rows, inputs) if columns is None else _named(columns, inputs)
    arrays = {key: _array(key, value, inputs[key]) for key, value in values.items()}
    return name, arrays, columns is None


def parse_object(body: bytes) -> tuple[dict[str, Any], str]:
    """A request's JSON object, and the signature that it names, "" where it names none.

    Raises:
        InvalidArgument: it is no JSON, no object, or the name is no text.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"JSON Parse error: {error}") from None
    if not isinstance(request, dict):
        raise InvalidArgument("JSON Parse error: the request must be an object")
    name = request.get("signature_name", "")
    if not isinstance(name, str):
        raise InvalidArgument("JSON Value: signature_name must be a string")
    return request, name


def format_response(outputs: Mapping[str, np.ndarray], *, in_rows: bool) -> str:
    """Write outputs as `predictions` (rows) or `outputs` (columns).

    Raises:
        InvalidArgument: rows are asked for, but the outputs do not share a first dimension.
    """
    plain = {key: _plain(key, value) for key, value in outputs.items()}
    if not in_rows:
        body = next(iter(plain.values())) if len(plain) == 1 else plain
        return json.dumps({"outputs": body}, indent=1)
    sizes = {np.asarray(value).shape[:1] for value in outputs.values()}
    if len(sizes) != 1 or () in sizes:
        raise InvalidArgument(
            'outputs have no common first dimension; ask with "inputs" instead of "instances"'
        )
    if len(plain) == 1:
        rows: list[Any] = next(iter(plain.values()))
    else:
        rows = [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]
    return json.dumps({"predictions": rows}, indent=1)


def _by_column(rows: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a list of rows into columns; a row of a single input may stand without its name."""
    if not isinstance(rows, list) or not rows:
        raise InvalidArgument('JSON Value: "instances" must be a list with at least one row')
    if all(isinstance(row, dict) and set(row) != {"b64"} for row in rows):
        names = set(inputs)
        for place, row in enumerate(rows):
            if set(row) != names:
                raise InvalidArgument(
                    f"Failed to process element: {place} of 'instances' list. JSON object: keys "
                    f"{sorted(row)} must be equal to: {','.join(sorted(names))}"
                )
        return {name: [row[name] for row in rows] for name in names}
    if len(inputs) != 1:
        raise InvalidArgument(
            f"rows must be objects with the keys {sorted(inputs)}, since there are several inputs"
        )
    return {next(iter(inputs)): rows}


def _named(columns: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The signature's columns; others are ignored, as TensorFlow Serving does."""
    if isinstance(columns, dict) and set(columns) != {"b64"}:
        for name in inputs:
            if name not in columns:
                raise InvalidArgument(f"Missing named input: {name} in 'inputs' object.")
        return {name: columns[name] for name in inputs}
    if len(inputs) != 1:
        raise InvalidArgument(f'"inputs" must be an object with the keys {sorted(inputs)}')
    return {next(iter(inputs)): columns}


def _array(key: str, value: Any, info: Any) -> np.ndarray:
    """A JSON value as an array of the signature's type."""
    dtype = tf.as_dtype(info.dtype)
    try:
        leaves, shape = _flatten(value)
        array = np.empty(len(leaves), dtype=dtype.as_numpy_dtype)
        with np.errstate(over="ignore"):  # 1e39 as a float32 is infinity there, too
            for place, leaf in enumerate(leaves):
                array[place] = _leaf(leaf, dtype)
        return array.reshape(shape)
    except ValueError as error:
        raise InvalidArgument(f"JSON Value for {key} is not {dtype.name}: {error}") from None


def _flatten(value: Any) -> tuple[list[Any], list[int]]:
    """Leaves in order, and the shape; level by level, so that no nesting ends the stack."""
    level, shape = [value], []
    while level and isinstance(level[0], list):
        sizes = {len(part) if isinstance(part, list) else -1 for part in level}
        if len(sizes) > 1:
            raise ValueError("lists of unequal length")
        shape.append(sizes.pop())
        if len(shape) > MAX_RANK:
            raise ValueError(f"lists nested deeper than {MAX_RANK}")
        level = [leaf for part in level for leaf in part]
    if any(isinstance(leaf, list) for leaf in level):
        raise ValueError("lists of unequal length")
    return level, shape


def _leaf(value: Any, dtype: tf.DType) -> Any:
    """One value; an integer that `dtype` cannot hold is refused, a float is rounded."""
    if dtype == tf.string:
        return leaf_bytes(value)
    if dtype.is_bool:
        if not isinstance(value, bool):
            raise ValueError(f"{_show(value)} is not true or false")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{_show(value)} is not a number")
    if dtype.is_integer:
        if not isinstance(value, int):
            raise ValueError(f"{value!r} is not an integer")
        if not dtype.min <= value <= dtype.max:
            raise ValueError(f"{_show(value)} is outside {dtype.min} to {dtype.max}")
        return value
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{_show(value)} is too big to be stored in double") from None


def leaf_bytes(value: Any) -> bytes:
    """A text's bytes, or those of `{"b64": ...}`.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except ValueError as error:
            raise ValueError(f"b64: {error}") from None
    raise ValueError(f"{_show(value)} is not a string")


def _show(value: Any) -> str:
    """A value's beginning; a container by its kind, since it may be huge or deep."""
    kinds: dict[type, str] = {list: "a list", dict: "an object"}
    return kinds.get(type(value)) or json.dumps(value)[:60]


def _plain(key: str, value: np.ndarray) -> Any:
    """An output as JSON: bytes as text, or base64 where the name ends in `_bytes`."""
    if value.dtype != object:
        return _short(value) if value.dtype == np.float32 else value.tolist()
    flat = [_text(key, part) for part in value.ravel()]
    if value.ndim == 0:
        return flat[0]
    boxed = np.empty(value.size, dtype=object)
    boxed[:] = flat
    return boxed.reshape(value.shape).tolist()


def _short(value: np.ndarray) -> Any:
    return np.array([short(x) for x in value.ravel()]).reshape(value.shape).tolist()


def short(value: float) -> float:
    """A float32 in its own shortest form, not in float64's."""
    return float(str(np.float32(value)))


def _text(key: str, value: bytes) -> Any:
    if key.endswith("_bytes"):
        return {"b64": base64.b64encode(value).decode()}
    return value.decode("utf-8", "replace")
