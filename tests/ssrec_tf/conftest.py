"""A small world with a planted answer: users of one kind love comedies, the others horror."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ssrec_tf.config import SplitConfig, TextConfig
from ssrec_tf.examples import write_examples
from ssrec_tf.splits import make_split
from ssrec_tf.tables import Tables
from ssrec_tf.text_table import TextTable

TEMPLATE = TextConfig(item_template="{title}. {genre}", vocabulary_size=300)


def planted_tables(users=40, items=30, events=16, seed=0, ratings=True, taste=True, moments=0):
    """Ratings 5 or 4 where tastes meet, 1 or 2 where they do not; times ascend.

    Without `taste` everyone loves comedies. With `moments` each event is at one of so many.
    """
    rng = np.random.default_rng(seed)
    genres = np.array(["comedy", "horror"])
    rows = []
    for user in range(users):
        for item in rng.permutation(items)[:events]:
            liked = (user * taste) % 2 == item % 2
            rating = float(rng.integers(4, 6) if liked else rng.integers(1, 3))
            rows.append((f"u{user:02d}", f"i{item:02d}", len(rows), rating, int(liked)))
    names = ["user", "item", "time", "rating", "click"]
    log = pd.DataFrame(rows, columns=names)
    log = log.astype({"rating": np.float32, "click": np.int8, "time": np.int64})
    if not ratings:
        log = log[log["click"] == 1].drop(columns=["rating", "click"]).reset_index(drop=True)
    if moments:
        log["time"] = rng.integers(0, moments, len(log))
    ids = [f"i{item:02d}" for item in range(items)]
    return Tables(
        name="planted",
        interactions=log,
        items=pd.DataFrame(
            {
                "title": [f"film number {item}" for item in range(items)],
                "genre": genres[np.arange(items) % 2],
            },
            index=ids,
        ),
        users=pd.DataFrame(index=[f"u{user:02d}" for user in range(users)]),
        rating_scale=(1.0, 5.0) if ratings else None,
        click_threshold=4.0 if ratings else None,
    )


class World:
    """Tables, split, token table and examples of one planted log."""

    def __init__(self, folder, kind="random", tables=None, **options):
        self.tables = planted_tables(**options) if tables is None else tables
        self.split = make_split(self.tables, SplitConfig(kind=kind, seed=1))
        self.text = TextTable.build(self.tables, self.split, TEMPLATE)
        self.examples = folder / "examples"
        self.info = write_examples(self.tables, self.split, self.examples, max_targets=8, shards=2)


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("random"))


@pytest.fixture(scope="session")
def past_world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("past"), kind="leave_one_out")


@pytest.fixture(scope="session")
def streaming_world(tmp_path_factory):
    """Users come and go at once, and many events share a moment."""
    return World(tmp_path_factory.mktemp("streaming"), kind="time_streaming", moments=60)


@pytest.fixture(scope="session")
def implicit_world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("implicit"), kind="leave_one_out", ratings=False)
