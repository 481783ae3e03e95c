"""Which version users get: a canary beside the stable one, its promotion, and the way back."""

from __future__ import annotations

import time
from pathlib import Path

import grpc
from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc

from serving.errors import InvalidArgument, NotFound, ServingError, Unavailable, from_code
from serving.server_configs import Release, models_message, read_models, write
from serving.transports import GrpcTransport
from serving.version_folders import list_versions
from serving.wire import CHANNEL_OPTIONS

STABLE, CANARY = "stable", "canary"
_PAUSE = 0.05


class Releases:
    """Changes `models.config`, and tells a running server.

    The file is what a server reads at its start, and again and again with
    `--model_config_file_poll_wait_seconds`. Told over gRPC as well, it changes at once.
    """

    def __init__(
        self,
        config: Path,
        folder: Path,
        *,
        name: str = "ssrec",
        base_path: str | None = None,
        server: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float = 60.0,
    ) -> None:
        """Manage the versions in `folder`, which the server sees as `base_path`."""
        self._config, self._folder, self._name = config, folder, name
        self._base_path = base_path or str(folder.resolve())
        self._server, self._credentials, self._timeout = server, credentials, timeout

    def current(self) -> Release:
        """What the file says; without one, nothing."""
        if not self._config.exists():
            return Release()
        return read_models(self._config, self._name)[0]

    def release(self, stable: int, canary: int | None = None) -> Release:
        """Make `stable` what users get, and `canary` what some of them do.

        The stable version before stays loaded, so that the way back is short.

        Raises:
            NotFound: the folder has no such version.
            ServingError: the server does not load it.
        """
        before = self.current()
        labels = {STABLE: stable, **({CANARY: canary} if canary is not None else {})}
        versions = {*labels.values()}
        previous = before.labels.get(STABLE)
        if previous is not None:
            versions.add(previous)
        there = list_versions(self._folder)
        for version in labels.values():
            if version not in there:
                raise NotFound(f"{self._folder} holds {sorted(there)}, not version {version}")
        return self._apply(before, Release(tuple(sorted(versions & {*there})), labels))

    def rollback(self, to: int | None = None) -> Release:
        """Go back: drop the canary if there is one, else to the version before the stable one.

        Raises:
            InvalidArgument: there is nothing to go back to.
            NotFound: the folder has no such version.
        """
        before = self.current()
        stable = before.labels.get(STABLE) or max(list_versions(self._folder), default=None)
        if stable is None:
            raise NotFound(f"{self._folder} holds no version")
        if to is None and CANARY in before.labels:
            to = stable
        if to is None:
            older = [version for version in list_versions(self._folder) if version < stable]
            if not older:
                raise InvalidArgument(f"{self._folder} holds nothing older than version {stable}")
            to = max(older)
        return self.release(to)

    def _apply(self, before: Release, after: Release) -> Release:
        """Load first, name second: a label must mean a version that answers."""
        if self._server is None:
            self._write(after)
            return after
        both = tuple(sorted({*before.versions, *after.versions}))
        kept = {label: v for label, v in before.labels.items() if v in both}
        try:
            # The file goes first: a server that rereads it must not undo what it is told.
            if set(after.versions) - set(before.versions):
                self._write(Release(both, kept))
                self._tell(Release(both, kept))
                self._wait(after.versions)
            self._write(after)
            self._tell(after)
        except ServingError:
            self._write(before)
            raise
        return after

    def _write(self, release: Release) -> None:
        write(self._config, models_message(self._name, self._base_path, release))

    def _tell(self, release: Release) -> None:
        request = model_management_pb2.ReloadConfigRequest()
        request.config.CopyFrom(models_message(self._name, self._base_path, release))
        assert self._server is not None  # noqa: S101 - for the type checker
        channel = (
            grpc.insecure_channel(self._server, options=CHANNEL_OPTIONS)
            if self._credentials is None
            else grpc.secure_channel(self._server, self._credentials, options=CHANNEL_OPTIONS)
        )
        with channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            try:
                answer = stub.HandleReloadConfigRequest(request, timeout=self._timeout)
            except grpc.RpcError as error:
                raise from_code(error.code(), error.details()) from None
        if answer.status.error_code:
            raise ServingError(f"the server refuses the release: {answer.status.error_message}")

    def _wait(self, versions: tuple[int, ...]) -> None:
        assert self._server is not None  # noqa: S101 - for the type checker
        transport = GrpcTransport(self._server, self._name, credentials=self._credentials)
        until = time.monotonic() + self._timeout
        try:
            while True:
                states = {state.version: state for state in transport.states()}
                if all(v in states and states[v].state == "AVAILABLE" for v in versions):
                    return
                failed = [s for v, s in states.items() if v in versions and s.error]
                if failed:
                    raise ServingError(f"version {failed[0].version}: {failed[0].error}")
                if time.monotonic() > until:
                    raise Unavailable(f"versions {list(versions)} are not there in time")
                time.sleep(_PAUSE)
        finally:
            transport.close()
