"""The signatures of a serialized MetaGraphDef, read from the wire without protobuf's classes.

The C API gives the MetaGraphDef as bytes, and the classes that could parse them come with
TensorFlow's Python. Field numbers are those of `meta_graph.proto` and `tensor_shape.proto`;
the encoding is protobuf's: a varint key (field number and wire type), then the value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from serving.errors import ServingError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIGNATURE_DEF = 5  # of MetaGraphDef
_INPUTS, _OUTPUTS = 1, 2  # of SignatureDef
_NAME, _DTYPE, _SHAPE = 1, 2, 3  # of TensorInfo
_KEY, _VALUE = 1, 2  # of a map's entry


@dataclass(frozen=True)
class TensorSpec:
    """One input or output: the graph's name (`op:index`), DataType number, sizes (-1: any)."""

    tensor: str
    dtype: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs by their names in the signature."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]


def read_signatures(meta_graph: bytes) -> dict[str, Signature]:
    """Signatures by name; those without inputs (the init op) are left out.

    Raises:
        ServingError: the bytes end within a field, or hold one that protobuf has no more.
    """
    signatures = {}
    for number, value in _fields(meta_graph):
        if number == _SIGNATURE_DEF and isinstance(value, bytes):
            name, body = _entry(value)
            signature = Signature(_specs(body, _INPUTS), _specs(body, _OUTPUTS))
            if signature.inputs:
                signatures[name] = signature
    return signatures


def _specs(signature: bytes, side: int) -> dict[str, TensorSpec]:
    entries = [_entry(v) for n, v in _fields(signature) if n == side and isinstance(v, bytes)]
    return {name: _spec(body) for name, body in entries}


def _spec(info: bytes) -> TensorSpec:
    tensor, dtype, shape = "", 0, b""
    for number, value in _fields(info):
        if number == _NAME and isinstance(value, bytes):
            tensor = value.decode()
        elif number == _DTYPE and isinstance(value, int):
            dtype = value
        elif number == _SHAPE and isinstance(value, bytes):
            shape = value
    sizes = [_size(value) for number, value in _fields(shape) if number == 2]
    return TensorSpec(tensor, dtype, tuple(sizes))


def _size(dim: int | bytes) -> int:
    sizes = [v for n, v in _fields(dim if isinstance(dim, bytes) else b"") if n == 1]
    size = int(sizes[-1]) if sizes else 0
    return size - (1 << 64) if size >= 1 << 63 else size  # int64 as two's complement


def _entry(body: bytes) -> tuple[str, bytes]:
    parts = {number: value for number, value in _fields(body) if isinstance(value, bytes)}
    return parts.get(_KEY, b"").decode(), parts.get(_VALUE, b"")


def _fields(body: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Every field of a message as its number and its value, in order."""
    place = 0
    while place < len(body):
        key, place = _varint(body, place)
        kind = key & 7
        if kind == _VARINT:
            value, place = _varint(body, place)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, place = _varint(body, place)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ServingError(f"MetaGraphDef has a field of wire type {kind} at byte {place}")
        if place + length > len(body):
            raise ServingError(f"MetaGraphDef ends within a field at byte {place}")
        yield key >> 3, body[place : place + length]
        place += length


def _varint(body: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(body):
        byte = body[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value, place
        shift += 7
    raise ServingError(f"MetaGraphDef ends within a number at byte {place}")
