import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from ssrec_tf.baselines import Bias, FactorizationMachine
from ssrec_tf.baselines.fm import _myfm, _Samples, _Side
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


def side(seed, ids, others, attributes=()):
    """A side whose last id is in no train row, and the features and shares of all."""
    rng = np.random.default_rng(seed)
    had = (rng.random((ids, others)) < 0.6).astype(float)
    had[0], had[-1] = 1, 0
    rows = had.sum(axis=1)
    scaled = had / np.sqrt(np.maximum(rows, 1))[:, None]
    features = np.hstack([np.eye(ids), scaled, *attributes])
    made = _Side(sparse.csr_array(had), rows, [sparse.csr_array(one) for one in attributes])
    return made, features, rows / rows.sum()


def machine(model, x):
    """The score of one row's features, a pair at a time."""
    size = range(len(x))
    pairs = sum(model.V[a] @ model.V[b] * x[a] * x[b] for a in size for b in size if a < b)
    return model.w0 + model.w @ x + pairs


def test_a_score_is_the_sum_over_pairs_of_features():
    rng = np.random.default_rng(0)
    users, user_features, user_share = side(1, 4, 5)
    items, item_features, item_share = side(2, 5, 4, [np.eye(5)[:, :2], np.eye(5)[:, 3:]])
    width = user_features.shape[1] + item_features.shape[1]
    assert (users.widths, items.widths) == ([4, 5], [5, 4, 2, 2])
    samples = _Samples([users, items], iterations=10)
    models = [
        SimpleNamespace(w0=rng.normal(), w=rng.normal(size=width), V=rng.normal(size=(width, 2)))
        for _ in range(10)
    ]
    for number, model in enumerate(models):
        assert samples.keep(number, model, None, None) == (False, None)
    mean, alone, vectors = samples.result()

    def wanted(user, item):
        x = np.concatenate([user_features[user], item_features[item]])
        return np.mean([machine(model, x) for model in models[2:]])  # a fifth is thrown away

    found = mean + alone[0][:, None] + alone[1] + vectors[0] @ vectors[1].T
    for user, item in ((0, 0), (2, 3), (1, 2)):
        assert found[user, item] == pytest.approx(wanted(user, item), abs=1e-5)
    # An unknown one, and a user without train rows, score as their kind's train rows do.
    for user in (0, 2):
        rows = item_share @ [wanted(user, item) for item in range(5)]
        assert found[user, -1] == pytest.approx(rows, abs=1e-5)
    for user in (3, 4):
        rows = user_share @ [wanted(user, 1) for user in range(4)]
        assert found[user, 1] == pytest.approx(rows, abs=1e-5)


def test_scores_are_those_of_the_library():
    tables, split = planted()
    model = FactorizationMachine(rank=3, iterations=20, seed=5)
    model.fit(tables, split)
    users, items = model._users, tables.items.index
    train = tables.interactions.iloc[split.train]
    had = pd.crosstab(train["user"], train["item"]).clip(upper=1)
    had = had.reindex(index=users, columns=items, fill_value=0).to_numpy(float)

    def data(had):
        scaled = had / np.sqrt(np.maximum(had.sum(axis=1, keepdims=True), 1))
        return sparse.csr_matrix(np.hstack([np.eye(len(had)), scaled]))

    def blocks(log):
        codes = users.get_indexer(pd.Index(log["user"])), items.get_indexer(pd.Index(log["item"]))
        return [
            myfm.RelationBlock(code, features)
            for code, features in zip(codes, (data(had), data(had.T)), strict=True)
        ]

    own = myfm.MyFMRegressor(rank=3, random_seed=5)
    shapes = [len(users), len(items), len(items), len(users)]
    own.fit(
        None, train["rating"].to_numpy(float), X_rel=blocks(train), n_iter=20, n_kept_samples=16,
        group_shapes=shapes,
    )  # fmt: skip
    test = tables.interactions.iloc[split.test]
    test = test[(test["user"] != "u39") & (test["item"] != "i29")]  # not in train
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
    samples = _Samples([side(1, 2, 2)[0], side(2, 2, 2)[0]], iterations=1000)
    model = SimpleNamespace(w0=1.0, w=np.ones(8), V=np.ones((8, 1)))
    for number in range(1000):
        samples.keep(number, model)
    assert samples.result()[2][0].shape == (3, 200)


@pytest.mark.slow
def test_the_library_is_imported_without_pkg_resources_and_no_stand_in_is_left():
    code = (
        "import sys; sys.modules['pkg_resources'] = None; from ssrec_tf.baselines.fm import _myfm; "
        "print(_myfm().__name__, 'pkg_resources' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "myfm False\n"
