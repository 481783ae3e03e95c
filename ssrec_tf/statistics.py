"""Statistics of the labels, from train rows only; they travel in the SavedModel."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ssrec_tf.tables import Tables


@dataclass(frozen=True)
class LabelStatistics:
    """What the heads need to know of ratings and clicks.

    Without ratings the scale is (0, 1), mean 0 and deviation 1; without clicks the
    share is 0.5.
    """

    has_rating: bool
    has_click: bool
    low: float
    high: float
    mean: float
    deviation: float
    click_share: float

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
            deviation=max(float(frame["rating"].std(ddof=0)), 1e-3) if has_rating else 1.0,
            click_share=float(np.clip(frame["click"].mean(), 0.01, 0.99)) if has_click else 0.5,
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON wants it."""
        return asdict(self)
