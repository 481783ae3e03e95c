"""Running biases against a loop over the events, one by one."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from ssrec_tf import datasets
from ssrec_tf.baselines import Bias, RunningBias
from ssrec_tf.config import SplitConfig
from ssrec_tf.errors import ConfigError, NetworkError
from ssrec_tf.metrics import rmse
from ssrec_tf.splits import event_order, make_split
from tests.ssrec_tf.conftest import planted_tables


@pytest.fixture(scope="module")
def fitted():
    tables = planted_tables(moments=60)
    unrated = np.arange(len(tables.interactions)) % 5 == 3
    tables.interactions.loc[unrated, ["rating", "click"]] = np.nan
    split = make_split(tables, SplitConfig("time_streaming"))
    model = RunningBias()
    model.fit(tables, split)
    return model, tables, split


def test_it_equals_a_loop_over_the_events(fitted):
    model, tables, split = fitted
    log = tables.interactions
    mean = log["rating"].iloc[split.train].mean()
    items, users = (defaultdict(lambda: [0.0, 0]) for _ in range(2))
    wanted, at_end = np.zeros(len(log)), None
    for place, row in enumerate(np.argsort(event_order(log))):
        if place == len(split.train):
            at_end = {user: total / (n + model.damping[0]) for user, (total, n) in users.items()}
        item, user = items[log["item"][row]], users[log["user"][row]]
        b_i, b_u = item[0] / (item[1] + model.damping[1]), user[0] / (user[1] + model.damping[0])
        wanted[row] = mean + b_i + b_u
        if np.isnan(log["rating"][row]):
            continue
        rest = log["rating"][row] - mean
        items[log["item"][row]] = [item[0] + rest, item[1] + 1]
        users[log["user"][row]] = [user[0] + rest - b_i, user[1] + 1]
    for rows in (split.valid, split.test):
        found = model.row_scores(rows)
        assert found.rating == pytest.approx(np.clip(wanted[rows], 1, 5), abs=1e-6)
        assert ((found.click > 0) & (found.click < 1)).all()
    # A pair without a row is scored as at the end of train: users differ by their biases.
    names = np.array(["u00", "u07", "nobody"], object)
    ratings = model._raw(np.array([0, 7, -1]), np.zeros(3, int))
    assert ratings[:2] - ratings[2] == pytest.approx([at_end["u00"], at_end["u07"]], abs=1e-6)
    assert model.rank(names).shape == (3, 30)


def test_what_comes_later_changes_nothing(fitted):
    model, tables, split = fitted
    log = tables.interactions.copy()
    order = event_order(log)
    first = split.test[np.argsort(order[split.test])[:5]]
    later = order > order[first].max()
    log.loc[later, "rating"] = np.float32(1)
    other = RunningBias()
    other.fit(replace(tables, interactions=log), split)
    assert np.array_equal(model.row_scores(first).rating, other.row_scores(first).rating)


def test_another_split_is_refused():
    tables = planted_tables()
    with pytest.raises(ConfigError, match=r"split\.kind=time does not allow: give split"):
        RunningBias().fit(tables, make_split(tables, SplitConfig("time")))


@pytest.mark.slow
def test_on_movielens_the_past_of_every_row_helps():
    try:
        tables = datasets.load("movielens-100k")
    except NetworkError as error:
        pytest.skip(str(error))
    split = make_split(tables, SplitConfig("time_streaming"))
    truth = tables.interactions["rating"].to_numpy()[split.test]
    found = {}
    for kind in (Bias, RunningBias):
        model = kind()
        model.fit(tables, split)
        found[kind] = rmse(truth, model.row_scores(split.test).rating)
    # Published: 1.0274 (bias, time) and 0.9943 (running sums of one damping, by moments).
    assert found[Bias] == pytest.approx(1.0274, abs=5e-4)
    assert found[RunningBias] < 0.9943
