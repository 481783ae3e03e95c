"""Scores of several models on one part of a split -> one report, under one protocol card."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scores:
    """What a model says about the evaluated rows, and about the whole catalogue.

    Attributes:
        rating: float [n], in the rating scale; None where the log has no ratings.
        click: float [n], a probability; None where the log has no clicks.
        ranking: float [ranked users, items], higher is better, users in the order of
            `ranking_users` and items in that of `tables.items.index`; items the user has
            seen in train at -inf. None where nothing was ranked.
    """

    rating: np.ndarray | None = None
    click: np.ndarray | None = None
    ranking: np.ndarray | None = None
