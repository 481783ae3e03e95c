"""Start a model server on a folder of versions: TensorFlow Serving, else the stand-in."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from serving.errors import InvalidArgument, NotFound
from serving.version_folders import list_versions

if TYPE_CHECKING:
    from serving.server_configs import Release

HOST = "127.0.0.1"
_NAME = "tensorflow_model_server"


@dataclass(frozen=True)
class Endpoint:
    """Where a server listens, who it is, and what it may load.

    `config` is a `models.config`, read again and again; `key` a public key: only versions that
    it signed are loaded, and only if their graphs hold nothing but core ops. `batching` is a
    `batching.config`, `ssl` an `ssl.config`: gRPC over TLS.
    """

    grpc_port: int
    rest_port: int
    model: str
    server: str
    config: Path | None = None
    key: Path | None = None
    batching: Path | None = None
    ssl: Path | None = None


def real_server() -> str | None:
    """Path of TensorFlow Serving's binary: $TF_MODEL_SERVER, or on the PATH."""
    return os.environ.get("TF_MODEL_SERVER") or shutil.which(_NAME)


def start_real(binary: str, folder: Path, endpoint: Endpoint) -> subprocess.Popen[bytes]:
    """Start TensorFlow Serving; what it says goes to stderr, which is its log.

    Raises:
        InvalidArgument: a port is taken.
        NotFound: the binary cannot be run.
    """
    _require_free(endpoint)
    command = [
        binary,
        f"--port={endpoint.grpc_port}",
        f"--rest_api_port={endpoint.rest_port}",
    ]
    if endpoint.config is None:
        command += [
            f"--model_name={endpoint.model}",
            f"--model_base_path={folder.resolve()}",
        ]
    else:
        command += [
            f"--model_config_file={endpoint.config.resolve()}",
            "--model_config_file_poll_wait_seconds=1",
        ]
    if endpoint.batching is not None:
        command += [
            "--enable_batching",
            f"--batching_parameters_file={endpoint.batching.resolve()}",
        ]
    if endpoint.ssl is not None:
        command += [f"--ssl_config_file={endpoint.ssl.resolve()}"]
    if endpoint.key is not None:
        for version in list_versions(folder):  # the server has no gate of its own
            _gate(endpoint)(folder / str(version))
    try:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)
    except OSError as error:
        raise NotFound(
            f"{binary} cannot be run ({error.strerror}); let TF_MODEL_SERVER name the binary"
        ) from None


def serve_real(binary: str, folder: Path, endpoint: Endpoint) -> int:
    """Run TensorFlow Serving until it ends, or until SIGINT or SIGTERM; the exit code."""
    process = start_real(binary, folder, endpoint)
    stopped = threading.Event()

    def stop(*_: object) -> None:
        stopped.set()
        process.terminate()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    code = process.wait()
    return 0 if stopped.is_set() or code == 0 else 3


def serve_stand_in(folder: Path, endpoint: Endpoint, stop: threading.Event) -> None:
    """Run the stand-in until `stop` is set."""
    _require_free(endpoint)
    print(
        "This is a local stand-in, not TensorFlow Serving (no tensorflow_model_server found): "
        "same gRPC and REST, not its speed.",
        flush=True,
    )
    with stand_in(folder, endpoint):
        print(
            f"serving {endpoint.model} from {folder}: gRPC {HOST}:{endpoint.grpc_port}, "
            f"REST http://{HOST}:{endpoint.rest_port}/v1/models/{endpoint.model}",
            flush=True,
        )
        stop.wait()


@contextmanager
def stand_in(folder: Path, endpoint: Endpoint) -> Iterator[None]:
    """Hold the stand-in up for a block.

    Raises:
        NotFound: no folder, or no version in it.
        InvalidArgument: a port is taken.
        Unavailable: the version cannot be loaded.
    """
    from serving import grpc_server, rest_server
    from serving.batching import Batcher, read_parameters
    from serving.server_configs import read_ssl
    from serving.versions import Versions

    release = _release(endpoint)
    credentials = read_ssl(endpoint.ssl) if endpoint.ssl else None
    batcher = Batcher(read_parameters(endpoint.batching)) if endpoint.batching else None
    versions = rest = grpc = None
    try:
        versions = Versions(
            endpoint.model,
            folder,
            release=release and release(),
            gate=_gate(endpoint) if endpoint.key else None,
            reread=release,
            batcher=batcher,
        )
        # gRPC first, as the real server does: who sees REST's status may ask over either.
        grpc = grpc_server.start(versions, f"{HOST}:{endpoint.grpc_port}", credentials)
        if grpc is None:
            raise _taken(endpoint.grpc_port, "--port")
        rest = rest_server.start(versions, HOST, endpoint.rest_port)
        if rest is None:
            raise _taken(endpoint.rest_port, "--rest-port")
        yield
    finally:
        if grpc is not None:
            grpc.stop(grace=2.0).wait()
        if rest is not None:
            rest.shutdown()
            rest.server_close()
        if batcher is not None:
            batcher.close()
        if versions is not None:
            versions.close()


def _release(endpoint: Endpoint) -> Callable[[], Release] | None:
    """How to read the release that the endpoint's file describes."""
    from serving.server_configs import read_models

    config = endpoint.config
    if config is None:
        return None
    return lambda: read_models(config, endpoint.model)[0]


def _gate(endpoint: Endpoint) -> Callable[[Path], None]:
    """What a version must pass before it is loaded."""
    from serving.graph_gate import check_graph
    from serving.manifest import verify

    key = endpoint.key
    assert key is not None  # noqa: S101 - for the type checker

    def check(folder: Path) -> None:
        verify(folder, key)
        check_graph(folder)

    return check


def check_folder(folder: Path) -> None:
    """Refuse a folder without versions before anything is loaded.

    Raises:
        NotFound: names the folder and what it should hold.
    """
    if not folder.is_dir():
        raise NotFound(f"{folder} is no folder; give the one that holds versions 1, 2, ...")
    if not list_versions(folder):
        raise NotFound(f"{folder} holds no version; put a SavedModel at {folder / '1'}")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _require_free(endpoint: Endpoint) -> None:
    """Refuse a taken port before the model is loaded."""
    for port, option in ((endpoint.grpc_port, "--port"), (endpoint.rest_port, "--rest-port")):
        if not 0 < port < 65536:
            raise InvalidArgument(f"{option}={port} is no port; give one from 1 to 65535")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                raise _taken(port, option) from None


def _taken(port: int, option: str) -> InvalidArgument:
    return InvalidArgument(f"port {port} is taken; give another one with {option}")
