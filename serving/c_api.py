"""A SavedModel through TensorFlow's C API, which TensorFlow Serving is built on.

`python -m serving.c_api FOLDER SIGNATURE < inputs.json > outputs.json`, both
`{name: {"dtype": "string", "shape": [2], "data": [flat, row by row]}}`.
A string that is not UTF-8 is `{"b64": ...}`. The process imports no TensorFlow Python.
"""

from __future__ import annotations

import base64
import binascii
import ctypes
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from serving.c_library import TSTRING_BYTES, Output, load_library
from serving.errors import InvalidArgument, NotFound, ServingError
from serving.signature_reader import Signature, TensorSpec, read_signatures

STRING = 7
# DataType of types.proto -> numpy.
_PLAIN = {1: "f4", 2: "f8", 3: "i4", 4: "u1", 5: "i2", 6: "i1", 9: "i8", 10: "?", 19: "f2"}
DTYPES: dict[int, np.dtype[Any]] = {
    STRING: np.dtype(object),
    **{number: np.dtype(name) for number, name in _PLAIN.items()},
}


class CSession:
    """A loaded SavedModel: variables restored, init op run (so its tables are filled).

    Use it in a `with`, or `close` it.
    """

    def __init__(self, folder: Path) -> None:
        """Load the graph tagged `serve`.

        Raises:
            NotFound: no SavedModel there, or no C library.
            ServingError: TensorFlow cannot load it.
        """
        if not (folder / "saved_model.pb").is_file():
            raise NotFound(f"{folder} holds no saved_model.pb; give a version's folder")
        self._c = load_library()
        self._graph = self._c.TF_NewGraph()
        options, meta = self._c.TF_NewSessionOptions(), self._c.TF_NewBuffer()
        tags = (ctypes.c_char_p * 1)(b"serve")
        try:
            with self._status(f"{folder} cannot be loaded") as status:
                self._session = self._c.TF_LoadSessionFromSavedModel(
                    options, None, str(folder).encode(), tags, 1, self._graph, meta, status
                )
            buffer = meta.contents
            self.signatures = read_signatures(ctypes.string_at(buffer.data, buffer.length))
        except ServingError:
            self._c.TF_DeleteGraph(self._graph)
            raise
        finally:
            self._c.TF_DeleteSessionOptions(options)
            self._c.TF_DeleteBuffer(meta)

    def run(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run a signature.

        Args:
            name: of the signature.
            inputs: arrays by input name; strings as arrays of bytes, or of str sent as UTF-8.

        Raises:
            NotFound: no such signature.
            InvalidArgument: other inputs than the signature's, another type or shape, or
                values that the graph refuses.
            ServingError: the session is closed.
        """
        signature = self._signature(name)
        if set(inputs) != set(signature.inputs):
            raise InvalidArgument(
                f"inputs of {name} are {sorted(signature.inputs)}, not {sorted(inputs)}; "
                "send these names"
            )
        with ExitStack() as stack:
            fed = [
                stack.enter_context(self._tensor(key, spec, inputs[key]))
                for key, spec in signature.inputs.items()
            ]
            answers = (ctypes.c_void_p * len(signature.outputs))()
            sources, fetches = self._places(signature.inputs), self._places(signature.outputs)
            with self._status(f"signature {name}", InvalidArgument) as status:
                self._c.TF_SessionRun(
                    *(self._session, None),
                    *(sources, (ctypes.c_void_p * len(fed))(*fed), len(fed)),
                    *(fetches, answers, len(answers), None, 0, None, status),
                )
            # Read before the inputs are freed: an output may share an input's strings.
            return {
                key: self._array(answer)
                for key, answer in zip(signature.outputs, answers, strict=True)
            }

    def close(self) -> None:
        """Free the session and its graph; once closed, nothing more to free."""
        if self._session is None:
            return
        with self._status("the session cannot be closed") as status:
            self._c.TF_CloseSession(self._session, status)
        with self._status("the session cannot be freed") as status:
            self._c.TF_DeleteSession(self._session, status)
        self._c.TF_DeleteGraph(self._graph)
        self._session = None

    def __enter__(self) -> CSession:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _signature(self, name: str) -> Signature:
        if self._session is None:  # the library would read freed memory
            raise ServingError("the session is closed; open a new one")
        if name not in self.signatures:
            raise NotFound(f"signature {name!r} is not one of {sorted(self.signatures)}")
        return self.signatures[name]

    @contextmanager
    def _status(self, what: str, kind: type[ServingError] = ServingError) -> Iterator[Any]:
        """A TF_Status that becomes an exception if it is not OK at the end."""
        status = self._c.TF_NewStatus()
        try:
            yield status
            if self._c.TF_GetCode(status):
                first = self._c.TF_Message(status).decode(errors="replace").splitlines()[0]
                raise kind(f"{what}: {first}")
        finally:
            self._c.TF_DeleteStatus(status)

    def _places(self, specs: Mapping[str, TensorSpec]) -> Any:
        """The graph's operations behind inputs or outputs."""
        places = (Output * len(specs))()
        for place, spec in zip(places, specs.values(), strict=True):
            operation, _, index = spec.tensor.partition(":")
            place.oper = self._c.TF_GraphOperationByName(self._graph, operation.encode())
            place.index = int(index or 0)
            if not place.oper:
                raise ServingError(f"the graph has no operation {operation}; export it again")
        return places

    @contextmanager
    def _tensor(self, key: str, spec: TensorSpec, value: np.ndarray) -> Iterator[Any]:
        """A TF_Tensor with the array's values, freed at the end."""
        texts = _checked(key, spec, value)
        width = TSTRING_BYTES if spec.dtype == STRING else value.itemsize
        dims = (ctypes.c_int64 * value.ndim)(*value.shape)
        tensor = self._c.TF_AllocateTensor(spec.dtype, dims, value.ndim, value.size * width)
        data = self._c.TF_TensorData(tensor)
        try:
            if spec.dtype == STRING:
                for place, text in enumerate(texts):
                    self._c.TF_StringInit(data + place * width)
                    self._c.TF_StringCopy(data + place * width, text, len(text))
            elif value.size:
                plain = np.ascontiguousarray(value)
                ctypes.memmove(data, plain.ctypes.data, plain.nbytes)
            yield tensor
        finally:
            if spec.dtype == STRING:  # the tensor frees its memory, not what its strings point to
                for place in range(value.size):
                    self._c.TF_StringDealloc(data + place * width)
            self._c.TF_DeleteTensor(tensor)

    def _array(self, tensor: int) -> np.ndarray:
        """A TF_Tensor as an array; the tensor is freed."""
        try:
            c, kind = self._c, self._c.TF_TensorType(tensor)
            if kind not in DTYPES:
                raise ServingError(f"an output has DataType {kind}, which this reader lacks")
            shape = [c.TF_Dim(tensor, axis) for axis in range(c.TF_NumDims(tensor))]
            count, data = int(np.prod(shape, dtype=np.int64)), c.TF_TensorData(tensor)
            if kind != STRING:
                raw = ctypes.string_at(data, c.TF_TensorByteSize(tensor)) if count else b""
                return np.frombuffer(raw, DTYPES[kind]).reshape(shape).copy()
            array = np.empty(count, dtype=object)
            for place in range(count):
                text = data + place * TSTRING_BYTES
                array[place] = ctypes.string_at(
                    c.TF_StringGetDataPointer(text), c.TF_StringGetSize(text)
                )
            return array.reshape(shape)
        finally:
            self._c.TF_DeleteTensor(tensor)


def _checked(key: str, spec: TensorSpec, value: np.ndarray) -> list[bytes]:
    """Refuse another type or shape, which a feed does not; the strings of a string input."""
    if spec.dtype == STRING and value.dtype.kind in "OSU":
        value = value.astype(object)
    if spec.dtype not in DTYPES or value.dtype != DTYPES[spec.dtype]:
        raise InvalidArgument(f"{key} is {value.dtype}; send {DTYPES.get(spec.dtype, spec.dtype)}")
    # An unknown rank reads as (), as a scalar does; the graph itself checks those.
    pairs = zip(spec.shape, value.shape, strict=False)
    fits = len(spec.shape) == value.ndim and all(size in (-1, given) for size, given in pairs)
    if spec.shape and not fits:
        raise InvalidArgument(f"{key} has shape {value.shape}; send {spec.shape}, -1 being any")
    if spec.dtype != STRING:
        return []
    texts = [text.encode() if isinstance(text, str) else text for text in value.ravel()]
    for text in texts:
        if not isinstance(text, bytes):
            raise InvalidArgument(f"{key} holds {text!r:.60}; send str or bytes")
    return texts


def from_json(body: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Arrays from `{name: {dtype, shape, data}}`.

    Raises:
        InvalidArgument: names the input that cannot be read.
    """
    arrays = {}
    for name, entry in body.items():
        try:
            if entry["dtype"] == "string":
                flat = np.empty(len(entry["data"]), dtype=object)
                flat[:] = [_to_bytes(text) for text in entry["data"]]
            else:
                flat = _numbers(entry["data"], np.dtype(entry["dtype"]))
            arrays[name] = flat.reshape(entry["shape"])
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise InvalidArgument(
                f"input {name} cannot be read ({type(error).__name__}: {error}); "
                'write {"dtype": ..., "shape": [...], "data": [...]}'
            ) from None
    return arrays


def to_json(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """`{name: {dtype, shape, data}}` from arrays; floats keep every digit."""
    return {
        name: {
            "dtype": "string" if array.dtype == object else array.dtype.name,
            "shape": list(array.shape),
            "data": [_to_text(value) for value in array.ravel().tolist()],
        }
        for name, array in arrays.items()
    }


def _numbers(data: Any, dtype: np.dtype[Any]) -> np.ndarray:
    if dtype not in DTYPES.values() or dtype.kind == "O":
        raise ValueError(f"dtype {dtype} is not a number's")
    flat = np.array(data, dtype=dtype)
    if dtype.kind in "iu" and not np.array_equal(flat, np.array(data)):
        raise ValueError(f"{data!r:.60} are not all {dtype}")  # NumPy cuts 1.5 to 1
    return flat


def _to_bytes(text: Any) -> bytes:
    if isinstance(text, dict):
        try:
            return base64.b64decode(text["b64"], validate=True)
        except binascii.Error as error:
            raise ValueError(f"b64: {error}") from None
    return bytes(text.encode())


def _to_text(value: Any) -> Any:
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def main(arguments: list[str]) -> int:
    """Run one signature on the standard input's JSON; the exit code."""
    if len(arguments) != 2:
        print("usage: python -m serving.c_api FOLDER SIGNATURE < inputs.json", file=sys.stderr)
        return 2
    try:
        body = json.load(sys.stdin)
        if not isinstance(body, dict):
            raise InvalidArgument("the input is not a JSON object; write {name: {...}}")
        with CSession(Path(arguments[0])) as session:
            print(json.dumps(to_json(session.run(arguments[1], from_json(body)))))
    except ValueError as error:
        print(f"error: the input is not JSON ({error})", file=sys.stderr)
        return 2
    except ServingError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
