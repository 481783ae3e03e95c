"""How requests travel: gRPC or REST, with one interface; connections are kept."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

import grpc
import httpx2
import numpy as np
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from serving.errors import DeadlineExceeded
from serving.retrying import Attempts, Retries, call
from serving.tensors import Outputs, from_response, to_columns, to_request
from serving.wire import (
    CHANNEL_OPTIONS,
    DEFAULT,
    VersionState,
    Which,
    check_url,
    http_failures,
    rest_body,
    rest_outputs,
    rest_states,
    rpc_failures,
    states_of,
)


class Transport(Protocol):
    """How a request travels: `predict` runs a signature on arrays."""

    def predict(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        *,
        which: Which = DEFAULT,
        timeout: float | None = None,
    ) -> Outputs:
        """Run `signature`; strings are object arrays of str or bytes."""

    def states(self) -> list[VersionState]:
        """What the server says of its versions."""

    def close(self) -> None:
        """Free what is held."""


class GrpcTransport:
    """A channel to `PredictionService`, opened once."""

    def __init__(
        self,
        address: str,
        model: str = "ssrec",
        *,
        timeout: float = 10.0,
        retries: Retries | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """Open a channel, say to `localhost:8500`.

        Args:
            address: host and port.
            model: its name on the server.
            timeout: seconds a request, its retries included.
            retries: of requests that nobody took; `Retries()` by default.
            credentials: of `wire.load_credentials`; without, the channel is not encrypted.
        """
        self._model, self._timeout, self._retries = model, timeout, retries or Retries()
        self._channel = (
            grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
            if credentials is None
            else grpc.secure_channel(address, credentials, options=CHANNEL_OPTIONS)
        )
        self._predict = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        *,
        which: Which = DEFAULT,
        timeout: float | None = None,
    ) -> Outputs:
        """Run a signature.

        Raises:
            ServingError: of the kind that the status means.
        """
        request = to_request(self._model, signature, inputs)
        which.into(request.model_spec)
        return from_response(self._send(self._predict.Predict, request, timeout))

    def states(self) -> list[VersionState]:
        """What the server says of its versions.

        Raises:
            ServingError: of the kind that the status means.
        """
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._model
        return states_of(self._send(self._models.GetModelStatus, request, None))

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def _send(self, method: Any, request: Any, timeout: float | None) -> Any:
        def send(left: float) -> Any:
            with rpc_failures():
                return method(request, timeout=left)

        return call(Attempts(self._retries, timeout or self._timeout), send)


class RestTransport:
    """JSON in columns to `/v1/models/<model>:predict`, over connections that are kept."""

    def __init__(
        self,
        url: str,
        model: str = "ssrec",
        *,
        timeout: float = 10.0,
        retries: Retries | None = None,
    ) -> None:
        """Point at, say, `http://localhost:8501`; the proxies of the environment are not used.

        Raises:
            InvalidArgument: the URL is not http or https.
        """
        self._url = f"{check_url(url)}/v1/models/{model}"
        self._timeout, self._retries = timeout, retries or Retries()
        self._http = httpx2.Client(trust_env=False, follow_redirects=False)

    def predict(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        *,
        which: Which = DEFAULT,
        timeout: float | None = None,
    ) -> Outputs:
        """Run a signature.

        Raises:
            ServingError: of the kind that the status means.
        """
        url = f"{self._url}{which.path()}:predict"
        body = rest_body(signature, to_columns(inputs))
        return rest_outputs(url, *self._send("POST", url, body, timeout))

    def states(self) -> list[VersionState]:
        """What the server says of its versions.

        Raises:
            ServingError: of the kind that the status means.
        """
        return rest_states(self._url, *self._send("GET", self._url, None, None))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _send(
        self, method: str, url: str, body: bytes | None, timeout: float | None
    ) -> tuple[int, bytes]:
        def send(left: float) -> tuple[int, bytes]:
            return self._once(method, url, body, left)

        return call(Attempts(self._retries, timeout or self._timeout), send)

    def _once(self, method: str, url: str, body: bytes | None, left: float) -> tuple[int, bytes]:
        until, parts = time.monotonic() + left, []
        headers = {"Content-Type": "application/json"} if body is not None else {}
        with (
            http_failures(url, left),
            self._http.stream(method, url, content=body, headers=headers, timeout=left) as answer,
        ):
            for part in answer.iter_bytes():
                parts.append(part)
                if time.monotonic() > until:  # the library's limit is one a read
                    raise DeadlineExceeded(f"{url} did not end its answer in {left:.3g} s")
            return answer.status_code, b"".join(parts)
