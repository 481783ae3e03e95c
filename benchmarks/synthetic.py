"""A seeded log with titles of words, popular and rare items, busy and idle users."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ssrec_tf.config import DataConfig, TableConfig

_SYLLABLES = ("ka", "ro", "mi", "ten", "da", "lor", "vi", "san", "el", "pu", "ber", "no")
_GENRES = ("Action", "Comedy", "Drama", "Horror", "Romance", "Sci-Fi", "Thriller", "War")
ROWS_AN_ITEM, ROWS_A_USER = 60, 100


DATA = DataConfig(
    interactions=TableConfig(
        "log.parquet", {name: name for name in ("user", "item", "rating", "time")}
    ),
    items=(
        TableConfig(
            "items.parquet",
            {name: name for name in ("item", "title", "genres", "year")},
            kinds={"genres": "category", "year": "number"},
        ),
    ),
    rating_scale=(1.0, 5.0),
    click_threshold=4.0,
)
"""What reads the two files."""


def write_log(folder: Path, rows: int, seed: int = 0) -> None:
    """Write `log.parquet` and `items.parquet`.

    Word frequencies, the popularity of items and the activity of users follow Zipf's law.

    Args:
        folder: exists.
        rows: interactions; there is an item for 60 and a user for 100 of them.
        seed: of all draws.
    """
    rng = np.random.default_rng(seed)
    items, users = max(20, rows // ROWS_AN_ITEM), max(10, rows // ROWS_A_USER)
    _items(rng, items).to_parquet(folder / "items.parquet")
    log = pd.DataFrame(
        {
            "user": np.char.add("u", _zipf(rng, users, rows, 0.6).astype(str)),
            "item": np.char.add("i", _zipf(rng, items, rows, 0.9).astype(str)),
            "rating": rng.choice(np.arange(1.0, 6.0), rows, p=[0.06, 0.11, 0.27, 0.34, 0.22]),
            "time": 880_000_000 + np.arange(rows),  # no two rows are the same
        }
    )
    log.to_parquet(folder / "log.parquet", row_group_size=1_000_000)


def _items(rng: np.random.Generator, count: int) -> pd.DataFrame:
    """Titles of one to five words, one to three genres, a year."""
    parts = rng.integers(0, len(_SYLLABLES), [max(200, int(30 * count**0.5)), 3])
    words = ["".join(_SYLLABLES[i] for i in row).capitalize() for row in parts]
    sizes = rng.integers(1, 6, count)
    drawn = [words[i] for i in _zipf(rng, len(words), int(sizes.sum()), 1.0)]
    ends = np.cumsum(sizes)
    titles = [" ".join(drawn[e - s : e]) for s, e in zip(sizes, ends, strict=True)]
    kinds = rng.integers(0, len(_GENRES), [count, 3])
    return pd.DataFrame(
        {
            "item": np.char.add("i", np.arange(count).astype(str)),
            "title": titles,
            "genres": ["|".join(dict.fromkeys(_GENRES[i] for i in row)) for row in kinds],
            "year": rng.integers(1930, 2020, count),
        }
    )


def _zipf(rng: np.random.Generator, ranks: int, draws: int, power: float) -> np.ndarray:
    """Ranks drawn by 1 / (rank + 10)^power: int64 [draws]."""
    weights = (np.arange(ranks) + 10.0) ** -power
    edges = np.cumsum(weights / weights.sum())
    return np.minimum(np.searchsorted(edges, rng.random(draws)), ranks - 1)
