"""The transports for an event loop: `grpc.aio` and httpx, with the interface of `transports`."""

from __future__ import annotations

import asyncio
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

from serving.retrying import Attempts, Retries, call_async
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


class AsyncTransport(Protocol):
    """`transports.Transport`, awaited."""

    async def predict(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        *,
        which: Which = DEFAULT,
        timeout: float | None = None,
    ) -> Outputs:
        """Run `signature`; strings are object arrays of str or bytes."""

    async def states(self) -> list[VersionState]:
        """What the server says of its versions."""

    async def close(self) -> None:
        """Free what is held."""


class AsyncGrpcTransport:
    """A `grpc.aio` channel to `PredictionService`; make it where the loop runs."""

    def __init__(
        self,
        address: str,
        model: str = "ssrec",
        *,
        timeout: float = 10.0,
        retries: Retries | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """Open a channel; the arguments are those of `transports.GrpcTransport`."""
        self._model, self._timeout, self._retries = model, timeout, retries or Retries()
        self._channel = (
            grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
            if credentials is None
            else grpc.aio.secure_channel(address, credentials, options=CHANNEL_OPTIONS)
        )
        self._predict = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    async def predict(
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
        return from_response(await self._send(self._predict.Predict, request, timeout))

    async def states(self) -> list[VersionState]:
        """What the server says of its versions.

        Raises:
            ServingError: of the kind that the status means.
        """
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._model
        return states_of(await self._send(self._models.GetModelStatus, request, None))

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def _send(self, method: Any, request: Any, timeout: float | None) -> Any:
        async def send(left: float) -> Any:
            with rpc_failures():
                return await method(request, timeout=left)

        return await call_async(Attempts(self._retries, timeout or self._timeout), send)


class AsyncRestTransport:
    """JSON in columns, over connections that are kept."""

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
        self._http = httpx2.AsyncClient(trust_env=False, follow_redirects=False)

    async def predict(
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
        return rest_outputs(url, *(await self._send("POST", url, body, timeout)))

    async def states(self) -> list[VersionState]:
        """What the server says of its versions.

        Raises:
            ServingError: of the kind that the status means.
        """
        return rest_states(self._url, *(await self._send("GET", self._url, None, None)))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send(
        self, method: str, url: str, body: bytes | None, timeout: float | None
    ) -> tuple[int, bytes]:
        async def send(left: float) -> tuple[int, bytes]:
            return await self._once(method, url, body, left)

        return await call_async(Attempts(self._retries, timeout or self._timeout), send)

    async def _once(
        self, method: str, url: str, body: bytes | None, left: float
    ) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        with http_failures(url, left):
            async with asyncio.timeout(left):
                answer = await self._http.request(
                    method, url, content=body, headers=headers, timeout=left
                )
                return answer.status_code, answer.content
