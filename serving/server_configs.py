"""TensorFlow Serving's settings, written from its own messages: what is written can be read."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.errors import InvalidArgument, NotFound
from serving.server_protos import message

PLATFORM = "tensorflow"


@dataclass(frozen=True)
class Release:
    """Which versions of a model are loaded, and what they are called.

    Without versions, the largest number is served, as without any settings.
    """

    versions: tuple[int, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for label, version in self.labels.items():
            if version not in self.versions:
                raise InvalidArgument(
                    f"label {label} is for version {version}, which is not one of "
                    f"{list(self.versions)}; load it, too"
                )


def models_message(name: str, base_path: str, release: Release) -> Any:
    """A `ModelServerConfig` of one model."""
    body = model_server_config_pb2.ModelServerConfig()
    model = body.model_config_list.config.add()
    model.name, model.base_path, model.model_platform = name, base_path, PLATFORM
    if release.versions:
        model.model_version_policy.specific.versions.extend(sorted(set(release.versions)))
    for label, version in sorted(release.labels.items()):
        model.version_labels[label] = version
    return body


def release_of(body: Any, name: str) -> tuple[Release, str]:
    """What a `ModelServerConfig` says of a model, and its base path.

    Raises:
        NotFound: it says nothing of it.
    """
    for model in body.model_config_list.config:
        if model.name == name:
            versions = tuple(model.model_version_policy.specific.versions)
            return Release(versions, dict(model.version_labels)), str(model.base_path)
    named = sorted(model.name for model in body.model_config_list.config)
    raise NotFound(f"the settings name {named}, not {name}; add it to models.config")


def read_models(path: Path, name: str) -> tuple[Release, str]:
    """Read `models.config`.

    Raises:
        NotFound: the file cannot be read, or says nothing of the model.
        InvalidArgument: it is none.
    """
    return release_of(read_message(path, model_server_config_pb2.ModelServerConfig()), name)


def batching_message(sizes: Sequence[int], threads: int, timeout_micros: int = 2000) -> Any:
    """`BatchingParameters`, for servers that are asked anything but `rank`, or that in one size.

    Nothing is padded, for TensorFlow Serving pads with a tensor's first element: a shorter
    history would go on with its oldest event as the newest. So it refuses `rank` requests of
    unequal lengths that meet in a batch.

    Raises:
        InvalidArgument: sizes that do not increase, or fewer than one thread.
    """
    if not sizes or sorted(set(sizes)) != list(sizes) or sizes[0] < 1 or threads < 1:
        raise InvalidArgument(f"sizes={list(sizes)}, threads={threads}: sizes must increase from 1")
    body = message("BatchingParameters")()
    body.max_batch_size.value = sizes[-1]  # must be the last one that is allowed
    body.allowed_batch_sizes.extend(sizes)
    body.batch_timeout_micros.value = timeout_micros
    body.num_batch_threads.value = threads
    body.max_enqueued_batches.value = threads * 4
    body.pad_variable_length_inputs = False
    return body


def monitoring_message() -> Any:
    """`MonitoringConfig`: figures for Prometheus, over the REST port."""
    body = message("MonitoringConfig")()
    body.prometheus_config.enable = True
    body.prometheus_config.path = "/monitoring/prometheus/metrics"
    return body


def ssl_message(certificate: Path, key: Path, ca: Path) -> Any:
    """`SSLConfig` for gRPC: the files' contents, and clients must show a certificate, too.

    Raises:
        NotFound: a file cannot be read.
    """
    body = message("SSLConfig")()
    try:
        body.server_key, body.server_cert = key.read_text(), certificate.read_text()
        body.custom_ca = ca.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"a file of the certificate cannot be read: {error}") from None
    body.client_verify = True
    return body


def read_ssl(path: Path) -> grpc.ServerCredentials:
    """Credentials of a server, from `ssl.config`.

    Raises:
        NotFound: the file cannot be read.
        InvalidArgument: it is none.
    """
    body = read_message(path, message("SSLConfig")())
    if not (body.server_key and body.server_cert):
        raise InvalidArgument(f"{path} lacks server_key or server_cert; give both, as PEM")
    return grpc.ssl_server_credentials(
        [(body.server_key.encode(), body.server_cert.encode())],
        root_certificates=body.custom_ca.encode() or None,
        require_client_auth=body.client_verify,
    )


def read_message(path: Path, body: Any) -> Any:
    """A message read from its file; `body` is an empty one.

    Raises:
        NotFound: the file cannot be read.
        InvalidArgument: it is no such file.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), body)
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"{path} cannot be read: {error}") from None
    except text_format.ParseError as error:
        kind = type(body).DESCRIPTOR.name
        raise InvalidArgument(f"{path} is no {kind}: {error}") from None


def write(path: Path, body: Any, *, secret: bool = False) -> None:
    """Write a message as text, whole or not at all; `secret` is for the owner only.

    Raises:
        InvalidArgument: the folder cannot be written.
    """
    text = text_format.MessageToString(body)
    text_format.Parse(text, type(body)())  # as the server will
    atomic_write(path, text.encode(), mode=0o600 if secret else 0o644)


def atomic_write(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Put a file in place so that a reader sees the old one or the new one.

    Raises:
        InvalidArgument: the folder cannot be written.
    """
    staged = path.with_name(f".{path.name}.tmp-{secrets.token_hex(8)}")
    try:
        handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(staged, path)
        finally:
            staged.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be written: {error.strerror}") from None
