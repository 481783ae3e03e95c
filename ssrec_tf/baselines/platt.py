"""From a score to a probability of a click."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_RIDGE = 1e-6  # keeps the slope of a constant score at 0
_STEPS = 50


@dataclass(frozen=True)
class Platt:
    """Logistic regression on one score: p = 1 / (1 + exp(-(slope * score + offset))).

    Reference:
        Platt 1999, "Probabilistic outputs for support vector machines", with his
        smoothed targets, which keep p off 0 and 1 when all rows have one label.
    """

    slope: float
    offset: float

    def __call__(self, score: np.ndarray) -> np.ndarray:
        """Return probabilities, float64 of the score's shape."""
        return _sigmoid(self.slope * score + self.offset)

    @classmethod
    def fit(cls, score: np.ndarray, click: np.ndarray) -> Platt:
        """Fit by Newton's method.

        Args:
            score: float [n], n > 0.
            click: 0 or 1, [n].
        """
        clicks = float((click > 0).sum())
        others = len(click) - clicks
        target = np.where(click > 0, (clicks + 1) / (clicks + 2), 1 / (others + 2))
        middle, spread = float(np.mean(score)), float(np.std(score)) or 1.0
        x = np.stack([(score - middle) / spread, np.ones(len(score))], axis=1)  # [n, 2]
        start = float(np.mean(target))
        weights = np.array([0.0, np.log(start / (1 - start))])
        loss = _loss(x, target, weights)
        for _ in range(_STEPS):
            p = _sigmoid(x @ weights)
            gradient = x.T @ (p - target) + _RIDGE * weights
            curvature = (x.T * (p * (1 - p))) @ x + _RIDGE * np.eye(2)
            step = np.linalg.solve(curvature, gradient)
            # Far from the optimum a whole step can overshoot: halve it until it helps.
            while (trial := _loss(x, target, weights - step)) > loss + 1e-12 * abs(loss):
                step = step / 2
            weights, loss = weights - step, trial
            if np.abs(step).max() < 1e-10:
                break
        return cls(float(weights[0] / spread), float(weights[1] - weights[0] * middle / spread))


def _loss(x: np.ndarray, target: np.ndarray, weights: np.ndarray) -> float:
    logit = x @ weights
    ridge = _RIDGE / 2 * float(weights @ weights)
    return float((np.logaddexp(0, logit) - target * logit).sum()) + ridge


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    probability: np.ndarray = np.exp(-np.logaddexp(0, -logit))
    return probability
