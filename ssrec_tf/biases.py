"""Biases of users and items: a ridge regression of ratings on who rated what."""

from __future__ import annotations

import numpy as np

_ROUNDS = 10


def biases(
    users: np.ndarray,
    items: np.ndarray,
    ratings: np.ndarray,
    *,
    shape: tuple[int, int],
    damping: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Find what a user and an item add to the mean rating.

    They minimise sum (r - b_u - b_i)^2 + damping_u sum b_u^2 + damping_i sum b_i^2, by turns, as
    each has a closed form given the other.

    Args:
        users: int [ratings], codes from 0.
        items: int [ratings], codes from 0.
        ratings: float [ratings], their mean taken off.
        shape: how many users and items there are.
        damping: of users and of items, in ratings: so many of 0 are added to each.

    Returns:
        float64 [users] and [items]; 0 for one of no rating.

    Reference:
        Koren 2010, "Factor in the neighbors", section 2.1.
    """
    user_rows = np.bincount(users, minlength=shape[0]) + damping[0]
    item_rows = np.bincount(items, minlength=shape[1]) + damping[1]
    of_user = np.zeros(shape[0])
    for _ in range(_ROUNDS):
        left = ratings - of_user[users]
        of_item = np.bincount(items, weights=left, minlength=shape[1]) / item_rows
        left = ratings - of_item[items]
        of_user = np.bincount(users, weights=left, minlength=shape[0]) / user_rows
    return of_user, of_item
