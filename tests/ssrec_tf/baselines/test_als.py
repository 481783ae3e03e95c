import numpy as np
import pytest

from ssrec_tf.baselines import ALS
from tests.ssrec_tf.baselines.conftest import Contract, fitted, groups, hits

pytest.importorskip("implicit")


@pytest.mark.parametrize("kind", [ALS])
class TestContract(Contract):
    pass


def test_items_solve_their_weighted_ridge_given_the_users():
    model, _, _ = fitted(lambda: ALS(factors=4, iterations=200))
    alpha, penalty = model.chosen
    users = model._user[:-1].astype(float)  # the last is the mean
    history = model._history.toarray()
    for item in range(history.shape[1]):
        confidence = np.where(history[:, item] > 0, alpha, 1.0)
        gram = (users.T * confidence) @ users + penalty * np.eye(4)
        wanted = np.linalg.solve(gram, users.T @ (confidence * history[:, item]))
        assert model._item[item] == pytest.approx(wanted, abs=2e-3)


def test_it_finds_what_a_planted_group_has():
    tables, split = groups()
    assert hits(ALS(factors=4), tables, split) == 1


def test_equal_seeds_give_equal_scores():
    users = np.array(["u3", "u4"])
    one, two = (fitted(ALS)[0].rank(users) for _ in range(2))
    assert np.array_equal(one, two)
