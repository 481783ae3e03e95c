"""The gateway in front of the model server: ids or raw text in, items with scores and reasons out.

`python -m serving gateway settings.yaml`; see docs/serving.md.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, cast, get_type_hints

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from serving import errors
from serving.async_transports import AsyncTransport
from serving.gateway_auth import Door
from serving.gateway_docs import openapi_page
from serving.gateway_front import Front, error_body, passing
from serving.gateway_limits import RETRY_AFTER_SECONDS, Refusal
from serving.gateway_logs import log_fault
from serving.gateway_metrics import Metrics
from serving.gateway_model import ModelSide, connector
from serving.gateway_page import find_titles, page
from serving.gateway_schemas import (
    ERRORS,
    ExplainRequest,
    RankRequest,
    RecommendRequest,
    ScoreRequest,
    ScoreResponse,
    SimilarRequest,
    SimilarResponse,
    TitlesRequest,
    TitlesResponse,
)
from serving.gateway_service import Service
from serving.gateway_settings import Settings

_DRIFT_SECONDS = 30.0
# What an error of the model server means to who asks the gateway; its text stays here.
_MEANINGS: tuple[tuple[type[errors.ServingError], int, str, str], ...] = (
    (errors.InvalidArgument, 400, "refused", "the model refuses these values"),
    (errors.FailedPrecondition, 404, "unsupported", "this model has no such signature"),
    (errors.Overloaded, 503, "overloaded", "the model server is overloaded; try again later"),
    (errors.DeadlineExceeded, 504, "deadline", "the model server did not answer in time"),
    (errors.NotFound, 503, "not_ready", "no version of the model answers yet; try again later"),
    (errors.Unavailable, 503, "not_ready", "the model server cannot be reached; try again later"),
    (errors.ServingError, 502, "model", "the model server failed"),
)


class Gateway:
    """The application and what it stands on; call it as ASGI."""

    def __init__(self, settings: Settings, transport: AsyncTransport | None = None) -> None:
        """Read every file that the settings name.

        Raises:
            ServingError: one of them cannot be read.
        """
        self.settings, self.metrics = settings, Metrics()
        self._door = Door(settings.access)
        self.draining = False
        self.model = ModelSide(settings, self.metrics)
        self.service = Service(settings, self.model, self.metrics)
        self._connect = connector(settings.model) if transport is None else lambda: transport
        self.api = _api(self)
        self.front = Front(self.api, self._door, settings.limits, self.metrics)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        await self.front(scope, receive, send)

    @asynccontextmanager
    async def running(self, _: FastAPI) -> AsyncIterator[None]:
        """Follow the model server's versions and the drift while the application runs."""
        self.model.transport = self._connect()
        tasks = [asyncio.create_task(work) for work in (self.model.follow(), self._watch_drift())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            await self.model.transport.close()

    async def _watch_drift(self) -> None:
        while True:
            await asyncio.sleep(_DRIFT_SECONDS)
            try:
                self.service.report_drift()
            except Exception as error:  # the loop must go on
                log_fault("drift", error)


def _api(gateway: Gateway) -> FastAPI:
    api = FastAPI(
        title="ssrec gateway",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        lifespan=gateway.running,
        redirect_slashes=False,
        # FastAPI's own would tell what was wrong with a value, and the value with it.
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    api.router.route_class = _Lean
    _add_models(api, gateway)
    _add_pages(api, gateway)
    if gateway.settings.page:
        _add_page(api, gateway)
    _add_errors(api)
    return api


class _Lean(APIRoute):
    """A route whose body is read without FastAPI's search for what else a handler might want."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request: `(request) -> response`."""
        if self.body_field is None:
            return super().get_route_handler()
        answer, model = self.endpoint, get_type_hints(self.endpoint)["body"]

        async def handle(request: Request) -> Response:
            body = _parsed(await request.body(), model)
            return cast(Response, await answer(body=body, request=request))

        return handle


def _parsed(body: bytes, model: type[BaseModel]) -> BaseModel:
    try:
        return model.model_validate(json.loads(body))
    except ValidationError as error:
        raise RequestValidationError(
            error.errors(include_url=False, include_input=False, include_context=False)
        ) from None
    except ValueError:
        raise RequestValidationError([{"type": "json_invalid", "loc": (), "msg": ""}]) from None


def _add_models(api: FastAPI, gateway: Gateway) -> None:
    service = gateway.service
    options: Any = {"responses": ERRORS}

    @api.post("/v1/score", response_model=ScoreResponse, **options)
    async def score(body: ScoreRequest, request: Request) -> Response:
        """Score candidates, in the order given."""
        return _json(await service.score(body, passing(request.scope)))

    @api.post("/v1/rank", response_model=ScoreResponse, **options)
    async def rank(body: RankRequest, request: Request) -> Response:
        """Rank candidates, the most probable click first."""
        return _json(await service.rank(body, passing(request.scope)))

    @api.post("/v1/recommend", response_model=ScoreResponse, **options)
    async def recommend(body: RecommendRequest, request: Request) -> Response:
        """Recommend from the whole catalogue what the history does not hold."""
        return _json(await service.recommend(body, passing(request.scope)))

    @api.post("/v1/similar", response_model=SimilarResponse, **options)
    async def similar(body: SimilarRequest, request: Request) -> Response:
        """Items of the catalogue whose texts read alike."""
        return _json(await service.similar(body, passing(request.scope)))

    @api.post("/v1/explain", response_model=ScoreResponse, **options)
    async def explain(body: ExplainRequest, request: Request) -> Response:
        """Why one candidate scores as it does: by event and by field, each left out."""
        return _json(await service.explain(body, passing(request.scope)))


def _add_pages(api: FastAPI, gateway: Gateway) -> None:
    @api.get("/health")
    async def health() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @api.get("/ready", responses={503: ERRORS[503]})
    async def ready() -> dict[str, Any]:
        """Requests are answered: a version is available, and the process is not about to end."""
        if gateway.draining:
            raise Refusal(503, "draining", "about to end", retry_after=5)
        version = gateway.model.version
        if version is None:
            raise Refusal(503, "not_ready", "no version of the model answers yet", retry_after=1)
        return {"status": "ready", "model_version": version}

    @api.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        """The OpenAPI description as a page that loads nothing from elsewhere."""
        policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
        return HTMLResponse(
            openapi_page(api.openapi()), headers={"content-security-policy": policy}
        )


def _add_page(api: FastAPI, gateway: Gateway) -> None:
    @api.get("/", include_in_schema=False)
    async def root() -> HTMLResponse:
        """The page; what it shows needs a key."""
        html, policy = page()
        return HTMLResponse(html, headers={"content-security-policy": policy})

    @api.post("/v1/titles", response_model=TitlesResponse, responses=ERRORS)
    async def titles(body: TitlesRequest, request: Request) -> Response:
        """Items of the catalogue whose texts hold the words."""
        found = find_titles(gateway.model.catalogue, body.query)
        rows = [{"id": entry.id, "text": entry.text} for entry in found]
        return _json({"request_id": passing(request.scope).request_id, "items": rows})


def _add_errors(api: FastAPI) -> None:
    @api.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> Response:
        return _error(request, error.status, error.code, error.message, error.field)

    @api.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        where, message = _first(error)
        status = 400 if where == "body" else 422
        return _error(request, status, "invalid", message, where)

    @api.exception_handler(HTTPException)
    async def refused_by_framework(request: Request, error: HTTPException) -> Response:
        message = {404: "no such path", 405: "no such method here"}.get(
            error.status_code, "refused"
        )
        return _error(request, error.status_code, "refused", message, None, error.headers)

    @api.exception_handler(errors.ServingError)
    async def failed(request: Request, error: errors.ServingError) -> Response:
        _, status, code, message = next(row for row in _MEANINGS if isinstance(error, row[0]))
        passing(request.scope).fields["model_error"] = type(error).__name__
        return _error(request, status, code, message, None)

    @api.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> Response:
        return _error(request, 500, "fault", "a fault of ours; report it", None)


def _first(error: RequestValidationError) -> tuple[str, str]:
    """Where the first mistake is, and what it is, without a word of the request."""
    first = error.errors()[0]
    path = [part for part in first["loc"] if part != "body"]
    message = str(first["msg"])
    if first["type"] == "json_invalid":
        return "body", "not JSON"
    if first["type"] == "extra_forbidden":  # the key's name is the request's own
        path, message = path[:-1], "holds a field that is not known here"
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return where.lstrip(".") or "body", message


def _error(
    request: Request,
    status: int,
    code: str,
    message: str,
    where: str | None,
    headers: Any = None,
) -> Response:
    here = passing(request.scope)
    here.fields["code"] = code
    more = dict(headers or {})
    if status in (429, 503):
        more["retry-after"] = str(RETRY_AFTER_SECONDS)
    return Response(
        error_body(here, code, message, where), status, more, media_type="application/json"
    )


def _json(body: Any) -> Response:
    return Response(
        json.dumps(body, ensure_ascii=False, allow_nan=False), media_type="application/json"
    )


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; requests under way are answered first; the exit code."""
    from serving.gateway_server import serve

    return serve(Gateway(settings), settings)
