"""The exponent by which a cost grows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import nnls


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
    """The same exponent with a fixed cost taken off: cost = c + a * size^b, c and a >= 0.

    Tracing a graph takes seconds whatever the size; left in, they hide a growth that only
    large sizes show. b is searched for; relative errors count.
    """
    x, y = np.asarray(sizes, float), np.asarray(costs, float)
    x = x / x.max()
    best, found = np.inf, 1.0
    for power in np.arange(0.2, 3.0, 0.01):
        matrix = np.stack([np.ones_like(x), x**power], axis=1) / y[:, None]  # [sizes, 2]
        _, error = nnls(matrix, np.ones_like(y))
        if error < best:
            best, found = error, float(power)
    return found
