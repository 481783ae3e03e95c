import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from ssrec_tf.baselines import Bias, ImplicitItemKNN, ItemKNN, RecentItemKNN, UserKNN, knn
from ssrec_tf.splits import Split
from ssrec_tf.tables import Tables
from tests.ssrec_tf.baselines.conftest import (
    Contract,
    error_of,
    fitted,
    groups,
    hits,
    low_rank,
    planted,
)  # fmt: skip


@pytest.mark.parametrize("kind", [UserKNN, ItemKNN, ImplicitItemKNN, RecentItemKNN])
class TestContract(Contract):
    pass


class ByHand:
    """The formula, a pair at a time, over dictionaries."""

    def __init__(self, tables, split, role):
        self.role, self.tables = role, tables
        self.bias = Bias()
        self.bias.fit(tables, split)
        log = tables.interactions.iloc[split.train]
        # Not `scores`, which clips; the biases themselves are tested in test_base.py.
        rest = log["rating"] - self.raw(log["user"], log["item"])
        self.rests = rest.groupby([log["user"], log["item"]]).mean().to_dict()
        self.of = {}
        for (user, item), value in self.rests.items():
            own, other = (user, item) if role == "user" else (item, user)
            self.of.setdefault(own, {})[other] = value

    def raw(self, users, items):
        user = self.bias._users.get_indexer(pd.Index(users))
        return self.bias._raw(user, self.tables.items.index.get_indexer(pd.Index(items)))

    def similarity(self, one, two, shrink):
        a, b = self.of[one], self.of[two]
        common = sorted(a.keys() & b.keys())
        x, y = np.array([a[key] for key in common]), np.array([b[key] for key in common])
        norm = np.sqrt((x @ x) * (y @ y)) if common else 0
        cosine = x @ y / norm if norm else 0
        return max(cosine * len(common) / (len(common) + shrink), 0)

    def rating(self, user, item, shrink, k):
        base = self.raw([user], [item])[0]
        own, other = (user, item) if self.role == "user" else (item, user)
        if own not in self.of:
            return base
        near = sorted(
            (
                (self.similarity(own, rival, shrink), given[other])
                for rival, given in self.of.items()
                if rival != own and other in given
            ),
            reverse=True,
        )[:k]
        total = sum(weight for weight, _ in near)
        return base + (sum(weight * rest for weight, rest in near) / total if total else 0)


@pytest.mark.parametrize(("kind", "role"), [(UserKNN, "user"), (ItemKNN, "item")])
class TestByRatings:
    def test_formula(self, kind, role, monkeypatch):
        tables, split = planted()
        hand = ByHand(tables, split, role)
        valid = tables.interactions.iloc[split.valid[:120]]
        for shrink, k in itertools.product((1.0, 50.0), (1, 5)):
            monkeypatch.setattr(knn, "_SHRINKS", (shrink,))
            monkeypatch.setattr(knn, "_NEIGHBOURS", (k,))
            model = kind()
            model.fit(tables, split)
            found = model.scores(valid["user"].to_numpy(), valid["item"].to_numpy()).rating
            wanted = [
                hand.rating(user, item, shrink, k)
                for user, item in zip(valid["user"], valid["item"], strict=True)
            ]
            assert found == pytest.approx(np.clip(wanted, 1, 5), abs=1e-5)

    def test_the_least_valid_error_is_chosen(self, kind, role, monkeypatch):
        tables, split = planted()
        valid = tables.interactions.iloc[split.valid]
        errors = {}
        for shrink, k in itertools.product((1.0, 50.0), (1, 5)):
            monkeypatch.setattr(knn, "_SHRINKS", (shrink,))
            monkeypatch.setattr(knn, "_NEIGHBOURS", (k,))
            model = kind()
            model.fit(tables, split)
            found = model.scores(valid["user"].to_numpy(), valid["item"].to_numpy()).rating
            errors[shrink, k] = ((valid["rating"] - found) ** 2).mean()
        monkeypatch.setattr(knn, "_SHRINKS", (1.0, 50.0))
        monkeypatch.setattr(knn, "_NEIGHBOURS", (1, 5))
        model = kind()
        model.fit(tables, split)
        assert (model.shrink, model.k) == min(errors, key=errors.get)

    def test_neighbours_tell_what_biases_cannot(self, kind, role):
        assert error_of(kind(), *low_rank()) < 0.75 * error_of(Bias(), *low_rank())


def test_implicit_similarity_is_the_cosine_and_shrunk_and_cut():
    model, tables, split = fitted(ImplicitItemKNN)
    log = tables.interactions.iloc[split.train]
    history = pd.crosstab(log["user"], log["item"]).clip(upper=1)
    history = history.reindex(columns=tables.items.index, fill_value=0)
    cosine = cosine_similarity(history.to_numpy(float).T)
    np.fill_diagonal(cosine, 0)
    model._learn((0.0, 30.0))
    assert model._weights == pytest.approx(cosine)
    n = history.sum(axis=0).to_numpy(float)
    root = np.sqrt(np.outer(n, n))
    shrunk = cosine * root / (root + 7)
    model._learn((7.0, 3.0))
    kept = model._weights > 0
    assert kept[:, :29].sum(axis=0).min() == 3  # nobody had the last item
    assert model._weights[kept] == pytest.approx(shrunk[kept])
    for item in range(29):
        third = np.sort(shrunk[:, item])[-3]
        assert np.array_equal(kept[:, item], shrunk[:, item] >= third - 1e-12)
    users = ["u3", "u5"]
    found = model.rank(np.array(users))
    wanted = history.loc[users].to_numpy() @ model._weights
    unseen = np.isfinite(found)
    assert found[unseen] == pytest.approx(wanted[unseen], rel=1e-6)


def test_implicit_finds_what_a_planted_group_has():
    tables, split = groups()
    assert hits(ImplicitItemKNN(), tables, split) == 1


def test_recent_counts_an_event_by_how_many_came_later(monkeypatch):
    monkeypatch.setattr(RecentItemKNN, "grid", ((0.0, 30.0, 4.0),))
    model, tables, split = fitted(RecentItemKNN)
    place = tables.items.index.get_loc
    told = {}
    for user, items in tables.interactions.iloc[split.train].groupby("user")["item"]:
        newest = {}  # a pair counts once; without times rows are in order
        for later, item in enumerate(items[::-1]):
            newest.setdefault(item, np.exp(-later / 4))
        assert len(newest) < len(items) or user != "u3"
        told[user] = sum(count * model._weights[place(item)] for item, count in newest.items())
    known, unknown = model.rank(np.array(["u3", "nobody"]))
    unseen = np.isfinite(known)
    assert known[unseen] == pytest.approx(told["u3"][unseen], rel=1e-6)
    assert unknown == pytest.approx(np.mean(list(told.values()), axis=0), rel=1e-6)


def test_recent_goes_by_what_came_last():
    """Users move from one group to another; what is next lies where they are."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(60):
        for group in rng.permutation(3)[:2]:
            rows += [(f"u{user}", f"i{10 * group + item}") for item in rng.permutation(10)[:6]]
    log = pd.DataFrame(rows, columns=["user", "item"])
    items = pd.DataFrame(index=pd.Index([f"i{i}" for i in range(30)]))
    place = np.arange(len(log)) % 12
    parts = [np.flatnonzero(place < 10), np.flatnonzero(place == 10), np.flatnonzero(place == 11)]
    moved = Tables("moved", log, items, pd.DataFrame()), Split(*parts, "leave_one_out", "d", True)
    assert hits(RecentItemKNN(), *moved) > 1.5 * hits(ImplicitItemKNN(), *moved)
