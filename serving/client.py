"""One client for TensorFlow Serving and the stand-in, over gRPC or REST, with the same calls."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.errors import (
    DeadlineExceeded,
    InvalidArgument,
    ServingError,
    Unavailable,
    from_code,
    from_http,
)

Arrays = dict[str, np.ndarray]
MAX_MESSAGE_BYTES = 64 * 1024 * 1024  # gRPC's own 4 MiB are the vectors of 2,700 texts


class Transport(Protocol):
    """How a request travels: `predict` runs a signature on arrays."""

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Run `signature`; strings are object arrays of str or bytes."""

    def close(self) -> None:
        """Free what is held."""


class GrpcTransport:
    """A reused channel to `PredictionService`."""

    def __init__(self, address: str, model: str = "ssrec", *, timeout: float = 10.0) -> None:
        """Open a channel, say to `localhost:8500`; `timeout` in seconds a request."""
        self._model, self._timeout = model, timeout
        sizes = ("grpc.max_receive_message_length", "grpc.max_send_message_length")
        self._channel = grpc.insecure_channel(
            address, options=[(option, MAX_MESSAGE_BYTES) for option in sizes]
        )
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Run a signature.

        Raises:
            ServingError: of the kind that the status means.
        """
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        try:
            response = self._stub.Predict(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise from_code(error.code(), error.details()) from None
        return {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


class RestTransport:
    """JSON in columns to `/v1/models/<model>:predict`."""

    def __init__(self, url: str, model: str = "ssrec", *, timeout: float = 10.0) -> None:
        """Point at, say, `http://localhost:8501`; `timeout` in seconds a request.

        Raises:
            InvalidArgument: the URL is not http or https.
        """
        if not url.startswith(("http://", "https://")):
            raise InvalidArgument(f"url={url!r} must begin with http:// or https://")
        self._url = f"{url.rstrip('/')}/v1/models/{model}:predict"
        self._timeout = timeout

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Run a signature.

        Raises:
            ServingError: of the kind that the status means.
        """
        columns = {name: _plain(value) for name, value in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": columns}).encode()
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            self._url, body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as response:  # noqa: S310
                outputs = json.load(response)["outputs"]
        except urllib.error.HTTPError as error:
            raise from_http(error.code, _message(error)) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise DeadlineExceeded(
                    f"no answer from {self._url} in {self._timeout} s; allow more with timeout="
                ) from None
            raise Unavailable(f"{self._url} cannot be reached: {reason}") from None
        except (KeyError, TypeError, ValueError):
            raise ServingError(f"{self._url} answered something else than outputs") from None
        if not isinstance(outputs, dict):
            outputs = {"": outputs}
        return {name: np.array(value) for name, value in outputs.items()}

    def close(self) -> None:
        """Nothing is held."""


class Client:
    """The model's signatures as calls.

    A behaviour is lines: `user: TEXT`, then `rated 5: ITEM TEXT` or `seen: ITEM TEXT`,
    oldest first. Moments, in seconds since 1970, may be told: `rated 5 at 881250949: ITEM
    TEXT`, `seen at 881250949: ITEM TEXT`, and `now: 881252000`.
    """

    def __init__(self, transport: Transport) -> None:
        """Speak over `transport`."""
        self._transport = transport

    def score(self, behaviours: Sequence[str], items: Sequence[str]) -> Arrays:
        """Score pairs: `rating` and `click_probability`, float [n]."""
        inputs = {"behaviour": _strings(behaviours), "item": _strings(items)}
        return self._transport.predict("serving_default", inputs)

    def rank(
        self,
        user: str,
        history: Sequence[str],
        candidates: Sequence[str],
        history_ratings: Sequence[float] | None = None,
        history_times: Sequence[int] | None = None,
        now: int | None = None,
    ) -> Arrays:
        """Rank candidates, ids or texts: `ranking` int [n], `rating`, `click_probability`.

        Times are in seconds since 1970, 0 where unknown.

        Raises:
            InvalidArgument: ratings or times are not one a past item.
        """
        ratings = _one_each("history_ratings", history_ratings, history)
        times = _one_each("history_times", history_times, history)
        inputs = {
            "user": _strings([user]),
            "history": _strings(list(history) or [""])[None, :],  # [1, events]
            "history_ratings": np.array([ratings], np.float32),
            "history_times": np.array([times], np.int64),
            "now": np.array([now or 0], np.int64),
            "candidates": _strings(candidates)[None, :],  # [1, candidates]
        }
        return {name: value[0] for name, value in self._transport.predict("rank", inputs).items()}

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of texts: float [n, width]."""
        outputs = self._transport.predict("embed", {"text": _strings(texts)})
        return next(iter(outputs.values()))

    def recommend(self, behaviours: Sequence[str], k: int) -> list[list[tuple[str, float]]]:
        """Best items for each behaviour: (id, score), best first."""
        inputs = {"behaviour": _strings(behaviours), "k": np.array(k, np.int32)}
        outputs = self._transport.predict("recommend", inputs)
        return [
            [(_text(item), float(score)) for item, score in zip(items, scores, strict=True)]
            for items, scores in zip(outputs["items"], outputs["scores"], strict=True)
        ]

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()


def _one_each(name: str, values: Sequence[float] | None, history: Sequence[str]) -> list[float]:
    """One number a past item, 0 where none is given; `[0]` beside an empty history."""
    numbers: list[float] = [0] * len(history) if values is None else list(values)
    if len(numbers) != len(history):
        raise InvalidArgument(
            f"{name} has {len(numbers)} values but history {len(history)}; "
            "give one a past item, 0 for none"
        )
    return numbers or [0]


def _strings(values: Sequence[str]) -> np.ndarray:
    return np.array([value.encode("utf-8", "replace") for value in values], dtype=object)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _plain(value: np.ndarray) -> Any:
    """An array as JSON; REST has no NaN, so "no rating" travels as 0."""
    if value.dtype == object:
        return np.vectorize(_text, otypes=[object])(value).tolist()
    return np.where(np.isnan(value), 0, value).tolist()


def _message(error: urllib.error.HTTPError) -> str:
    body = error.read().decode("utf-8", "replace")
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {error.code}: {body[:200]}"
