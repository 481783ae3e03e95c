"""Biases: against scikit-learn's ridge regression on who rated what."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from ssrec_tf.biases import biases


def test_they_solve_the_ridge_regression():
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 7, 60), rng.integers(0, 5, 60)
    ratings = rng.normal(size=60)
    damping = 3.0, 8.0
    of_user, of_item = biases(users, items, ratings, shape=(8, 6), damping=damping)
    # A column divided by the root of its damping is held by a penalty of 1.
    design = np.concatenate(
        [np.eye(8)[users] / np.sqrt(damping[0]), np.eye(6)[items] / np.sqrt(damping[1])], axis=1
    )
    wanted = Ridge(alpha=1.0, fit_intercept=False).fit(design, ratings).coef_
    assert of_user == pytest.approx(wanted[:8] / np.sqrt(damping[0]), abs=1e-3)
    assert of_item == pytest.approx(wanted[8:] / np.sqrt(damping[1]), abs=1e-3)
    assert of_user[7] == of_item[5] == 0.0  # of no rating


def test_of_nothing():
    none = np.empty(0, np.int64)
    of_user, of_item = biases(none, none, np.empty(0), shape=(2, 3), damping=(1.0, 1.0))
    assert of_user.tolist() == [0.0] * 2
    assert of_item.tolist() == [0.0] * 3
