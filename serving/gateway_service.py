"""What each route does: names become a question to the model, its answer becomes items."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from itertools import repeat
from typing import Any

from serving import calls, explaining
from serving.behaviour import Behaviour, rank_rows
from serving.errors import NotFound
from serving.explaining import Effects
from serving.gateway_front import Passing
from serving.gateway_limits import Refusal
from serving.gateway_logs import Pseudonyms, log
from serving.gateway_metrics import Metrics
from serving.gateway_model import ModelSide
from serving.gateway_names import Known, find_behaviour, find_item, find_items
from serving.gateway_schemas import (
    ExplainRequest,
    RankRequest,
    RecommendRequest,
    ScoreRequest,
    SimilarRequest,
)
from serving.gateway_settings import Settings
from serving.served_log import ServedLog, Shown
from serving.similar import Neighbours
from serving.tensors import Outputs
from serving.wire import Which

Body = dict[str, Any]
_ATTEMPTS = 3  # of an answer that needs two calls of one version, while versions change


class Service:
    """Answers requests that were let in."""

    def __init__(self, settings: Settings, model: ModelSide, metrics: Metrics) -> None:
        """Read the secret of the pseudonyms; open the log of served examples if wanted."""
        seen = settings.seen
        self._settings, self._model, self._metrics = settings, model, metrics
        self._pseudonyms = Pseudonyms.load(seen.secret)
        self._served = ServedLog(seen.served, seen.sample) if seen.served else None

    async def score(self, request: ScoreRequest, here: Passing) -> Body:
        """Scores in the order of the candidates."""
        asked = _Asked(self, request, here)
        items = asked.items(request.candidates)
        self.see(asked.behaviour, asked.past, items)
        outputs = await self._rank(asked, items)
        places = range(len(items))
        return asked.answer(outputs.version, _rows(items, outputs, places, places))

    async def rank(self, request: RankRequest, here: Passing) -> Body:
        """The best k of the candidates, the most probable click first."""
        asked = _Asked(self, request, here)
        items = asked.items(request.candidates)
        self.see(asked.behaviour, asked.past, items)
        return await self._of_one_version(lambda: self._ranked(asked, items, request))

    async def recommend(self, request: RecommendRequest, here: Passing) -> Body:
        """The best k of the catalogue; all calls are answered by one version."""
        asked = _Asked(self, request, here)
        self.see(asked.behaviour, asked.past, ())
        return await self._of_one_version(lambda: self._recommend(asked, request))

    async def similar(self, request: SimilarRequest, here: Passing) -> Body:
        """Items of the catalogue whose texts read alike."""
        near = self._model.neighbours
        if near is None or not len(near.catalogue):
            raise Refusal(503, "not_ready", "the catalogue is being read", retry_after=2)
        try:
            found = await self._nearest(near, request)
        except NotFound:  # that version is gone: the catalogue is read by the one that is there
            near = await self._model.reread(near)
            found = await self._nearest(near, request)
        entries = near.catalogue.entries
        rows = [
            {"id": entries[i].id, "text": entries[i].text, "similarity": round(cosine, 6)}
            for i, cosine in found
        ]
        here.fields.update(items=len(rows), version=near.version)
        return {"model_version": near.version, "request_id": here.request_id, "items": rows}

    async def _nearest(self, near: Neighbours, request: SimilarRequest) -> list[tuple[int, float]]:
        item = find_item(near.catalogue, request.item, "item")
        place = near.place_of(item.id)
        if place is not None:
            return near.nearest_to(near.vectors[place], request.k, item.id)
        outputs = await self._model.predict(
            "embed",
            calls.embed_inputs([item.text]),
            who="",
            until=self.deadline(),
            which=Which(version=near.version),
        )
        return near.nearest(calls.vectors(outputs)[0], request.k, item.id)

    async def explain(self, request: ExplainRequest, here: Passing) -> Body:
        """One candidate, and why it scores as it does."""
        asked = _Asked(self, request, here)
        item = find_item(self._model.catalogue, request.candidate, "candidate")
        rows: list[Body] = [{"index": 0, "id": item.id, "text": item.text if item.id else None}]
        version = await self._explain(asked, [item], rows, None)
        return asked.answer(version, rows)

    def deadline(self) -> float:
        """When a request that begins now must be answered."""
        return time.monotonic() + self._settings.model.timeout

    def see(self, behaviour: Behaviour, past: Sequence[Known], candidates: Sequence[Known]) -> None:
        """Count a request for the comparison with training."""
        drift = self._model.drift
        if drift is None:
            return
        drift.see("history_length", float(len(behaviour.events)))
        if behaviour.events:
            newest = behaviour.events[-1]
            drift.see("text_length", float(len(newest.text)))
            drift.see("rating", newest.rating or 0.0)
            drift.see("unknown", float(past[-1].id is None))
        for item in candidates[:10]:
            drift.see("unknown", float(item.id is None))

    def report_drift(self) -> dict[str, float]:
        """PSI by feature, told to Prometheus; what has shifted is logged."""
        report = self._model.drift.report() if self._model.drift else {}
        for name, value in report.items():
            self._metrics.drift.labels(name).set(value)
        limit = self._settings.seen.drift_limit
        shifted = {name: round(value, 3) for name, value in report.items() if value > limit}
        if shifted:
            log("drift", limit=limit, shifted=shifted)
        return report

    async def _of_one_version(self, work: Callable[[], Awaitable[Body]]) -> Body:
        """Answer by several calls; where the version of the first one goes away, begin anew."""
        for _ in range(_ATTEMPTS - 1):
            with suppress(NotFound):
                return await work()
        return await work()

    async def _ranked(self, asked: _Asked, items: Sequence[Known], request: RankRequest) -> Body:
        outputs = await self._rank(asked, items)
        order = outputs["ranking"][0, : request.k].tolist()
        rows = _rows(items, outputs, order, order)
        if request.explain:
            best = [items[place] for place in order]
            same = None if outputs.version is None else Which(version=outputs.version)
            await self._explain(asked, best, rows, same)
        return asked.answer(outputs.version, rows)

    async def _rank(self, asked: _Asked, items: Sequence[Known], which: Which | None = None) -> Any:
        inputs = rank_rows([asked.behaviour], [item.text for item in items])
        return await self._model.predict(
            "rank", inputs, who=asked.who, until=asked.until, which=which
        )

    async def _recommend(self, asked: _Asked, request: RecommendRequest) -> Body:
        inputs = calls.recommend_inputs([asked.behaviour.lines()], request.k)
        first = await self._model.predict("recommend", inputs, who=asked.who, until=asked.until)
        names = [name for name, _ in calls.recommendations(first)[0]]
        if not names:
            return asked.answer(first.version, [])
        items = [self._from_catalogue(name) for name in names]
        same = None if first.version is None else Which(version=first.version)
        scores = await self._rank(asked, items, same)
        if scores.version != first.version:
            raise NotFound("two versions answered")
        rows = _rows(items, scores, range(len(items)), repeat(None))
        if request.explain:
            await self._explain(asked, items, rows, same)
        return asked.answer(first.version, rows)

    def _from_catalogue(self, name: str) -> Known:
        """An item that the model named; the gateway's catalogue may be a version behind."""
        entry = self._model.catalogue.get(name)
        return Known(entry.text, entry.id, entry.pieces) if entry else Known(name, name)

    async def _explain(
        self, asked: _Asked, items: Sequence[Known], rows: list[Body], which: Which | None
    ) -> int | None:
        """Write `why`, and the scores it starts from, into the rows; the version that answered."""
        plan = explaining.plan(asked.behaviour, [item.asked() for item in items])
        outputs = await self._model.predict(
            "rank", plan.inputs(), who=asked.who, until=asked.until, which=which
        )
        for row, effects in zip(rows, plan.effects(outputs), strict=False):
            row.setdefault("rating", round(effects.scores[0], 6))
            row.setdefault("click_probability", round(effects.scores[1], 6))
            row["why"] = _why(effects, asked.past)
        return outputs.version


