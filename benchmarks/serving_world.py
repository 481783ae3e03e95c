"""A SavedModel to measure, and requests to it: MovieLens-100k, an encoder of any size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.measuring import ROOT
from serving.servable import Servable
from ssrec_tf import datasets, learning
from ssrec_tf.backbones import create_backbone
from ssrec_tf.config import load_config
from ssrec_tf.encoders import Encoder
from ssrec_tf.exporting import export
from ssrec_tf.recommenders import Indexed, Recommender
from ssrec_tf.rendering import render_behaviour, render_event
from ssrec_tf.splits import make_split
from ssrec_tf.statistics import LabelStatistics
from ssrec_tf.text_table import TextTable

Feed = dict[str, np.ndarray]


@dataclass(frozen=True)
class ServedWorld:
    """A model, not trained, for speed hangs on no weight; and its servable."""

    model: Recommender
    servable: Servable

    @classmethod
    def make(cls, folder: Path, *, layers: int, width: int) -> ServedWorld:
        """Build, store the catalogue's vectors, export, load as TensorFlow Serving does."""
        config = load_config(ROOT / "configs" / "movielens-100k.yaml")
        tables = datasets.load("movielens-100k")
        split = make_split(tables, config.split)
        text = TextTable.build(tables, split, config.text)
        sizes = {"num_layers": layers, "num_heads": width // 32, "hidden_dim": width}
        sizes["intermediate_dim"] = 4 * width
        encoder = Encoder(
            create_backbone("bert", sizes, text.vocabulary.size, 0.0), text.vocabulary
        )
        statistics = LabelStatistics.of(tables, split.train)
        train = replace(config.train, loop=replace(config.train.loop, steps=1))
        model = learning.make_recommender(encoder, text, statistics, train)
        if isinstance(model, Indexed):
            model.store_items()
        export(model, folder, max_history=train.max_history, card={"name": "benchmark"})
        return cls(model, Servable(folder, 1))

    def rank_request(self, rng: np.random.Generator, candidates: int, history: int) -> Feed:
        """One user's known events, and known candidates, by id."""
        ids = np.array(self.model.text.item_ids, dtype=object)
        times = 881_250_949 + 600 * np.arange(history)
        return {
            "user": _bytes([self._user(rng)]),
            "history": _bytes([rng.choice(ids, history, replace=False)]),
            "history_ratings": rng.integers(1, 6, [1, history]).astype(np.float32),
            "history_times": times[None].astype(np.int64),
            "now": np.array([times[-1] + 600]),
            "candidates": _bytes([rng.choice(ids, candidates, replace=candidates > len(ids))]),
        }

    def raw_request(self, rng: np.random.Generator, pairs: int, history: int, *, new: bool) -> Feed:
        """Behaviours and items as texts; items that the catalogue lacks if `new`."""
        texts = self.model.text.item_texts
        behaviours, items = [], []
        for _ in range(pairs):
            events = rng.choice(len(texts), history, replace=False)
            lines = [
                render_event(texts[item], float(rng.integers(1, 6)), 881_250_949 + 600 * place)
                for place, item in enumerate(events)
            ]
            behaviours.append(render_behaviour(self._user(rng), lines, 882_000_000))
            two = rng.choice(len(texts), 2, replace=False)  # a text that nothing has
            items.append(f"{texts[two[0]]} and {texts[two[1]]}" if new else texts[two[0]])
        return {"behaviour": _bytes(behaviours), "item": _bytes(items)}

    def _user(self, rng: np.random.Generator) -> str:
        return str(self.model.text.user_texts[rng.integers(len(self.model.text.user_texts))])


def as_raw(world: ServedWorld, request: Feed) -> Feed:
    """The pairs of a rank request as raw strings: the same question by the other signature."""
    text = world.model.text
    names = dict(zip(text.item_ids, text.item_texts, strict=True))
    events = [
        render_event(names[item.decode()], float(rating), int(time))
        for item, rating, time in zip(
            request["history"][0],
            request["history_ratings"][0],
            request["history_times"][0],
            strict=True,
        )
    ]
    user, now = request["user"][0].decode(), int(request["now"][0])
    items = [names[item.decode()] for item in request["candidates"][0]]
    behaviour = render_behaviour(user, events, now)
    return {"behaviour": _bytes([behaviour] * len(items)), "item": _bytes(items)}


def _bytes(texts: object) -> np.ndarray:
    """Strings as a session takes them: an object array of bytes."""
    array = np.array(texts, dtype=object)
    flat = [str(text).encode() for text in array.ravel()]
    return np.array(flat, dtype=object).reshape(array.shape)
