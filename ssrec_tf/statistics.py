"""Statistics of the labels, from train rows only; they travel in the SavedModel."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from ssrec_tf.tables import Tables
from ssrec_tf.text_table import rating_steps

_LEAST = 1e-3  # a deviation below says nothing


@dataclass(frozen=True)
class LabelStatistics:
    """What the heads need to know of ratings and clicks.

    Without ratings the scale is (0, 1), mean 0 and deviation 1; without clicks the
    share is 0.5.

    `click_beyond_rating`: of each step of the scale, its share of clicks above what a
    straight line through the ratings says, in deviations of that share over the rows; zeros
    where steps say nothing of clicks, or a line says all.
    """

    has_rating: bool
    has_click: bool
    low: float
    high: float
    mean: float
    deviation: float
    click_share: float
    click_beyond_rating: tuple[float, ...] = ()

    @classmethod
    def of(cls, tables: Tables, rows: np.ndarray) -> LabelStatistics:
        """Measure `rows`, which must be train rows."""
        frame = tables.interactions.loc[rows]
        has_rating = "rating" in frame and bool(frame["rating"].notna().any())
        has_click = "click" in frame and frame["click"].nunique() > 1
        scale = tables.rating_scale or (0.0, 1.0)
        return cls(
            has_rating=has_rating,
            has_click=bool(has_click),
            low=float(scale[0]),
            high=float(scale[1]),
            mean=float(frame["rating"].mean()) if has_rating else 0.0,
            deviation=max(float(frame["rating"].std(ddof=0)), _LEAST) if has_rating else 1.0,
            click_share=float(np.clip(frame["click"].mean(), 0.01, 0.99)) if has_click else 0.5,
            click_beyond_rating=_beyond(frame, rating_steps(tables), has_rating and has_click),
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON wants it."""
        return asdict(self)


def _beyond(frame: pd.DataFrame, steps: tuple[float, ...], both: bool) -> tuple[float, ...]:
    """See `LabelStatistics.click_beyond_rating`; a step without rows is as its neighbours."""
    if not both:
        return (0.0,) * len(steps)
    rows = frame[["rating", "click"]].dropna()
    grid = np.asarray(steps)
    nearest = np.searchsorted((grid[1:] + grid[:-1]) / 2, rows["rating"].to_numpy())  # [rows]
    count = np.bincount(nearest, minlength=len(grid))
    clicks = np.bincount(nearest, rows["click"].to_numpy(), len(grid))
    met = count > 0
    share = np.interp(grid, grid[met], clicks[met] / count[met])
    of_row, ratings = share[nearest], grid[nearest]
    deviation = of_row.std()
    if deviation < _LEAST or ratings.std() < _LEAST:
        return (0.0,) * len(steps)
    slope = np.cov(ratings, of_row, ddof=0)[0, 1] / ratings.var()
    beyond = (share - of_row.mean() - slope * (grid - ratings.mean())) / deviation
    return tuple(round(float(value), 6) for value in beyond)
