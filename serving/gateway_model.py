"""The gateway's side of the model server: which version, how long, and what a failure means."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from serving.async_transports import AsyncGrpcTransport, AsyncTransport
from serving.canary import CanaryRouter
from serving.catalogue import Catalogue, newest_catalogue
from serving.client import AsyncClient
from serving.drift import FILE as TRAFFIC
from serving.drift import Drift, load_expected
from serving.errors import DeadlineExceeded, InvalidArgument, NotFound, ServingError
from serving.gateway_logs import log, log_fault, spent_at_model
from serving.gateway_metrics import Metrics
from serving.gateway_settings import ModelServer, Settings
from serving.gateway_traces import model_span
from serving.similar import Neighbours
from serving.tensors import Outputs
from serving.wire import DEFAULT, Which, load_credentials

POLL_SECONDS = 1.0
_EMBED = "embed"


def connector(settings: ModelServer) -> Callable[[], AsyncTransport]:
    """Opens the channel that the settings describe, once the loop runs; TLS where there is a CA.

    Raises:
        NotFound: a file of theirs cannot be read.
    """
    secure = settings.ca and load_credentials(settings.ca, settings.certificate, settings.key)
    return lambda: AsyncGrpcTransport(
        settings.address, settings.name, timeout=settings.timeout, credentials=secure or None
    )


class ModelSide:
    """Asks the model server, and follows its versions."""

    transport: AsyncTransport
    """Set before the first question."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Read catalogue and users.

        Raises:
            ServingError: a file that the settings name cannot be read.
        """
        model = settings.model
        self._settings, self._metrics = settings, metrics
        self.router = CanaryRouter(settings.canary) if settings.canary else None
        self.users = Catalogue.load(model.users) if model.users else Catalogue()
        self.catalogue = Catalogue.load(model.catalogue) if model.catalogue else Catalogue()
        self.drift: Drift | None = None
        self.neighbours: Neighbours | None = None
        self.version: int | None = None
        self._rereading = asyncio.Lock()
        if model.folder and not model.catalogue:
            self.catalogue = Catalogue.load(newest_catalogue(model.folder))

    async def predict(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        *,
        who: str,
        until: float,
        which: Which | None = None,
    ) -> Outputs:
        """Run a signature on the version that `who` gets, or on `which`.

        Where the canary fails, the stable version answers.

        Raises:
            ServingError: of the kind that the status means.
        """
        if which is not None or self.router is None:
            return await self._timed(signature, inputs, which or DEFAULT, until)
        label = self.router.label(who)
        try:
            return await self._timed(signature, inputs, Which(label=label), until)
        except ServingError as error:
            if label == self.router.stable or _is_callers(error):
                raise
            stable = Which(label=self.router.stable)
            return await self._timed(signature, inputs, stable, until)

    async def follow(self) -> None:
        """Look at the server's versions again and again, until cancelled."""
        told = False
        while True:
            try:
                await self.refresh()
            except ServingError as error:
                if self.version is not None or not told:
                    log("model_not_ready", kind=type(error).__name__)
                self.version, told = None, True
                self._metrics.ready.set(0)
            except Exception as error:  # the loop must go on
                log_fault("follow", error)
            await asyncio.sleep(POLL_SECONDS)

    async def refresh(self) -> None:
        """Look once: is a version available, and is it another than before?

        Raises:
            ServingError: none is, or nobody is there.
        """
        newest = (await AsyncClient(self.transport).ready())[0]
        self._metrics.ready.set(1)
        if self.router is not None:
            self.router.retry(newest)
            share = 0.0 if self.router.stopped else self._settings.canary.share  # type: ignore[union-attr]
            self._metrics.canary_share.set(share)
        if newest != self.version:
            await self._changed(newest)
        if self.neighbours is None or self.neighbours.version != newest:
            try:
                self.neighbours = await Neighbours.build(self.transport, self.catalogue, newest)
            except ServingError as error:  # a model without `embed`, or it went away meanwhile
                log("no_neighbours", kind=type(error).__name__, version=newest)

    async def reread(self, old: Neighbours) -> Neighbours:
        """Neighbours by a version that answers, once `old`'s does not; waits its turn.

        Raises:
            ServingError: there is none, or it is gone, too.
        """
        async with self._rereading:
            if self.neighbours is None or self.neighbours.version == old.version:
                newest = (await AsyncClient(self.transport).ready())[0]
                self.neighbours = await Neighbours.build(self.transport, self.catalogue, newest)
            return self.neighbours

    async def _changed(self, newest: int) -> None:
        folder = self._settings.model.folder
        if folder is not None:
            await asyncio.to_thread(self._read_assets, folder, newest)
        self.version = newest
        self._metrics.version.set(newest)
        log("model_version", version=newest, items=len(self.catalogue))

    def _read_assets(self, folder: Path, version: int) -> None:
        """Catalogue and traffic of a version; an old one stays where the new one has none."""
        try:
            if self._settings.model.catalogue is None:
                self.catalogue = Catalogue.load(newest_catalogue(folder, version))
            expected = load_expected(folder / str(version) / TRAFFIC)
            self.drift = Drift(expected, self._settings.seen.drift_window)
        except (NotFound, InvalidArgument) as error:
            log("assets_missing", kind=type(error).__name__, version=version)

    async def _timed(
        self, signature: str, inputs: Mapping[str, np.ndarray], which: Which, until: float
    ) -> Outputs:
        label = which.label or "default"
        began, outputs, error = time.perf_counter(), None, None
        left = until - time.monotonic()
        try:
            if left <= 0:
                raise DeadlineExceeded("the request's time is over")
            with model_span(signature, label):
                outputs = await self.transport.predict(signature, inputs, which=which, timeout=left)
        except ServingError as raised:
            error = raised
            self._metrics.model_errors.labels(type(raised).__name__, label).inc()
            raise
        finally:
            seconds = time.perf_counter() - began
            self._metrics.model_seconds.labels(signature, label).observe(seconds)
            spent_at_model().append(seconds)
            self._observe(which, seconds, error, outputs)
        for name, value in outputs.items():
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise ServingError(f"{signature}: {name} is not finite")
        return outputs

    def _observe(
        self, which: Which, seconds: float, error: ServingError | None, outputs: Outputs | None
    ) -> None:
        if self.router is None or not which.label:
            return
        well = error is None or (isinstance(error, InvalidArgument) and not _is_label(error))
        version = outputs.version if outputs else self.version
        if self.router.observe(which.label, seconds, well=well, version=version):
            self._metrics.rollbacks.inc()
            self._metrics.canary_share.set(0)
            log("canary_rolled_back", reason=self.router.reason, version=version)


def _is_callers(error: ServingError) -> bool:
    """The request itself is refused: another version would refuse it, too."""
    return isinstance(error, InvalidArgument) and not _is_label(error)


def _is_label(error: ServingError) -> bool:
    """The server does not know the label (or not any more)."""
    return "version label" in str(error)
