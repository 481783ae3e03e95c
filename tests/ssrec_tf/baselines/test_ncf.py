from functools import partial

import pytest

from ssrec_tf.baselines import Bias, NeuralCollaborativeFiltering
from tests.ssrec_tf.baselines.conftest import Contract, error_of, low_rank


@pytest.mark.parametrize(
    "kind", [partial(NeuralCollaborativeFiltering, factors=4, learning_rate=0.05, epochs=6)]
)
class TestContract(Contract):
    pass


@pytest.mark.slow
def test_it_finds_planted_factors_and_equal_seeds_give_equal_scores():
    kind = partial(
        NeuralCollaborativeFiltering,
        factors=8, penalty=0.001, dropout=0.0, learning_rate=0.01, epochs=150,
    )  # fmt: skip
    error = error_of(kind(), *low_rank())
    assert error < 0.6 * error_of(Bias(), *low_rank())
    assert error_of(kind(), *low_rank()) == error
