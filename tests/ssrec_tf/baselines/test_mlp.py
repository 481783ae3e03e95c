from functools import partial

import numpy as np
import pandas as pd
import pytest

from ssrec_tf.baselines import Bias, MultilayerPerceptron
from ssrec_tf.baselines.mlp import attribute_features
from ssrec_tf.splits import Split
from ssrec_tf.tables import Tables
from tests.ssrec_tf.baselines.conftest import Contract, error_of


@pytest.mark.parametrize(
    "kind", [partial(MultilayerPerceptron, width=16, learning_rate=0.05, epochs=6)]
)
class TestContract(Contract):
    pass


def crossed():
    """Red users love hot items and blue ones cold items, which no sum tells; test items are new."""
    rng = np.random.default_rng(0)
    users, items = 60, 60
    user, item = (grid.ravel() for grid in np.meshgrid(np.arange(users), np.arange(items)))
    shown = rng.random(len(user)) < 0.3
    user, item = user[shown], item[shown]
    log = pd.DataFrame({"user": [f"u{i}" for i in user], "item": [f"i{i}" for i in item]})
    log["rating"] = np.where(user % 2 == item % 2, 5.0, 1.0)
    names = {"user": pd.Index([f"u{i}" for i in range(users)]), "item": pd.Index(
        [f"i{i}" for i in range(items)]
    )}  # fmt: skip
    colours = pd.array([["red", "blue"][i % 2] for i in range(users)], "str")
    heats = 20.0 - 30.0 * (np.arange(items) % 2)
    tables = Tables(
        "crossed",
        log,
        pd.DataFrame({"heat": heats}, index=names["item"]),
        pd.DataFrame({"colour": colours}, index=names["user"]),
        (1.0, 5.0),
    )
    places = np.arange(len(log))
    parts = [places[item < 40], places[(item >= 40) & (item < 50)], places[item >= 50]]
    return tables, Split(*parts, "cold_item", "d", False)


def test_it_crosses_attributes_of_users_and_of_cold_items():
    model = MultilayerPerceptron(width=32, learning_rate=0.01, epochs=60)
    assert error_of(Bias(), *crossed()) > 1.9
    assert error_of(model, *crossed()) < 0.5


def test_features_by_hand():
    frame = pd.DataFrame(
        {
            "genres": pd.array(["a, b", "b", None, "a, c"], "str"),
            "year": [1990.0, 2000.0, np.nan, 1995.0],
            "empty": [np.nan] * 4,
            "alone": pd.array(["p", "q", "r", "s"], "str"),
        }
    )
    found = attribute_features(frame)
    assert found.dtype == np.float32
    step = 1.5**0.5  # of 1990, 1995, 2000 in deviations
    assert sorted(found.T.round(4).tolist()) == sorted(
        [
            [0, 0, 0, 0, 0],  # the last column
            [0, 0, 0, 0, 0],  # `empty`
            [1, 0, 0, 1, 0],  # a
            [1, 1, 0, 0, 0],  # b; nobody shares c, p, q, r, s
            [pytest.approx(v, abs=1e-3) for v in (-step, step, 0, 0, 0)],
        ],
        key=lambda column: [float(getattr(v, "expected", v)) for v in column],
    )
