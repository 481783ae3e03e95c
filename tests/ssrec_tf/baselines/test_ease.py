import numpy as np
import pytest
from sklearn.linear_model import Ridge

from ssrec_tf.baselines import EASE
from tests.ssrec_tf.baselines.conftest import Contract, fitted, groups, hits


@pytest.mark.parametrize("kind", [EASE])
class TestContract(Contract):
    pass


def test_weights_are_ridge_regressions_of_each_item_on_the_others():
    model, _, _ = fitted(EASE)
    history = model._history.toarray()
    for item in range(history.shape[1]):
        others = np.delete(np.arange(history.shape[1]), item)
        ridge = Ridge(alpha=model.chosen[0], fit_intercept=False)
        wanted = ridge.fit(history[:, others], history[:, item]).coef_
        assert model._weights[others, item] == pytest.approx(wanted, abs=1e-8)
        assert model._weights[item, item] == 0


def test_it_finds_what_a_planted_group_has():
    tables, split = groups()
    assert hits(EASE(), tables, split) == 1
