import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from ssrec_tf.baselines import Bias, FactorizationMachine
from ssrec_tf.baselines.fm import _myfm, _Samples
from ssrec_tf.errors import ConfigError
from tests.ssrec_tf.baselines.conftest import Contract, error_of, low_rank, planted
from tests.ssrec_tf.baselines.test_content import tastes

# Not importorskip, to which a missing pkg_resources is a missing library.
try:
    myfm = _myfm()
except ConfigError as error:
    pytest.skip(str(error), allow_module_level=True)


@pytest.mark.parametrize("kind", [partial(FactorizationMachine, rank=3, iterations=30)])
class TestContract(Contract):
    pass


def test_a_score_is_the_sum_over_pairs_of_features():
    rng = np.random.default_rng(0)
    sides = [rng.normal(size=(4, 3)), rng.normal(size=(5, 2))]
    samples = _Samples([sparse.csr_array(side) for side in sides], iterations=10)
    models = [
        SimpleNamespace(w0=rng.normal(), w=rng.normal(size=5), V=rng.normal(size=(5, 2)))
        for _ in range(10)
    ]
    for number, model in enumerate(models):
        assert samples.keep(number, model, None, None) == (False, None)
    mean, linear, factors = samples.result()
    for user, item in ((0, 0), (3, 4)):
        x = np.concatenate([sides[0][user], sides[1][item]])
        scores = [
            model.w0
            + model.w @ x
            + sum(model.V[a] @ model.V[b] * x[a] * x[b] for a in range(5) for b in range(a + 1, 5))
            for model in models[2:]  # the first fifth is thrown away
        ]
        found = mean + linear[0][user] + linear[1][item] + factors[0][user] @ factors[1][item]
        assert found == pytest.approx(np.mean(scores), abs=1e-5)
    assert linear[0][-1] == pytest.approx(linear[0][:-1].mean())
    assert factors[1][-1] == pytest.approx(factors[1][:-1].mean(axis=0), abs=1e-6)


def test_scores_are_those_of_the_library():
    tables, split = planted()
    model = FactorizationMachine(rank=3, iterations=20, seed=5)
    model.fit(tables, split)
    users, items = model._users, tables.items.index
    train = tables.interactions.iloc[split.train]
    had = pd.crosstab(train["user"], train["item"]).clip(upper=1)
    had = had.reindex(index=users, columns=items, fill_value=0).to_numpy(float)

    def side(had):
        scaled = had / np.sqrt(np.maximum(had.sum(axis=1, keepdims=True), 1))
        return sparse.csr_matrix(np.hstack([np.eye(len(had)), scaled]))

    def blocks(log):
        codes = users.get_indexer(pd.Index(log["user"])), items.get_indexer(pd.Index(log["item"]))
        return [
            myfm.RelationBlock(code, data)
            for code, data in zip(codes, (side(had), side(had.T)), strict=True)
        ]

    own = myfm.MyFMRegressor(rank=3, random_seed=5)
    shapes = [len(users), len(items), len(items), len(users)]
    own.fit(
        None, train["rating"].to_numpy(float), X_rel=blocks(train), n_iter=20, n_kept_samples=16,
        group_shapes=shapes,
    )  # fmt: skip
    test = tables.interactions.iloc[split.test]
    test = test[(test["user"] != "u39")]
    wanted = np.clip(own.predict(None, X_rel=blocks(test)), 1, 5)
    found = model.scores(test["user"].to_numpy(), test["item"].to_numpy()).rating
    assert found == pytest.approx(wanted, abs=1e-4)


def test_it_finds_planted_factors_and_equal_seeds_equal_scores():
    one, two = (FactorizationMachine(rank=3, iterations=100) for _ in range(2))
    error = error_of(one, *low_rank())
    assert error < 0.5 * error_of(Bias(), *low_rank())
    assert error_of(two, *low_rank()) == error


def test_attributes_tell_of_cold_items():
    errors = [
        error_of(FactorizationMachine(rank=3, iterations=60, attributes=attributes), *tastes())
        for attributes in (False, True)
    ]
    assert errors[1] < 0.6 < 0.9 < errors[0]


def test_many_samples_are_thinned():
    samples = _Samples([sparse.eye_array(2, format="csr")] * 2, iterations=1000)
    model = SimpleNamespace(w0=1.0, w=np.ones(4), V=np.ones((4, 1)))
    for number in range(1000):
        samples.keep(number, model)
    assert samples.result()[2][0].shape == (3, 200)


def test_the_library_is_imported_without_pkg_resources_and_no_stand_in_is_left():
    code = (
        "import sys; sys.modules['pkg_resources'] = None; from ssrec_tf.baselines.fm import _myfm; "
        "print(_myfm().__name__, 'pkg_resources' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "myfm False\n"
