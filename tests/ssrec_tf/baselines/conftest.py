"""A contract all baselines keep, and planted answers to fit them to."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from ssrec_tf.baselines import Baseline
from ssrec_tf.metrics import rmse
from ssrec_tf.splits import Split
from ssrec_tf.tables import Tables

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


@cache
def fitted_once(kind: type[Baseline]) -> tuple[Baseline, Tables, Split]:
    """`fitted`, for tests that only ask: fitting a network takes seconds."""
    return fitted(kind)


def low_rank(seed=0, users=60, items=50, rows=1800) -> tuple[Tables, Split]:
    """Ratings made of two tastes of a user's and what an item has of each: no biases."""
    rng = np.random.default_rng(seed)
    cells = rng.permutation(users * items)[:rows]
    user, item = cells // items, cells % items
    taste = (rng.normal(size=(users, 2))[user] * rng.normal(size=(items, 2))[item]).sum(axis=1)
    log = pd.DataFrame({"user": [f"u{i}" for i in user], "item": [f"i{i}" for i in item]})
    log["rating"] = np.clip(3 + taste + 0.1 * rng.normal(size=rows), 1, 5).astype(np.float32)
    index = pd.Index([f"i{i}" for i in range(items)])
    tables = Tables("low_rank", log, pd.DataFrame(index=index), pd.DataFrame(), (1.0, 5.0))
    parts = np.split(np.arange(rows), [rows - 400, rows - 200])
    return tables, Split(*parts, "random", "d", False)


def groups(seed=0) -> tuple[Tables, Split]:
    """Users of three kinds, each with most of its own ten items; a test item is one of them."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"u{user}", f"i{10 * (user % 3) + item}")
        for user in range(45)
        for item in rng.permutation(10)[:8]
    ]
    log = pd.DataFrame(rows, columns=["user", "item"])
    items = pd.DataFrame(index=pd.Index([f"i{i}" for i in range(30)]))
    place = np.arange(len(log)) % 8
    parts = [np.flatnonzero(place < 6), np.flatnonzero(place == 6), np.flatnonzero(place == 7)]
    return Tables("groups", log, items, pd.DataFrame()), Split(*parts, "random", "d", False)


def hits(model: Baseline, tables: Tables, split: Split) -> float:
    """Share of test items among a user's four best: the user's kind has no more unseen ones."""
    model.fit(tables, split)
    log = tables.interactions.iloc[split.test]
    best = np.argsort(-model.rank(log["user"].to_numpy()), axis=1)[:, :4]
    return float(
        np.mean(
            [item in tables.items.index[row] for item, row in zip(log["item"], best, strict=True)]
        )
    )


def error_of(model: Baseline, tables: Tables, split: Split) -> float:
    """Fit, and measure on the test rows."""
    model.fit(tables, split)
    log = tables.interactions.iloc[split.test]
    found = model.scores(log["user"].to_numpy(), log["item"].to_numpy())
    return rmse(log["rating"].to_numpy(), found.rating)


def pairs(tables: Tables, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    log = tables.interactions.iloc[rows]
    return log["user"].to_numpy(), log["item"].to_numpy()


class Contract:
    """What every baseline keeps to: inherit it, parametrised by `kind`."""

    def test_scores_are_in_scale_and_finite_for_whatever_is_asked(self, kind):
        model, tables, split = fitted_once(kind)
        users, items = pairs(tables, split.test)
        users = np.append(users, ["u39", "nobody", "u0"])
        items = np.append(items, ["i0", "nothing", "i29"])
        found = model.scores(users, items)
        assert found.ranking is None
        assert ((found.click > 0) & (found.click < 1)).all()
        if not model.needs_rating:
            assert found.rating is None
        else:
            assert ((found.rating >= 1) & (found.rating <= 5)).all()
        assert len(found.click) == len(users)

    def test_scores_and_rank_tell_the_same_order(self, kind):
        model, tables, split = fitted_once(kind)
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
            falling = not model.needs_rating and (steps <= 1e-6).all()
            assert (steps >= -1e-6).all() or falling

    def test_test_rows_are_never_read(self, kind):
        model, tables, split = fitted_once(kind)
        log = tables.interactions.copy()
        log.loc[split.test, "rating"] = np.float32(1)
        log.loc[split.test, "click"] = np.int8(0)
        other = kind()
        other.fit(replace(tables, interactions=log), split)
        users, items = pairs(tables, split.test)
        one, two = model.scores(users, items), other.scores(users, items)
        assert np.array_equal(one.click, two.click)
        assert np.array_equal(model.rank(users[:5]), other.rank(users[:5]))

    def test_events_without_a_rating_tell_nothing_of_ratings(self, kind):
        model, tables, split = fitted_once(kind)
        log, rows = tables.interactions, len(tables.interactions)
        # Pairs that train has with ratings: nothing but ratings could be learnt of them.
        more = log.iloc[split.train[:200]].assign(rating=np.float32(np.nan), click=np.nan)
        both = pd.concat([log.astype({"click": np.float32}), more], ignore_index=True)
        added = np.arange(rows, len(both))
        parts = {"train": added[:100], "valid": added[100:150], "test": added[150:]}
        parts = {name: np.append(getattr(split, name), more) for name, more in parts.items()}
        other = kind()
        other.fit(replace(tables, interactions=both), replace(split, **parts))
        one, two = (each.scores(*pairs(tables, split.test)) for each in (model, other))
        assert np.isfinite(two.click).all()
        if model.needs_rating:
            assert two.rating == pytest.approx(one.rating, abs=1e-9)
            assert two.click == pytest.approx(one.click, abs=1e-9)

    def test_without_valid_rows_it_still_fits(self, kind):
        tables, split = planted()
        model = kind()
        model.fit(tables, replace(split, valid=np.empty(0, np.int64)))
        assert np.isfinite(model.scores(*pairs(tables, split.test)).click).all()

    def test_clicks_are_calibrated_on_valid(self, kind):
        model, tables, split = fitted_once(kind)
        said = model.scores(*pairs(tables, split.valid)).click
        happened = tables.interactions["click"].to_numpy()[split.valid]
        assert said.mean() == pytest.approx(happened.mean(), abs=5e-3)

    def test_a_log_without_ratings_is_fitted_or_refused(self, kind):
        tables, split = planted(ratings=False)
        model = kind()
        if model.needs_rating:
            with pytest.raises(ValueError, match=f"{model.name} needs ratings"):
                model.fit(tables, split)
        else:
            model.fit(tables, split)
            assert np.isfinite(model.scores(*pairs(tables, split.test)).click).all()
