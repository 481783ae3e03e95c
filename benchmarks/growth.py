"""The exponent by which a cost grows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> tuple[float, float]:
    """Fit cost = a * size^b by least squares on the logarithms.

    Args:
        sizes: at least two distinct ones, above 0.
        costs: as many, above 0.

    Returns:
        b and a.
    """
    slope, intercept = np.polyfit(np.log(sizes), np.log(costs), 1)
    return float(slope), float(np.exp(intercept))


def marginal(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The same exponent with a fixed cost taken off: cost = c + a * size^b.

    Starting Python and TensorFlow takes seconds whatever the size; left in, they hide a
    growth that only large sizes show. c is chosen on a grid below the least cost, so that
    the logarithms fit best.
    """
    best, found = np.inf, 1.0
    x = np.log(sizes)
    for share in np.linspace(0.0, 0.98, 50):
        y = np.log(np.asarray(costs) - share * min(costs))
        slope, intercept = np.polyfit(x, y, 1)
        error = float(np.sum((y - slope * x - intercept) ** 2))
        if error < best:
            best, found = error, float(slope)
    return found
