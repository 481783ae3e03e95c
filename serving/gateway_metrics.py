"""The gateway's figures for Prometheus; labels come from fixed sets, never from a request."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """All of them, in a registry of their own."""

    def __init__(self) -> None:
        """Begin at zero."""
        registry = self.registry = CollectorRegistry()

        self.requests = Counter(
            "gateway_requests_total", "Answers", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "gateway_request_seconds",
            "From head to answer",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.model_seconds = Histogram(
            "gateway_model_seconds",
            "Calls of the model server",
            ["signature", "label"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.model_errors = Counter(
            "gateway_model_errors_total",
            "Calls of the model server that failed",
            ["kind", "label"],
            registry=registry,
        )
        self.waiting = Gauge(
            "gateway_queue_waiting", "Requests that wait for a place", registry=registry
        )
        self.ready = Gauge("gateway_ready", "1 while requests are answered", registry=registry)
        self.version = Gauge(
            "gateway_model_version", "Newest version that answers", registry=registry
        )
        self.canary_share = Gauge(
            "gateway_canary_share", "Share of users on the canary label", registry=registry
        )
        self.rollbacks = Counter(
            "gateway_canary_rollbacks_total", "Canaries taken back", registry=registry
        )
        self.drift = Gauge(
            "gateway_drift_psi",
            "Population stability index of requests against train rows",
            ["feature"],
            registry=registry,
        )
