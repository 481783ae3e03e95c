"""The quick baselines: the contract, and each by hand or against an independent solution."""

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, Ridge

from ssrec_tf.baselines import (
    EXTENDED,
    Bias,
    GlobalMean,
    ItemMean,
    Popularity,
    UserMean,
    available,
)
from ssrec_tf.baselines.platt import Platt
from ssrec_tf.metrics import auc
from ssrec_tf.splits import Split
from ssrec_tf.tables import Tables
from tests.ssrec_tf.baselines.conftest import Contract, fitted, pairs, planted

KINDS = [GlobalMean, UserMean, ItemMean, Bias, Popularity]


@pytest.mark.parametrize("kind", KINDS)
class TestContract(Contract):
    pass


def test_means_by_hand():
    log = pd.DataFrame(
        {"user": ["a", "a", "b", "a"], "item": ["p", "q", "p", "q"]},
    )
    log["rating"] = np.array([5, 2, 2, 1], np.float32)
    items = pd.DataFrame(index=pd.Index(["p", "q", "r"]))
    tables = Tables("t", log, items, pd.DataFrame(), (1.0, 5.0))
    split = Split(np.arange(3), np.array([3]), np.empty(0, int), "random", "d", False)
    users, ids = np.array(["a", "b", "z"], object), np.array(["p", "q", "r"], object)
    wanted = {GlobalMean: [3, 3, 3], UserMean: [3.5, 2, 3], ItemMean: [3.5, 2, 3]}
    for kind, values in wanted.items():
        model = kind()
        model.fit(tables, split)
        found = model.scores(users, ids)
        assert found.rating.tolist() == values
        assert found.click is None  # the log has none
    popular = Popularity()
    popular.fit(tables, split)
    assert popular.rank(np.array(["z"], object))[0] == pytest.approx(np.log([3, 2, 1]))


def test_bias_minimises_its_own_sum():
    model, tables, split = fitted(Bias)
    log = tables.interactions.iloc[split.train]
    user, item = pd.factorize(log["user"])[0], pd.factorize(log["item"])[0]
    columns = np.zeros((len(log), user.max() + item.max() + 2))
    # A column scaled by 1 / sqrt(damping) turns one ridge into two dampings.
    scales = np.concatenate(
        [
            np.full(user.max() + 1, model.damping[0] ** -0.5),
            np.full(item.max() + 1, model.damping[1] ** -0.5),
        ]
    )
    columns[np.arange(len(log)), user] = 1
    columns[np.arange(len(log)), user.max() + 1 + item] = 1
    rating = log["rating"].to_numpy(float)
    ridge = Ridge(alpha=1.0, fit_intercept=False).fit(columns * scales, rating - rating.mean())
    wanted = rating.mean() + (columns * scales) @ ridge.coef_
    found = model.scores(log["user"].to_numpy(), log["item"].to_numpy()).rating
    assert found == pytest.approx(np.clip(wanted, 1, 5), abs=2e-3)


def test_bias_is_the_best_on_a_planted_answer_and_tuned():
    errors, orders = {}, {}
    for kind in KINDS[:4]:
        model, tables, split = fitted(kind)
        log = tables.interactions.iloc[split.test]
        found = model.scores(log["user"].to_numpy(), log["item"].to_numpy())
        errors[kind] = float(np.mean((found.rating - log["rating"]) ** 2))
        orders[kind] = auc(log["click"].to_numpy(), found.click)
    assert errors[Bias] < 0.6 * min(errors[UserMean], errors[ItemMean])
    assert min(errors[UserMean], errors[ItemMean]) < errors[GlobalMean]
    assert orders[Bias] > max(orders[UserMean], orders[ItemMean]) > orders[GlobalMean] == 0.5
    dense, _, _ = fitted(Bias)
    sparse, _, _ = fitted(Bias, rows=1500, seed=1)
    assert dense.damping != (5.0, 5.0) or sparse.damping != (5.0, 5.0)


def test_available():
    assert [one.name for one in available(planted()[0])] == [
        "global_mean", "user_mean", "item_mean", "bias", "popularity",
    ]  # fmt: skip
    tables, split = planted(ratings=False)
    assert [one.name for one in available(tables)] == ["popularity"]
    with pytest.raises(ValueError, match="user_mean needs ratings, planted has none"):
        UserMean().fit(tables, split)
    model = available(tables)[0]
    model.fit(tables, split)
    found = model.scores(*pairs(tables, split.test))
    assert found.rating is None
    assert found.click.shape == split.test.shape


@pytest.mark.slow
def test_extended():
    assert list(EXTENDED) == [
        "user_knn", "item_knn", "implicit_item_knn", "recent_item_knn", "content", "ease", "als",
        "svd", "svdpp", "fm", "running_bias", "mf", "ncf", "mlp", "cnn_text", "vae", "gru", "lstm",
    ]  # fmt: skip
    assert all(kind.name == name for name, kind in EXTENDED.items())
    # Without the extra `bench` they can be named and made; a library is missed when fitting.
    code = (
        "import sys; from ssrec_tf.baselines import EXTENDED; "
        "[kind() for kind in EXTENDED.values()]; "
        "print({'implicit', 'myfm', 'optuna', 'surprise'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_platt_equals_logistic_regression():
    rng = np.random.default_rng(0)
    score = rng.normal(3.5, 0.6, 4000)
    click = (rng.random(4000) < 1 / (1 + np.exp(-3 * (score - 3.4)))).astype(np.int8)
    found = Platt.fit(score, click)
    wanted = LogisticRegression(C=np.inf, tol=1e-10).fit(score[:, None], click)
    # Platt's smoothed targets move 4,000 rows by next to nothing.
    assert found.slope == pytest.approx(wanted.coef_[0, 0], rel=5e-3)
    assert found(score) == pytest.approx(wanted.predict_proba(score[:, None])[:, 1], abs=2e-3)


def test_platt_with_smoothed_targets_equals_a_general_minimiser():
    score, click = np.array([1.0, 2, 3, 4, 5]), np.array([0, 0, 1, 0, 1])
    target = np.where(click, 3 / 4, 1 / 5)

    def loss(w):
        logit = w[0] * score + w[1]
        return (np.logaddexp(0, logit) - target * logit).sum()

    wanted = minimize(loss, [0.0, 0.0], tol=1e-12).x
    found = Platt.fit(score, click)
    assert (found.slope, found.offset) == pytest.approx(tuple(wanted), abs=1e-4)


@pytest.mark.parametrize("click", [np.ones(5), np.zeros(5), np.array([0, 0, 0, 1, 1])])
@pytest.mark.parametrize("score", [np.zeros(5), np.arange(5.0), np.arange(5.0) * 1e6])
def test_platt_survives_one_class_constant_and_separable_scores(click, score):
    found = Platt.fit(score, click)(score)
    assert ((found > 0) & (found < 1)).all()
    target = np.where(click > 0, (click.sum() + 1) / (click.sum() + 2), 1 / (7 - click.sum()))
    assert found.mean() == pytest.approx(target.mean(), abs=1e-5)
    if not score.any():
        assert not math.isnan(found[0])
        assert np.ptp(found) == 0
