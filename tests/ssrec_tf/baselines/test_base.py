"""One contract for all baselines, and each by hand or against an independent solution."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, Ridge

from ssrec_tf.baselines import Baseline, Bias, GlobalMean, ItemMean, Popularity, UserMean, available
from ssrec_tf.baselines.platt import Platt
from ssrec_tf.metrics import auc
from ssrec_tf.splits import Split
from ssrec_tf.tables import Tables

KINDS = [GlobalMean, UserMean, ItemMean, Bias, Popularity]
USERS, ITEMS = 40, 30


def planted(seed=0, rows=1500, ratings=True) -> tuple[Tables, Split]:
    """Ratings made of a user's and an item's taste; item i29 and user u39 are not in train."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, USERS, rows), rng.integers(0, ITEMS, rows)
    taste = rng.normal(size=USERS)[user] + rng.normal(size=ITEMS)[item]
    rating = np.clip(np.round(3.2 + 0.7 * taste + 0.3 * rng.normal(size=rows)), 1, 5)
    log = pd.DataFrame({"user": [f"u{i}" for i in user], "item": [f"i{i}" for i in item]})
    if ratings:
        log["rating"] = rating.astype(np.float32)
    log["click"] = (rating >= 4).astype(np.int8)
    order = rng.permutation(rows)
    train, valid, test = (np.sort(part) for part in np.split(order, [1000, 1250]))
    train = train[(user[train] != 39) & (item[train] != 29)]
    items = pd.DataFrame(index=pd.Index([f"i{i}" for i in range(ITEMS)]))
    scale = (1.0, 5.0) if ratings else None
    tables = Tables("planted", log, items, pd.DataFrame(), scale, click_threshold=4.0)
    return tables, Split(train, valid, test, "random", "d", False)


def fitted(kind: type[Baseline], **options) -> tuple[Baseline, Tables, Split]:
    tables, split = planted(**options)
    model = kind()
    model.fit(tables, split)
    return model, tables, split


def pairs(tables: Tables, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    log = tables.interactions.iloc[rows]
    return log["user"].to_numpy(), log["item"].to_numpy()


@pytest.mark.parametrize("kind", KINDS)
class TestContract:
    def test_scores_are_in_scale_and_finite_for_whatever_is_asked(self, kind):
        model, tables, split = fitted(kind)
        users, items = pairs(tables, split.test)
        users = np.append(users, ["u39", "nobody", "u0"])
        items = np.append(items, ["i0", "nothing", "i29"])
        found = model.scores(users, items)
        assert found.ranking is None
        assert ((found.click > 0) & (found.click < 1)).all()
        if kind is Popularity:
            assert found.rating is None
        else:
            assert ((found.rating >= 1) & (found.rating <= 5)).all()
        assert len(found.click) == len(users)

    def test_scores_and_rank_tell_the_same_order(self, kind):
        model, tables, split = fitted(kind)
        users = np.array(["u3", "u39", "nobody", "u0"], object)
        ranking = model.rank(users)
        assert ranking.shape == (4, ITEMS)
        assert ranking.dtype == np.float32
        log = tables.interactions.iloc[split.train]
        for user, row in zip(users, ranking, strict=True):
            seen = tables.items.index.isin(log["item"][log["user"] == user])
            assert np.array_equal(np.isneginf(row), seen)
            same = model.scores(np.full(ITEMS, user, object), tables.items.index.to_numpy())
            order = np.argsort(row[~seen], kind="stable")
            steps = np.diff(same.click[~seen][order])
            # Here popular items happen to be clicked less, and the scaling says so.
            assert (steps >= -1e-6).all() or (kind is Popularity and (steps <= 1e-6).all())

    def test_test_rows_are_never_read(self, kind):
        model, tables, split = fitted(kind)
        log = tables.interactions.copy()
        log.loc[split.test, "rating"] = np.float32(1)
        log.loc[split.test, "click"] = np.int8(0)
        other = kind()
        other.fit(replace(tables, interactions=log), split)
        users, items = pairs(tables, split.test)
        one, two = model.scores(users, items), other.scores(users, items)
        assert np.array_equal(one.click, two.click)
        assert np.array_equal(model.rank(users[:5]), other.rank(users[:5]))

    def test_without_valid_rows_it_still_fits(self, kind):
        tables, split = planted()
        model = kind()
        model.fit(tables, replace(split, valid=np.empty(0, np.int64)))
        assert np.isfinite(model.scores(*pairs(tables, split.test)).click).all()

    def test_clicks_are_calibrated_on_valid(self, kind):
        model, tables, split = fitted(kind)
        said = model.scores(*pairs(tables, split.valid)).click
        happened = tables.interactions["click"].to_numpy()[split.valid]
        assert said.mean() == pytest.approx(happened.mean(), abs=5e-3)


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
