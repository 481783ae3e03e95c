from functools import partial

import numpy as np
import pytest

from ssrec_tf.baselines import Bias, MatrixFactorization
from tests.ssrec_tf.baselines.conftest import Contract, error_of, fitted, low_rank


@pytest.mark.parametrize("kind", [partial(MatrixFactorization, factors=4, epochs=2)])
class TestContract(Contract):
    pass


def test_it_finds_planted_factors_and_equal_seeds_give_equal_scores():
    kind = partial(MatrixFactorization, factors=4, penalty=0.01, learning_rate=0.02, epochs=200)
    error = error_of(kind(), *low_rank())
    assert error < 0.6 * error_of(Bias(), *low_rank())
    assert error_of(kind(), *low_rank()) == error


def test_a_score_is_what_the_network_says():
    model, _, _ = fitted(partial(MatrixFactorization, factors=4, epochs=2))
    user, item = np.array([0, 3, -1, 5, -1]), np.array([7, -1, 2, 29, -1])
    inputs = {"user": np.array([1, 4, 0, 6, 0]), "item": np.array([8, 0, 3, 0, 0])}
    wanted = model._mean + model._network.predict(inputs, verbose=0)[:, 0]
    assert model._raw(user, item) == pytest.approx(wanted, abs=1e-5)
