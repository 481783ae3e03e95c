from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge

from ssrec_tf.baselines import Bias, Content
from ssrec_tf.splits import Split
from ssrec_tf.tables import Tables
from tests.ssrec_tf.baselines.conftest import Contract, error_of, planted


@pytest.mark.parametrize("kind", [Content])
class TestContract(Contract):
    pass


def tastes(shared=0.0):
    """Every user likes one genre of two; `shared`: everybody likes comedy. Test items are cold."""
    rng = np.random.default_rng(0)
    users, items = 30, 40
    user, item = (grid.ravel() for grid in np.meshgrid(np.arange(users), np.arange(items)))
    comedy = np.where(item % 2, 1, -1)
    liking = np.where(user % 2, 1, -1) * (1 - shared) + shared
    log = pd.DataFrame({"user": [f"u{i}" for i in user], "item": [f"i{i}" for i in item]})
    log["rating"] = (3 + liking * comedy + 0.3 * rng.normal(size=len(log))).clip(1, 5)
    frame = pd.DataFrame(
        {
            "title": pd.array([f"number {i}" for i in range(items)], "str"),
            "genre": pd.array([("Horror", "Comedy, Romance")[i % 2] for i in range(items)], "str"),
            "length": np.arange(items, dtype=float),
        },
        index=pd.Index([f"i{i}" for i in range(items)]),
    )
    tables = Tables("tastes", log, frame, pd.DataFrame(), (1.0, 5.0))
    places = np.arange(len(log))
    parts = [places[item < 28], places[(item >= 28) & (item < 34)], places[item >= 34]]
    return tables, Split(*parts, "cold_item", "d", False)


def test_a_taste_for_words_is_known_of_cold_items():
    assert error_of(Bias(), *tastes()) > 0.95
    assert error_of(Content(), *tastes()) < 0.5


def test_a_bias_of_words_is_known_of_cold_items():
    assert error_of(Bias(), *tastes(shared=1.0)) > 0.95
    assert error_of(Content(), *tastes(shared=1.0)) < 0.5


def test_weights_are_a_ridge_regression_of_each_user():
    tables, split = planted()
    words = np.array(["red", "green", "blue", "Blue's", "8"])
    texts = [" ".join(words[[i % 5, i * i % 3, i % 2]]) for i in range(len(tables.items))]
    tables = replace(tables, items=tables.items.assign(text=pd.array(texts, "str")))
    model = Content()
    model.fit(tables, split)
    bias = Bias()
    bias.fit(tables, split)
    features = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b").fit_transform(texts).toarray()
    log = tables.interactions.iloc[split.train]
    for user in ("u0", "u7"):
        own = log[log["user"] == user]
        code, item = model._users.get_loc(user), tables.items.index.get_indexer(own["item"])
        rest = own["rating"] - bias._raw(np.full(len(own), code), item)
        ridge = Ridge(alpha=model.penalty, fit_intercept=False).fit(features[item], rest)
        warm = np.arange(len(texts) - 1)  # the last is in no train row: its bias is foretold
        wanted = bias._raw(np.full(len(warm), code), warm) + features[warm] @ ridge.coef_
        assert model._raw(np.full(len(warm), code), warm) == pytest.approx(wanted, abs=1e-8)


def test_without_texts_it_is_the_bias():
    tables, split = planted()
    ratings = []
    for model in (Bias(), Content()):
        model.fit(tables, split)
        log = tables.interactions.iloc[split.test]
        ratings.append(model.scores(log["user"].to_numpy(), log["item"].to_numpy()).rating)
    assert ratings[0] == pytest.approx(ratings[1])
