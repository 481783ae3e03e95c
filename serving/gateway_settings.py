"""The gateway's settings: one YAML file, every key checked before a port is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from serving.errors import InvalidArgument, NotFound


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelServer(_Section):
    """The model server; `ca` turns TLS on, `certificate` and `key` show who the gateway is."""

    address: str = "localhost:8500"
    name: str = "ssrec"
    timeout: float = Field(default=5.0, gt=0, le=60)
    folder: Path | None = Field(default=None, description="holds the versions; for the catalogue")
    catalogue: Path | None = Field(default=None, description="in the place of the version's own")
    users: Path | None = Field(default=None, description="users' texts by id, as the catalogue")
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class Jwt(_Section):
    """Which tokens are taken; the algorithm is pinned, never read from the token."""

    algorithm: Literal["HS256", "RS256", "ES256", "EdDSA"]
    key: Path = Field(description="shared secret, or the issuer's public key in PEM")
    issuer: str
    audience: str
    leeway: float = Field(default=10.0, ge=0, le=60)


class Access(_Section):
    """Who may ask, and how much; without keys and jwt nobody may."""

    keys: Path | None = None
    jwt: Jwt | None = None
    rate: float = Field(default=50.0, gt=0, description="requests a second a key")
    burst: int = Field(default=100, ge=1)


class Limits(_Section):
    """How much is taken on at once; times in seconds."""

    concurrency: int = Field(default=8, ge=1, description="requests at the model at once")
    queue: int = Field(default=32, ge=0, description="requests that wait for a place")
    wait: float = Field(default=1.0, gt=0, description="how long one waits")
    body_timeout: float = Field(default=5.0, gt=0)
    head_timeout: float = Field(default=5.0, gt=0)
    connections: int = Field(default=512, ge=1)
    drain: float = Field(default=0.0, ge=0, description="not ready for so long, then closed")
    finish: int = Field(default=20, ge=1, description="for requests under way at the end")


class Canary(_Section):
    """A share of the users goes to another label; when it goes wrong, nobody does."""

    stable: str = "stable"
    label: str = "canary"
    share: float = Field(default=0.0, ge=0, le=1)
    window: int = Field(default=200, ge=10, description="newest requests that are compared")
    least: int = Field(default=50, ge=5, description="canary requests before it is judged")
    errors: float = Field(default=0.05, gt=0, description="share of errors beyond the stable one's")
    slower: float = Field(default=2.0, gt=1, description="p95 latency over the stable one's")

    @model_validator(mode="after")
    def _least_within_window(self) -> Canary:
        if self.least > self.window:
            raise ValueError(f"least={self.least} is more than window={self.window}")
        return self


class Seen(_Section):
    """What is kept of requests: drift figures, and a sample of what was served."""

    secret: Path | None = Field(default=None, description="for the HMAC of user ids")
    metrics_port: int = Field(default=0, ge=0, le=65535, description="of Prometheus; 0 is none")
    metrics_host: str = "127.0.0.1"
    drift_window: int = Field(default=2000, ge=100)
    drift_limit: float = Field(default=0.2, gt=0)
    served: Path | None = Field(default=None, description="folder of the served examples")
    sample: float = Field(default=0.0, ge=0, le=1)


class Settings(_Section):
    """All of it."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    page: bool = Field(default=False, description="serve the page at /")
    model: ModelServer = ModelServer()
    access: Access = Access()
    limits: Limits = Limits()
    canary: Canary | None = None
    seen: Seen = Seen()


def load_settings(path: Path) -> Settings:
    """Read the YAML file; its relative paths start where it lies.

    Raises:
        NotFound: it cannot be read.
        InvalidArgument: names the key, what is wrong with it, and the known keys beside it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"{path} cannot be read: {error}") from None
    try:
        body = yaml.safe_load(text) or {}
        settings = Settings.model_validate(body)
    except yaml.YAMLError as error:
        raise InvalidArgument(f"{path} is no YAML: {str(error).splitlines()[0]}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        raise InvalidArgument(f"{path}: {key}: {first['msg']}") from None
    resolved = _resolve(settings, path.parent)
    assert isinstance(resolved, Settings)  # noqa: S101 - for the type checker
    return resolved


def _resolve(section: BaseModel, base: Path) -> BaseModel:
    changed: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            changed[name] = _resolve(value, base)
        elif isinstance(value, Path):
            changed[name] = base / value
    return section.model_copy(update=changed)
