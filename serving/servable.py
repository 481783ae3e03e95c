"""One version of a SavedModel, loaded into a session as TensorFlow Serving loads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.batching import Batcher
from serving.errors import InvalidArgument, ServingError

DEFAULT_SIGNATURE = "serving_default"
_MOST_WARMUPS = 1000
_HEADING = "Graph execution error:"


class Servable:
    """A loaded version; safe to be called from many threads."""

    def __init__(self, folder: Path, version: int, batcher: Batcher | None = None) -> None:
        """Load the graph with the tag `serve`, restore its variables, run its init op.

        Warm-up requests of the version are replayed before anybody else's, and batched as
        theirs where there is a `batcher`.

        Raises:
            ServingError: the folder holds no SavedModel that a session can load.
        """
        self.version, self._batcher = version, batcher
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        try:
            with self.session.graph.as_default(), _quiet():
                meta = tf.compat.v1.saved_model.load(self.session, ["serve"], str(folder))
        except Exception as error:  # a broken file fails in as many ways as it can be broken
            self.session.close()
            raise ServingError(f"{folder} cannot be loaded: {_first_line(error)}") from None
        self.signatures = {
            name: signature
            for name, signature in meta.signature_def.items()
            if signature.method_name or signature.inputs
        }
        try:
            self._warm_up(folder / "assets.extra" / "tf_serving_warmup_requests")
        except Exception as error:  # the file is read by TensorFlow, its values by the graph
            self.session.close()
            raise ServingError(f"{folder}: a warm-up request fails: {_first_line(error)}") from None

    def signature(self, name: str) -> Any:
        """The SignatureDef of that name; "" is `serving_default`.

        Raises:
            InvalidArgument: there is none.
        """
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise InvalidArgument(f'Serving signature name: "{name}" not found in signature def')
        return self.signatures[name]

    def run(
        self, name: str, inputs: Mapping[str, np.ndarray], outputs: list[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Run a signature.

        Args:
            name: of the signature.
            inputs: arrays by input name; strings as object arrays of bytes.
            outputs: names wanted, all when empty.

        Raises:
            InvalidArgument: a name, type or shape that the signature does not have, or
                values that the graph refuses.
            ServingError: the graph fails on values that it takes.
        """
        signature = self.signature(name)
        missing = sorted(set(signature.inputs) - set(inputs))
        unknown = sorted(set(inputs) - set(signature.inputs))
        if missing or unknown:
            raise InvalidArgument(
                f"input size does not match signature: {len(inputs)}!={len(signature.inputs)} "
                f"len({{{','.join(sorted(inputs))}}}) != "
                f"len({{{','.join(sorted(signature.inputs))}}})."
                f" Sent extra: {{{','.join(unknown)}}}. Missing but required: "
                f"{{{','.join(missing)}}}."
            )
        feed = {
            info.name: _checked(key, info, inputs[key]) for key, info in signature.inputs.items()
        }
        wanted = list(outputs or signature.outputs)
        for key in wanted:
            if key not in signature.outputs:
                raise InvalidArgument(
                    f"output tensor alias not found in signature: {key} Outputs expected to be "
                    f"in the set {{{','.join(sorted(signature.outputs))}}}."
                )
            if wanted.count(key) > 1:
                raise InvalidArgument(f"duplicate output tensor alias: {key}")
        fetches = {key: signature.outputs[key].name for key in wanted}
        try:
            answer = self._batched(fetches, feed)
        except (tf.errors.InvalidArgumentError, ValueError) as error:
            raise InvalidArgument(_first_line(error)) from None
        except (RuntimeError, tf.errors.OpError) as error:  # closed, out of memory, ...
            raise ServingError(f"signature {name}: {_first_line(error)}") from None
        return {key: np.asarray(value) for key, value in answer.items()}

    def _batched(self, fetches: dict[str, str], feed: dict[str, np.ndarray]) -> Any:
        """Outputs by name, of this request alone or out of a batch."""
        if self._batcher is None:
            return self.session.run(fetches, feed)
        key = (self, *sorted(fetches.values()), *sorted(feed))
        return self._batcher.run(key, feed, lambda merged: self.session.run(fetches, merged))

    def _warm_up(self, path: Path) -> None:
        """Replay what the version brings for that; TensorFlow Serving takes 1,000 at most."""
        if not path.is_file():
            return
        with _quiet():
            found = tf.compat.v1.io.tf_record_iterator(str(path))
        records = list(islice(found, _MOST_WARMUPS + 1))
        if len(records) > _MOST_WARMUPS:
            raise InvalidArgument(f"there are more than {_MOST_WARMUPS}")
        for record in records:
            log = prediction_log_pb2.PredictionLog.FromString(record)
            request = log.predict_log.request
            inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
            self.run(request.model_spec.signature_name, inputs)

    def close(self) -> None:
        """Free the session."""
        self.session.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep TensorFlow from calling sessions deprecated: the real server uses one."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def _first_line(error: Exception) -> str:
    """What went wrong, without the graph's or Python's stack."""
    text = error.message if isinstance(error, tf.errors.OpError) else str(error)
    lines = [line for line in text.splitlines() if line.strip() not in ("", _HEADING)]
    return lines[0].strip() if lines else type(error).__name__


def _checked(key: str, info: Any, value: np.ndarray) -> np.ndarray:
    """Compare an input's type and shape with the signature's."""
    dtype = tf.as_dtype(info.dtype)
    sent = tf.as_dtype(value.dtype)
    if sent != dtype:
        raise InvalidArgument(
            f"Expected {key} to be {dtype.name} but it is {sent.name}; send {dtype.name}"
        )
    shape = tf.TensorShape(info.tensor_shape)
    if not shape.is_compatible_with(value.shape):
        raise InvalidArgument(f"Tensor {key} has shape {list(value.shape)}, expected {shape}")
    return value
