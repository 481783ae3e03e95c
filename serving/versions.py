"""The version folder: the largest number is served; a new one is swapped in under way."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from serving.errors import InvalidArgument, NotFound, ServingError, Unavailable
from serving.servable import Servable
from serving.version_folders import list_versions

POLL_SECONDS = 1.0
RETRY_SECONDS = 10.0


class Versions:
    """Watches `<folder>/<version>/` and keeps the newest loadable version.

    Requests under way on an old version end on it: it is dropped, and freed once nobody
    holds it.
    """

    def __init__(self, name: str, folder: Path) -> None:
        """Load the newest version.

        Raises:
            NotFound: no folder, or no version in it.
            ServingError: the version cannot be loaded.
        """
        self.name, self.folder = name, folder
        self._failed: dict[int, tuple[float, str]] = {}  # version -> when, why
        self._stop = threading.Event()
        self._current = self._load_newest()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def get(self, name: str, version: int | None = None, label: str | None = None) -> Servable:
        """The servable that a request names.

        Raises:
            NotFound: another model, or a version that is not loaded.
            InvalidArgument: a label; this server has none.
        """
        if name != self.name:
            raise NotFound(f"Servable not found for request: Latest({name})")
        if label:
            raise InvalidArgument(f"Unrecognized servable version label: {label}")
        current = self._current
        if version is not None and version != current.version:
            raise NotFound(f"Servable not found for request: Specific({name}, {version})")
        return current

    def close(self) -> None:
        """Stop watching and free the model."""
        self._stop.set()
        self._thread.join()
        self._current.close()

    def _poll(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            try:
                newest = max(list_versions(self.folder), default=self._current.version)
            except OSError:  # the folder is being replaced: look again
                continue
            when, why = self._failed.get(newest, (-RETRY_SECONDS, ""))
            # A version may be seen while it is still being copied: it is tried again.
            if newest == self._current.version or time.monotonic() - when < RETRY_SECONDS:
                continue
            try:
                self._current = Servable(self.folder / str(newest), newest)
            except ServingError as error:
                self._failed[newest] = (time.monotonic(), str(error))  # the old one goes on
                if str(error) != why:
                    print(f"version {newest} is not served: {error}", file=sys.stderr, flush=True)

    def _load_newest(self) -> Servable:
        if not self.folder.is_dir():
            raise NotFound(
                f"{self.folder} is no folder; give the one that holds versions 1, 2, ..."
            )
        versions = list_versions(self.folder)
        if not versions:
            raise NotFound(
                f"{self.folder} holds no version; put a SavedModel at {self.folder / '1'}"
            )
        try:
            return Servable(self.folder / str(max(versions)), max(versions))
        except ServingError as error:
            raise Unavailable(str(error)) from None
