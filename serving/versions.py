"""The version folder: which of its versions are served; new ones are swapped in under way."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from serving.batching import Batcher
from serving.errors import FailedPrecondition, InvalidArgument, NotFound, ServingError, Unavailable
from serving.servable import Servable
from serving.server_configs import Release
from serving.version_folders import list_versions

POLL_SECONDS = 1.0
RETRY_SECONDS = 10.0


class Versions:
    """Watches `<folder>/<version>/` and keeps what the release wants, the newest by default.

    Requests under way on an old version end on it: it is dropped, and freed once nobody
    holds it.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        release: Release | None = None,
        gate: Callable[[Path], None] | None = None,
        reread: Callable[[], Release] | None = None,
        batcher: Batcher | None = None,
    ) -> None:
        """Load what is wanted.

        Args:
            name: of the model.
            folder: holds the versions.
            release: which of them, with which labels.
            gate: raises what speaks against loading a version, before it is loaded.
            reread: asked for the release again and again, as a file that may change.
            batcher: of requests that meet.

        Raises:
            NotFound: no folder, or no version in it.
            ServingError: the version cannot be loaded.
        """
        self.name, self.folder = name, folder
        self._release, self._gate, self._reread = release or Release(), gate, reread
        self._batcher = batcher
        self._read = self._release
        self._failed: dict[int, tuple[float, str]] = {}  # version -> when, why
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._loaded: dict[int, Servable] = {}
        self._load_first()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def get(self, name: str, version: int | None = None, label: str | None = None) -> Servable:
        """The servable that a request names; without version and label, the newest.

        Raises:
            NotFound: another model, or a version that is not loaded.
            InvalidArgument: a label that no version has.
        """
        if name != self.name:
            raise NotFound(f"Servable not found for request: Latest({name})")
        loaded = self._loaded
        if label:
            version = self._release.labels.get(label)
            if version not in loaded:
                raise InvalidArgument(f"Unrecognized servable version label: {label}")
        if version is None:
            version = max(loaded)
        if version not in loaded:
            raise NotFound(f"Servable not found for request: Specific({name}, {version})")
        return loaded[version]

    def available(self) -> list[int]:
        """Versions that answer, newest first."""
        return sorted(self._loaded, reverse=True)

    def failures(self) -> dict[int, str]:
        """Wanted versions that could not be loaded, and why."""
        wanted = self._release.versions
        return {version: why for version, (_, why) in self._failed.items() if version in wanted}

    def change(self, release: Release) -> None:
        """Want another release; its labels count at once, its versions are loaded by and by.

        Raises:
            FailedPrecondition: a label is for a version that is not loaded.
        """
        with self._lock:
            for label, version in release.labels.items():
                if version not in self._loaded:
                    raise FailedPrecondition(
                        f"Requested model version is not available to assign to label: {label}: "
                        f"{version}"
                    )
            self._release = release
            self._failed.clear()
        threading.Thread(target=self._update, daemon=True).start()

    def close(self) -> None:
        """Stop watching and free the model."""
        self._stop.set()
        self._thread.join()
        with self._lock:
            for servable in self._loaded.values():
                servable.close()

    def _poll(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self._update()

    def _update(self) -> None:
        with self._lock:
            try:
                self._read_release()
                wanted = self._wanted(list_versions(self.folder))
            except OSError:  # the folder is being replaced: look again
                return
            except ServingError as error:  # half a file, say
                print(f"the release stays as it is: {error}", file=sys.stderr, flush=True)
                return
            for version in wanted:
                if version not in self._loaded and not self._stop.is_set():
                    self._try(version)
            if wanted and all(version in self._loaded for version in wanted):
                self._loaded = {version: self._loaded[version] for version in wanted}

    def _read_release(self) -> None:
        """Take over the file's release once all that it labels is loaded."""
        if self._reread is None:
            return
        release = self._reread()
        if release == self._read:
            return
        for version in release.versions:
            if version not in self._loaded:
                self._try(version)
        if all(version in self._loaded for version in release.labels.values()):
            self._release = self._read = release

    def _wanted(self, found: list[int]) -> list[int]:
        if self._release.versions:
            return [version for version in self._release.versions if version in found]
        return [max(found)] if found else []

    def _try(self, version: int) -> None:
        """Load a version; what failed is tried again later, for it may be half copied."""
        when, why = self._failed.get(version, (-RETRY_SECONDS, ""))
        if time.monotonic() - when < RETRY_SECONDS:
            return
        try:
            self._loaded = {**self._loaded, version: self._load(version)}
        except ServingError as error:
            self._failed[version] = (time.monotonic(), str(error))  # the old one goes on
            if str(error) != why:
                print(f"version {version} is not served: {error}", file=sys.stderr, flush=True)

    def _load(self, version: int) -> Servable:
        folder = self.folder / str(version)
        try:
            if self._gate is not None:
                self._gate(folder)
            return Servable(folder, version, self._batcher)
        except OSError as error:  # a file came or went meanwhile: watching must not end by it
            raise Unavailable(f"{folder} changed while it was read: {error}") from None

    def _load_first(self) -> None:
        if not self.folder.is_dir():
            raise NotFound(
                f"{self.folder} is no folder; give the one that holds versions 1, 2, ..."
            )
        wanted = self._wanted(list_versions(self.folder))
        if not wanted:
            raise NotFound(
                f"{self.folder} holds no version; put a SavedModel at {self.folder / '1'}"
            )
        try:
            self._loaded = {version: self._load(version) for version in wanted}
        except ServingError as error:
            raise Unavailable(str(error)) from None
