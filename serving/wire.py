"""What both kinds of transport share: which version is meant, channel options, REST's shapes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx2
from tensorflow_serving.apis import get_model_status_pb2

from serving.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    ServingError,
    Unavailable,
    from_code,
    from_http,
)
from serving.tensors import Outputs, from_columns

MAX_MESSAGE_BYTES = 64 * 1024 * 1024  # gRPC's own 4 MiB are the vectors of 2,700 texts
CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # A server that comes back is found again within a request's retries, not after a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


@dataclass(frozen=True)
class Which:
    """The version that is asked: a number, a label, or the server's default."""

    version: int | None = None
    label: str = ""

    def __post_init__(self) -> None:
        if self.version is not None and self.label:
            raise InvalidArgument(
                f"version={self.version} and label={self.label!r}: give one of the two"
            )

    def path(self) -> str:
        """What stands between the model and the verb in REST's path."""
        if self.label:
            return f"/labels/{self.label}"
        return "" if self.version is None else f"/versions/{self.version}"

    def into(self, spec: Any) -> None:
        """Write it into a ModelSpec."""
        if self.label:
            spec.version_label = self.label
        elif self.version is not None:
            spec.version.value = self.version


DEFAULT = Which()


@dataclass(frozen=True)
class VersionState:
    """What a server says of one version; `state` as `ModelVersionStatus.State` names it."""

    version: int
    state: str
    error: str = ""


def states_of(response: Any) -> list[VersionState]:
    """Of a GetModelStatusResponse."""
    name = get_model_status_pb2.ModelVersionStatus.State.Name
    return [
        VersionState(int(entry.version), str(name(entry.state)), entry.status.error_message)
        for entry in response.model_version_status
    ]


def states_of_json(body: Any) -> list[VersionState]:
    """Of REST's status."""
    try:
        return [
            VersionState(
                int(entry["version"]),
                str(entry["state"]),
                str(entry.get("status", {}).get("error_message", "")),
            )
            for entry in body["model_version_status"]
        ]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ServingError("the status is not one of a model server; check the address") from None


def load_credentials(
    ca: Path, certificate: Path | None = None, key: Path | None = None
) -> grpc.ChannelCredentials:
    """TLS from PEM files; with certificate and key the client shows who it is (mTLS).

    Raises:
        InvalidArgument: only one of certificate and key is given.
        NotFound: a file cannot be read.
    """
    if (certificate is None) != (key is None):
        raise InvalidArgument("certificate and key belong together; give both, or none")
    try:
        parts = [path.read_bytes() if path else None for path in (ca, key, certificate)]
    except OSError as error:
        raise NotFound(f"{error.filename} cannot be read: {error.strerror}") from None
    return grpc.ssl_channel_credentials(*parts)


@contextmanager
def rpc_failures() -> Iterator[None]:
    """Turn a call's failure, awaited or not, into an error of ours.

    Raises:
        ServingError: of the kind that the status means.
    """
    try:
        yield
    except grpc.RpcError as error:
        raise from_code(error.code(), error.details()) from None


@contextmanager
def http_failures(url: str, left: float) -> Iterator[None]:
    """Turn the failure of a request with `left` seconds, awaited or not, into an error of ours.

    Raises:
        DeadlineExceeded: no answer in time.
        Unavailable: there was no connection to be had.
    """
    try:
        yield
    except httpx2.PoolTimeout as error:
        raise Unavailable(f"{url}: every connection is in use: {error}") from None
    except (TimeoutError, httpx2.TimeoutException):
        raise DeadlineExceeded(
            f"no answer from {url} in {left:.3g} s; allow more with timeout="
        ) from None
    except httpx2.HTTPError as error:
        raise Unavailable(f"{url} cannot be reached: {error}") from None


def rest_body(signature: str, columns: dict[str, Any]) -> bytes:
    """A predict request in columns."""
    return json.dumps({"signature_name": signature, "inputs": columns}).encode()


def rest_outputs(url: str, status: int, body: bytes) -> Outputs:
    """Outputs of an answer over REST.

    Raises:
        ServingError: of the kind that the status means.
    """
    return from_columns(_parsed(url, status, body, "outputs"))


def rest_states(url: str, status: int, body: bytes) -> list[VersionState]:
    """Version states of an answer over REST.

    Raises:
        ServingError: of the kind that the status means.
    """
    parsed = _parsed(url, status, body, "model_version_status")
    return states_of_json({"model_version_status": parsed})


def check_url(url: str) -> str:
    """The URL without a slash at its end.

    Raises:
        InvalidArgument: it is not http or https.
    """
    if not url.startswith(("http://", "https://")):
        raise InvalidArgument(f"url={url!r} must begin with http:// or https://")
    return url.rstrip("/")


def _parsed(url: str, status: int, body: bytes, key: str) -> Any:
    if status >= 300:
        raise from_http(status, _message(status, body))
    try:
        return json.loads(body)[key]
    except (KeyError, TypeError, ValueError):
        raise ServingError(f"{url} answered something else than {key}") from None


def _message(status: int, body: bytes) -> str:
    shown = body.decode("utf-8", "replace")
    try:
        return str(json.loads(shown)["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}: {shown[:200]}"
