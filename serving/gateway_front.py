"""The gateway's outer door: every request passes here before a framework sees it."""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from serving.gateway_auth import Door
from serving.gateway_limits import (
    Admission,
    Refusal,
    check_depth,
    check_head,
    overloaded,
    read_body,
)
from serving.gateway_logs import log, log_fault, spent_at_model
from serving.gateway_metrics import Metrics
from serving.gateway_settings import Limits
from serving.gateway_traces import request_span

API = frozenset(
    {"/v1/rank", "/v1/score", "/v1/recommend", "/v1/similar", "/v1/explain", "/v1/titles"}
)
OPEN = frozenset({"/health", "/ready", "/docs", "/openapi.json", "/"})
CROWDED = "crowded"  # in a scope: there are more connections than are held
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
Scope = MutableMapping[str, Any]


@dataclass
class Passing:
    """One request on its way; `fields` is what its log line says beyond the usual."""

    request_id: str
    route: str
    began: float
    status: int = 0
    fields: dict[str, Any] = field(default_factory=dict)


def passing(scope: Scope) -> Passing:
    """The request that a scope belongs to."""
    found = scope["passing"]
    assert isinstance(found, Passing)  # noqa: S101 - for the type checker
    return found


class Front:
    """Authenticates, limits, logs and counts; then lets the application answer."""

    def __init__(self, app: Any, door: Door, limits: Limits, metrics: Metrics) -> None:
        """Stand before `app`."""
        self._app, self._door, self._limits, self._metrics = app, door, limits, metrics
        self.admission = Admission(limits)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Any, send: Any) -> None:
        path = scope["path"]
        route = path if path in API or path in OPEN else "other"  # a path may hold anything
        here = Passing(secrets.token_hex(8), route, time.perf_counter())
        scope["passing"] = here
        spent = spent_at_model(anew=True)

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                here.status = message["status"]
                tail = [*_HEADERS, (b"x-request-id", here.request_id.encode())]
                message["headers"] = [*message.get("headers", ()), *tail]
            await send(message)

        try:
            await self._pass(scope, receive, sending, here)
        except Refusal as refusal:
            await _refuse(sending, here, refusal)
        except Exception as error:
            log_fault("fault", error, request_id=here.request_id, route=here.route)
            if not here.status:
                await _refuse(sending, here, Refusal(500, "fault", "a fault of ours; report it"))
        finally:
            if spent:
                here.fields["model_ms"] = round(sum(spent) * 1000, 2)
            self._note(scope, here)

    async def _pass(self, scope: Scope, receive: Any, send: Any, here: Passing) -> None:
        if here.route in OPEN and scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        if scope.get(CROWDED):
            raise overloaded("too many connections", hang_up=True)
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, value)
        caller = self._door.find(headers)
        if caller is None:
            raise Refusal(401, "unauthorized", "send a valid key in X-API-Key or a bearer token")
        here.fields["caller"] = caller.name
        with request_span(here, headers):
            await self._let_in(scope, receive, send, here, headers)

    async def _let_in(
        self,
        scope: Scope,
        receive: Any,
        send: Any,
        here: Passing,
        headers: Mapping[bytes, bytes],
    ) -> None:
        wait = self._door.buckets.take(here.fields["caller"])
        if wait > 0:
            raise Refusal(429, "rate", "more requests than this key allows", retry_after=wait)
        if here.route not in API or scope["method"] != "POST":
            await self._app(scope, receive, send)  # which says 404 or 405
            return
        body = await read_body(receive, check_head(headers), self._limits.body_timeout)
        check_depth(body)
        async with self.admission.place():
            self._metrics.waiting.set(self.admission.waiting)
            await self._app(scope, _replay(body, receive), send)

    def _note(self, scope: Scope, here: Passing) -> None:
        seconds = time.perf_counter() - here.began
        status = here.status or 499  # the client went away
        self._metrics.requests.labels(here.route, str(status)).inc()
        self._metrics.seconds.labels(here.route).observe(seconds)
        self._metrics.waiting.set(self.admission.waiting)
        if here.route in ("/health", "/ready") and status < 400:
            return
        log(
            "request",
            request_id=here.request_id,
            method=scope["method"] if scope["method"] in ("GET", "POST", "HEAD") else "other",
            route=here.route,
            status=status,
            ms=round(seconds * 1000, 2),
            **here.fields,
        )


def _replay(body: bytes, receive: Any) -> Any:
    """A `receive` that gives the body that was read, then what the client does next."""
    given = False

    async def again() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(send: Any, here: Passing, refusal: Refusal) -> None:
    here.fields["code"] = refusal.code
    body = error_body(here, refusal.code, refusal.message, refusal.field)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if refusal.retry_after is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(refusal.retry_after))).encode()))
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    # Where the body may not have been read, too.
    if refusal.hang_up or refusal.status in (400, 408, 411, 413, 415):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def error_body(here: Passing, code: str, message: str, where: str | None) -> bytes:
    """The JSON of an error."""
    shown = f"{where}: {message}" if where else message
    body = {"code": code, "error": shown, "field": where, "request_id": here.request_id}
    return json.dumps(body).encode()
