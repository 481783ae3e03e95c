"""What all rankers read and how they choose."""

from dataclasses import replace

import numpy as np
import pytest

from ssrec_tf.baselines.ranker import Ranker
from tests.ssrec_tf.baselines.conftest import ITEMS, planted


class Planned(Ranker):
    """Scores at random, by a seed that is its constant."""

    name = "planned"
    grid = ((0.0,), (1.0,), (2.0,), (3.0,))

    def _learn(self, option):
        self._scores = np.random.default_rng(int(option[0])).normal(size=(len(self._users), ITEMS))

    def _score_items(self, users):
        return self._scores[users]


def recall(model, tables, split):
    """The share of unseen valid pairs among the ten best, a pair at a time."""
    log = tables.interactions
    train = set(zip(log["user"].iloc[split.train], log["item"].iloc[split.train], strict=True))
    valid = log.iloc[split.valid]
    if "rating" not in log:
        valid = valid[valid["click"] == 1]
    wanted = {
        (user, item)
        for user, item in zip(valid["user"], valid["item"], strict=True)
        if (user, item) not in train and user != "u39"
    }
    hits = 0
    for user, item in wanted:
        scores = dict(zip(tables.items.index, model.rank(np.array([user]))[0], strict=True))
        rivals = [i for i in scores if i != item and (user, i) not in train | wanted]
        hits += sum(scores[i] > scores[item] for i in rivals) < 10
    return hits / len(wanted)


@pytest.mark.parametrize("ratings", [True, False])
def test_the_best_recall_on_valid_is_chosen(ratings, monkeypatch):
    monkeypatch.setattr("ssrec_tf.baselines.ranker._USERS", 7)
    tables, split = planted(ratings=ratings)
    recalls = []
    for option in Planned.grid:
        one = Planned()
        one.grid = (option,)
        one.fit(tables, split)
        recalls.append(recall(one, tables, split))
    assert len(set(recalls)) > 1
    model = Planned()
    model.fit(tables, split)
    assert model.chosen == Planned.grid[int(np.argmax(recalls))]


def test_without_valid_rows_the_first_is_taken():
    tables, split = planted()
    model = Planned()
    model.fit(tables, replace(split, valid=np.empty(0, np.int64)))
    assert model.chosen == (0.0,)


def test_a_history_holds_clicks_where_clicks_are_all_there_is():
    tables, split = planted(ratings=False)
    model = Planned()
    model.fit(tables, split)
    log = tables.interactions.iloc[split.train]
    clicked = log[log["click"] == 1].drop_duplicates(["user", "item"])
    assert model._history.nnz == len(clicked) < len(log.drop_duplicates(["user", "item"]))
    assert (model._history.data == 1).all()