class _Asked:
    """A request's names, looked up."""

    def __init__(self, service: Service, request: Any, here: Passing) -> None:
        self._service, self._here, self._model = service, here, service._model
        self.until = service.deadline()
        self.behaviour, self.past, self._user_known = find_behaviour(
            self._model.catalogue, self._model.users, request.user, request.history, request.now
        )
        user = request.user.id if request.user else None
        self._user = service._pseudonyms.of(user) if user is not None else None
        if self._user:
            here.fields["user"] = self._user
        self.who = self._user or here.request_id
        self._request = request

    def items(self, candidates: Sequence[Any]) -> list[Known]:
        return find_items(self._model.catalogue, candidates, "candidates")

    def answer(self, version: int | None, rows: list[Body]) -> Body:
        self._here.fields.update(items=len(rows), version=version)
        self._keep(version, rows)
        return {
            "model_version": version,
            "request_id": self._here.request_id,
            "user_known": self._user_known,
            "items": rows,
        }

    def _keep(self, version: int | None, rows: list[Body]) -> None:
        """Write what was served into the log of examples, if this user is of the sample."""
        log_, user = self._service._served, self._user
        if log_ is None or user is None or not log_.sampled(user):
            return
        if self.past and self.past[-1].id and self._request.history[-1].time:
            event = self._request.history[-1]
            log_.did(user, self.past[-1].id, event.rating, event.time)
        shown = [Shown(r["id"], r["rating"], r["click_probability"]) for r in rows if r["id"]]
        if shown:
            log_.showed(user, shown, request=self._here.request_id, version=version)


def _rows(
    items: Sequence[Known], outputs: Outputs, places: Iterable[int], indices: Iterable[int | None]
) -> list[Body]:
    """Items at their places in the answer, with what the request is told as their index."""
    ratings, clicks = (outputs[name][0].tolist() for name in ("rating", "click_probability"))
    return [
        {
            "index": index,
            "id": items[place].id,
            "text": items[place].text if items[place].id else None,
            "rating": round(ratings[place], 6),
            "click_probability": round(clicks[place], 6),
        }
        for place, index in zip(places, indices, strict=False)
    ]


def _why(effects: Effects, past: Sequence[Known]) -> Body:
    def pair(values: tuple[float, float]) -> Body:
        return {"rating": round(values[0], 6), "click_probability": round(values[1], 6)}

    return {
        "events": [{"index": i, "id": past[i].id, **pair(v)} for i, v in effects.events],
        "user_fields": [{"field": name, **pair(v)} for name, v in effects.user_fields],
        "item_fields": [{"field": name, **pair(v)} for name, v in effects.item_fields],
        "known": pair(effects.known) if effects.known else None,
    }
