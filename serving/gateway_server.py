"""Uvicorn, with an end that loses nobody and a beginning that waits for nobody."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from types import FrameType
from typing import Any

import uvicorn
from prometheus_client import start_http_server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.gateway_front import CROWDED
from serving.gateway_logs import configure, log
from serving.gateway_settings import Settings


def _guarded(head_timeout: float, most: int) -> type[HttpToolsProtocol]:
    """A protocol that closes connections whose first head does not come in time.

    It marks requests on connections beyond `most`. Uvicorn's own limit answers these in its own
    words, without Retry-After, unseen by log and metrics, and those of probes as well.
    """

    class Guarded(HttpToolsProtocol):
        """Uvicorn's own times only what comes after the first answer."""

        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._timer = self.loop.call_later(head_timeout, self._late)

        def on_headers_complete(self) -> None:
            self._stop()
            self.scope[CROWDED] = len(self.connections) > most  # type: ignore[literal-required]
            super().on_headers_complete()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._timer is None:
                self._timer = self.loop.call_later(head_timeout, self._late)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def _stop(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _late(self) -> None:
            self._timer = None
            self.transport.close()

    return Guarded


class _Server(uvicorn.Server):
    """Says that it is not ready for a while before it stops to listen."""

    def __init__(self, config: uvicorn.Config, gateway: Any, drain: float) -> None:
        super().__init__(config)
        self._gateway, self._drain = gateway, drain

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, end at once at the second."""
        if self._gateway.draining or not self._drain:
            super().handle_exit(sig, frame)
        else:
            timer = threading.Timer(self._drain, super().handle_exit, (sig, frame))
            timer.daemon = True
            timer.start()
        self._gateway.draining = True
        log("draining", seconds=self._drain)


def serve(gateway: Any, settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    configure()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Uvicorn raises the signal once more at its end, when there is nothing left to do.
        signal.signal(number, lambda *_: None)
    limits = settings.limits
    config = uvicorn.Config(
        gateway,
        host=settings.host,
        port=settings.port,
        http=_guarded(limits.head_timeout, limits.connections),
        loop="uvloop",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=limits.finish,
        backlog=1024,
    )
    server = _Server(config, gateway, limits.drain)
    if settings.seen.metrics_port:
        start_http_server(
            settings.seen.metrics_port,
            addr=settings.seen.metrics_host,
            registry=gateway.metrics.registry,
        )
    log("listening", port=settings.port, pid=os.getpid())
    server.run()
    return 0 if server.started else 3
