"""What has become popular of late: a shift of items' log shares, from train rows only.

Reference:
    Ji et al. 2020, "A Re-visit of the Popularity Baseline in Recommender Systems" (popularity
    as of the moment of asking, not of the whole log).
"""

from __future__ import annotations

import numpy as np

_DAY = 86_400  # seconds
_ALL_TIMES = 200.0  # rows of the whole log that stand beside the recent ones


def recent_shift(items: np.ndarray, times: np.ndarray, count: int, days: float) -> np.ndarray:
    """Log share of each item among recent rows, less its log share among all.

    A row counts the less the older it is than the newest, by exp(-age / `days`). Beside them
    stand a few rows of the whole log, so that an item that nobody met of late is rare and not
    impossible.

    Args:
        items: int [rows], from 0 to `count` - 1.
        times: int [rows], seconds since 1970.
        count: of all items.
        days: above 0.

    Returns:
        float32 [count].
    """
    age = (times.max(initial=0) - times) / _DAY  # [rows]
    ever = np.bincount(items, minlength=count) + 1.0
    ever /= ever.sum()
    recent = np.bincount(items, np.exp(-age / days), count)
    share = (recent + _ALL_TIMES * ever) / (recent.sum() + _ALL_TIMES)
    shift: np.ndarray = np.log(share / ever).astype(np.float32)
    return shift
