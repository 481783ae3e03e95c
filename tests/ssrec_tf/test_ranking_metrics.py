"""Ranks against a loop over candidates; figures by hand and by scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from ssrec_tf import ranking_metrics as rm

NOTHING = (np.empty(0, np.int64), np.empty(0, np.int64))


def planted(seed, users=30, items=40):
    rng = np.random.default_rng(seed)
    scores = np.round(rng.normal(size=(users, items)), 1).astype(np.float32)  # many ties
    kind = rng.choice(3, (users, items), p=[0.7, 0.2, 0.1])  # candidate, seen, relevant
    scores[kind == 1] = -np.inf
    seen, pairs = np.nonzero(kind == 1), np.nonzero(kind == 2)
    return scores, kind, seen, pairs


@pytest.mark.parametrize("cells", [1, 97, 4_000_000])
def test_ranks_equal_a_loop(monkeypatch, cells):
    monkeypatch.setattr(rm, "_CELLS", cells)
    scores, kind, seen, (users, items) = planted(1)
    wanted = []
    for user, item in zip(users, items, strict=True):
        others = [scores[user, i] for i in range(40) if kind[user, i] == 0]
        higher = sum(other > scores[user, item] for other in others)
        tied = sum(other == scores[user, item] for other in others)
        wanted.append(1 + higher + tied / 2)
    assert rm.ranks(scores, users, items, seen).tolist() == wanted


def test_a_perfect_ranking_scores_one_though_a_user_has_more_relevant_items_than_k():
    scores = np.array([[5.0, 4, 3, 1, 0]])
    rank = rm.ranks(scores, np.zeros(3, int), np.arange(3), NOTHING)
    assert rank.tolist() == [1, 1, 1]
    assert rm.recall_at_k(rank, 1) == rm.ndcg_at_k(rank, 1) == rm.mrr_at_k(rank, 1) == 1


def test_seen_items_do_not_count_whatever_their_score():
    scores = np.array([[9.0, 1, 0]])
    assert rm.ranks(scores, np.array([0]), np.array([1]), NOTHING).tolist() == [2]
    seen = (np.array([0]), np.array([0]))
    assert rm.ranks(scores, np.array([0]), np.array([1]), seen).tolist() == [1]


def test_all_tied_is_the_middle():
    rank = rm.ranks(np.zeros((1, 101)), np.array([0]), np.array([7]), NOTHING)
    assert rank.tolist() == [51]


def test_figures_by_hand():
    rank = np.array([1.0, 3.0, 10.5, 11.0])
    assert rm.recall_at_k(rank, 10) == 0.75
    wanted = (1 + 1 / 2 + 1 / math.log2(11.5)) / 4
    assert rm.ndcg_at_k(rank, 10) == pytest.approx(wanted)
    assert rm.mrr_at_k(rank, 10) == pytest.approx((1 + 1 / 3 + 1 / 10.5) / 4)
    assert math.isnan(rm.recall_at_k(np.zeros(0), 10))


def test_ndcg_of_one_relevant_item_equals_scikit_learn():
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(50, 30))  # no ties
    items = rng.integers(0, 30, 50)
    rank = rm.ranks(scores, np.arange(50), items, NOTHING)
    wanted = ndcg_score(np.eye(30)[items], scores, k=10)
    assert rm.ndcg_at_k(rank, 10) == pytest.approx(wanted)


@pytest.mark.parametrize("cells", [1, 4_000_000])
def test_top_k_equals_a_stable_sort(monkeypatch, cells):
    monkeypatch.setattr(rm, "_CELLS", cells)
    scores, _, seen, _ = planted(2)
    scores[3, 5:] = -np.inf  # fewer candidates than k: the rest is still no choice
    seen_map = np.zeros(scores.shape, bool)
    seen_map[seen] = True
    seen_map[3, 5:] = True
    found = rm.top_k(scores, np.nonzero(seen_map), 7)
    for user in range(len(scores)):
        order = [i for i in np.argsort(-scores[user], kind="stable") if not seen_map[user, i]]
        assert sorted(order[:7]) == np.flatnonzero(found[user]).tolist()


def test_coverage_by_hand():
    scores = np.array([[3.0, 2, 1, 0], [3, 0, 2, 1]])
    assert rm.coverage_at_k(scores, NOTHING, 2) == 0.75
    assert rm.coverage_at_k(scores, (np.array([0, 1]), np.array([0, 0])), 1) == 0.5
    assert rm.coverage_at_k(scores, NOTHING, 99) == 1
    assert math.isnan(rm.coverage_at_k(np.empty((0, 4)), NOTHING, 2))
