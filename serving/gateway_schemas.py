"""What the gateway takes and gives; limits stand in the schema, so in the OpenAPI page, too."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

MAX_TEXT_BYTES = 4096
MAX_ID_CHARACTERS = 256
MAX_CANDIDATES = 1000
MAX_HISTORY = 1000
MAX_K = 100
MAX_TIME = 10**11


# Bytes of what is not ASCII are counted when the text is looked up: a validator in Python, for
# every text, would take longer than all the rest of a schema. Half a surrogate pair is no string.
Text = Annotated[str, Field(max_length=MAX_TEXT_BYTES, description="at most 4096 bytes of UTF-8")]
Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]
Time = Annotated[int, Field(ge=0, le=MAX_TIME, strict=True, description="seconds since 1970")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Named(_Strict):
    """An item or a user: by `id`, or by `text`; one of the two."""

    id: Id | None = None
    text: Text | None = None

    @model_validator(mode="after")
    def _one(self) -> Named:
        if (self.id is None) == (self.text is None):
            raise PydanticCustomError("one_of", "give id or text, one of the two")
        return self


class Item(Named):
    """A candidate. An item added a minute ago has no id that the model knows: give its text."""


class Event(Item):
    """Something the user did; `rating` where they gave one."""

    rating: Annotated[float, Field(ge=-1e6, le=1e6, strict=True)] | None = None
    time: Time = 0


class _Behaviour(_Strict):
    user: Named | None = None
    history: Annotated[list[Event], Field(max_length=MAX_HISTORY)] = Field(
        default=[], description="oldest first"
    )
    now: Time = 0


class ScoreRequest(_Behaviour):
    """Score candidates, in the order given."""

    candidates: Annotated[list[Item], Field(min_length=1, max_length=MAX_CANDIDATES)]


class RankRequest(ScoreRequest):
    """Rank candidates, the most probable click first."""

    k: Annotated[int, Field(ge=1, le=MAX_K, strict=True)] = 10
    explain: Annotated[bool, Field(strict=True)] = False


class RecommendRequest(_Behaviour):
    """Recommend from the whole catalogue what the history does not hold."""

    k: Annotated[int, Field(ge=1, le=MAX_K, strict=True)] = 10
    explain: Annotated[bool, Field(strict=True)] = False


class SimilarRequest(_Strict):
    """Items of the catalogue whose texts read alike."""

    item: Item
    k: Annotated[int, Field(ge=1, le=MAX_K, strict=True)] = 10


class ExplainRequest(_Behaviour):
    """Why one candidate scores as it does."""

    candidate: Item


class Effect(BaseModel):
    """What something adds to the scores: with it, less without it."""

    rating: float
    click_probability: float


class EventEffect(Effect):
    """Of one event; `index` is its place in the request's history."""

    index: int
    id: str | None = None


class FieldEffect(Effect):
    """Of one field of a text."""

    field: str


class Why(BaseModel):
    """Leave-one-out effects, each measured by the model itself.

    `known` is what the log knows of the item beyond its text; `item_fields` are effects on the
    text's own score.
    """

    events: list[EventEffect]
    user_fields: list[FieldEffect]
    item_fields: list[FieldEffect]
    known: Effect | None = None


class ScoredItem(BaseModel):
    """An item with its scores; `index` is its place among the request's candidates."""

    index: int | None = None
    id: str | None = None
    text: str | None = Field(default=None, description="of an item of the catalogue")
    rating: float
    click_probability: float
    why: Why | None = None


class ScoreResponse(BaseModel):
    """Scored items, and which version of the model scored them."""

    model_version: int | None
    request_id: str
    user_known: bool
    items: list[ScoredItem]


class SimilarItem(BaseModel):
    """An item and the cosine of its standardized text vector with the asked one's."""

    id: str
    text: str
    similarity: float


class SimilarResponse(BaseModel):
    """Items alike, best first."""

    model_version: int | None
    request_id: str
    items: list[SimilarItem]


class TitlesRequest(_Strict):
    """Search the catalogue; for the page."""

    query: Annotated[str, Field(max_length=200)]


class Title(BaseModel):
    """An item of the catalogue."""

    id: str
    text: str


class TitlesResponse(BaseModel):
    """Items found, those that begin with the query first."""

    request_id: str
    items: list[Title]


class ErrorResponse(BaseModel):
    """Every error; `field` names what is wrong, no message repeats a value of the request."""

    code: str
    error: str
    field: str | None = None
    request_id: str


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": text}
    for status, text in {
        400: "not JSON, or not one request",
        401: "no key, or not a valid one",
        408: "the body did not arrive in time",
        411: "no Content-Length",
        413: "the body is larger than 64 KiB",
        415: "not application/json, or a Content-Encoding",
        422: "a field is not as it should be",
        429: "more requests than the key allows",
        503: "overloaded or not ready",
        504: "the model server did not answer in time",
    }.items()
}
