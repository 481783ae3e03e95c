"""Items whose texts read alike: the catalogue's vectors by one version, and their neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from serving import calls
from serving.async_transports import AsyncTransport
from serving.catalogue import Catalogue
from serving.wire import Which

_CHUNK = 256


@dataclass(frozen=True)
class Neighbours:
    """Vectors of a catalogue, float32 [items, width]: standardized, then of length 1.

    A mean of an encoder's states is nearly the same for all texts; only brought to mean 0 and
    deviation 1 over the catalogue do its dimensions tell texts apart.
    """

    version: int | None
    catalogue: Catalogue
    mean: np.ndarray
    deviation: np.ndarray
    vectors: np.ndarray

    @classmethod
    async def build(
        cls, transport: AsyncTransport, catalogue: Catalogue, version: int | None
    ) -> Neighbours:
        """Embed the catalogue by one version, in parts that leave room for other requests."""
        parts, texts = [], [entry.text for entry in catalogue.entries]
        for start in range(0, len(texts), _CHUNK):
            inputs = calls.embed_inputs(texts[start : start + _CHUNK])
            outputs = await transport.predict(
                "embed", inputs, which=Which(version=version), timeout=60.0
            )
            parts.append(calls.vectors(outputs).astype(np.float32))
        raw = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
        mean = raw.mean(axis=0) if len(raw) else np.zeros(raw.shape[1], np.float32)
        deviation = np.maximum(raw.std(axis=0), 1e-6) if len(raw) else np.ones_like(mean)
        return cls(version, catalogue, mean, deviation, _unit((raw - mean) / deviation))

    def nearest(self, vector: np.ndarray, k: int, without: str | None) -> list[tuple[int, float]]:
        """Places and cosines of the nearest items, best first.

        Args:
            vector: float [width], as `embed` gives it.
            k: how many.
            without: id of the item that was asked for.
        """
        query = _unit(((vector - self.mean) / self.deviation)[None])[0]  # [width]
        return self.nearest_to(query, k, without)

    def place_of(self, name: str | None) -> int | None:
        """Where an item of the catalogue stands, by its id."""
        return self._places.get(name) if name is not None else None

    @cached_property
    def _places(self) -> dict[str, int]:
        return {entry.id: place for place, entry in enumerate(self.catalogue.entries)}

    def nearest_to(self, query: np.ndarray, k: int, without: str | None) -> list[tuple[int, float]]:
        """The same, of a vector that is one of `vectors`: float32 [width]."""
        cosines = self.vectors @ query  # [items]
        order = np.argsort(-cosines, kind="stable")[: k + 1]
        kept = [int(place) for place in order if self.catalogue.entries[place].id != without]
        return [(place, float(cosines[place])) for place in kept[:k]]


def _unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return np.asarray(rows / lengths, np.float32)
