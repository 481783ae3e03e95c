from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax

from ssrec_tf.baselines import GRU, LSTM, Popularity
from ssrec_tf.baselines.recurrent import _windows, next_item_loss
from ssrec_tf.splits import Split
from ssrec_tf.tables import Tables
from tests.ssrec_tf.baselines.conftest import Contract

KINDS = [GRU, LSTM]
QUICK = {"width": 24, "dropout": 0.0, "learning_rate": 0.02, "window": 10, "epochs": 25}


@pytest.mark.parametrize("kind", [partial(kind, width=4, epochs=2) for kind in KINDS])
class TestContract(Contract):
    pass


def ring(past_only):
    """Users walk around a ring of 20 items, rows shuffled; hidden is a step of each walk."""
    users, items, length = 60, 20, 14
    names = np.random.default_rng(1).permutation(items)  # their order tells nothing
    rows = [
        (f"u{user}", f"i{names[(user + step) % items]}", 100 * user + step, step)
        for user in range(users)
        for step in range(length)
    ]
    order = np.random.default_rng(0).permutation(len(rows))
    log = pd.DataFrame([rows[i] for i in order], columns=["user", "item", "time", "step"])
    place, walker = log.pop("step").to_numpy(), log["user"].str[1:].astype(int).to_numpy()
    hidden = np.full(users, length - 1) if past_only else 4 + np.arange(users) % 6
    test = place == hidden[walker]
    catalogue = pd.DataFrame(index=pd.Index([f"i{i}" for i in range(items)]))
    tables = Tables("ring", log, catalogue, pd.DataFrame())
    parts = np.flatnonzero(~test), np.empty(0, np.int64), np.flatnonzero(test)
    return tables, Split(*parts, "random", "d", past_only)


def first_hits(model, tables, split):
    """Share of test items among a user's best one or, where more than one may follow, two.

    Not past only, the item hidden inside the walk and the one after its end are both next.
    """
    model.fit(tables, split)
    log = tables.interactions.iloc[split.test]
    best = np.argsort(-model.rank(log["user"].to_numpy()), axis=1)[:, : 2 - split.past_only]
    own = tables.items.index.get_indexer(log["item"])
    return float(np.mean((best == own[:, None]).any(axis=1)))


@pytest.mark.parametrize("past_only", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_it_knows_what_comes_next(kind, past_only):
    assert first_hits(Popularity(), *ring(past_only)) < 0.5
    assert first_hits(kind(**QUICK), *ring(past_only)) > 0.9


def test_equal_seeds_give_equal_scores_and_without_rows_one_is_at_the_start():
    tables, split = ring(past_only=True)
    one, two = GRU(width=4, epochs=2), GRU(width=4, epochs=2)
    for model in (one, two):
        model.fit(tables, split)
    users = np.array(["u1", "nobody"], object)
    assert np.array_equal(one.rank(users), two.rank(users))
    start = one._network.predict({"items": np.zeros((1, 1), np.int32)}, verbose=0)[0, 0]
    assert one.rank(users)[1] == pytest.approx(log_softmax(start) + np.log(20), abs=1e-4)


@pytest.mark.slow
def test_scores_average_over_places_unless_all_is_past():
    tables, split = ring(past_only=False)
    model = GRU(width=4, window=6, epochs=2)
    model.fit(tables, split)
    log = tables.interactions.iloc[split.train]
    own = log[log["user"] == "u3"].sort_values("time")["item"]
    rows = np.array([0, *(1 + tables.items.index.get_indexer(own))], np.int32)  # 14 places
    parts = [rows[:2], rows[2:8], rows[8:]]  # cut from the newest back
    places = np.concatenate(
        [model._network.predict({"items": part[None]}, verbose=0)[0] for part in parts]
    )
    chances = np.exp(log_softmax(places, axis=-1))
    code = model._users.get_indexer(["u3"])
    wanted = np.log(chances.mean(axis=0) * 20)
    assert model._rows(code)[0, :-1] == pytest.approx(wanted, abs=1e-4)
    assert model._rows(code)[0, -1] == 0
    past = GRU(width=4, window=6, epochs=2)
    past.fit(tables, replace(split, past_only=True))  # the same training
    assert past._rows(code)[0, :-1] == pytest.approx(np.log(chances[-1] * 20), abs=1e-4)


def test_windows_by_hand():
    user, rows = np.array([0, 0, 0, 0, 2]), np.array([5, 6, 7, 8, 9])
    read, wanted, owner = _windows(user, rows, users=3, size=3)
    assert owner.tolist() == [0, 0, 1, 2, 3]  # the last is nobody's
    assert read.tolist() == [[0, 5, 0], [6, 7, 8], [0, 0, 0], [0, 9, 0], [0, 0, 0]]
    assert wanted.tolist() == [[5, 6, 0], [7, 8, 0], [0, 0, 0], [9, 0, 0], [0, 0, 0]]


def test_the_loss_leaves_out_places_where_nothing_came():
    logits = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    wanted = np.array([[3, 1, 0], [0, 0, 4]], np.float32)
    logs = log_softmax(logits, axis=-1)
    hand = [-(logs[0, 0, 2] + logs[0, 1, 0]), -logs[1, 2, 3]]
    found = keras.ops.convert_to_numpy(next_item_loss(wanted, logits))
    assert found == pytest.approx(hand, abs=1e-5)
