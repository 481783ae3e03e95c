"""A small log worked out by hand, and MovieLens against its published figures."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ssrec_tf.config import EvaluateConfig, SplitConfig
from ssrec_tf.errors import DataError, NetworkError, NonFiniteError
from ssrec_tf.evaluation import Scores, compare, evaluate, part_rows
from ssrec_tf.splits import Split, make_split
from ssrec_tf.tables import Tables

#        row   user item rating  part
ROWS = [
    (0, "a", "p", 5, "train"), (1, "a", "q", 1, "train"), (2, "b", "p", 4, "train"),
    (3, "c", "p", 4, "train"), (4, "c", "r", 2, "valid"),
    (5, "a", "r", 4, "test"), (6, "a", "s", 2, "test"), (7, "b", "q", 5, "test"),
    (8, "c", "s", 1, "test"), (9, "new", "p", 3, "test"), (10, "a", "p", 5, "test"),
]  # fmt: skip
ITEMS = ["p", "q", "r", "s", "t"]
TEST_USERS = np.array(["a", "b", "c", "new"], object)


def data(ratings=True, clicks=True) -> Tables:
    log = pd.DataFrame({"user": [r[1] for r in ROWS], "item": [r[2] for r in ROWS]})
    if ratings:
        log["rating"] = np.array([r[3] for r in ROWS], np.float32)
    if clicks:
        log["click"] = np.array([r[3] >= 4 for r in ROWS], np.int8)
    items = pd.DataFrame(index=pd.Index(ITEMS))
    threshold = 4.0 if ratings and clicks else None
    return Tables("small", log, items, pd.DataFrame(), (1.0, 5.0), click_threshold=threshold)


def split() -> Split:
    parts = [np.array([r[0] for r in ROWS if r[4] == p]) for p in ("train", "valid", "test")]
    return Split(*parts, kind="random", digest="d" * 64, past_only=False)


def scores(**values) -> Scores:
    ranking = np.array([[0, 0, 3, 2, 1], [0, 1, 1, 5, 0], [9, 2, 8, 1, 0], [1, 1, 1, 1, 1]], float)
    whole = Scores(
        rating=np.array([4, 3, 4, 1, 3, 5.0]),
        click=np.array([0.9, 0.2, 0.6, 0.3, 0.7, 0.8]),
        ranking=ranking,
    )
    return replace(whole, **values)


def run(found=None, tables=None, part="test", config=None, users=TEST_USERS, **more):
    found = {"m": found if found is not None else scores()}
    config = config or EvaluateConfig(k=2, bootstrap=50)
    tables = data() if tables is None else tables
    return evaluate(tables, split(), part, found, config, ranking_users=users, **more)


def test_row_figures_by_hand():
    found = run()
    # Errors: 0, 1, -1, 0, 0, 0.
    assert found.figure("m", "rmse").value == pytest.approx(math.sqrt(2 / 6))
    assert found.figure("m", "mae").value == pytest.approx(2 / 6)
    # Clicks .9 .6 .8 against .2 .3 .7: 8 of 9 pairs are in order.
    assert found.figure("m", "auc").value == pytest.approx(8 / 9)
    # Only user a has both labels.
    assert found.figure("m", "gauc").value == 1
    assert found.figure("m", "accuracy").value == pytest.approx(5 / 6)
    # Two each of a's .9 .2 .8; one each of b, c and new: 3 clicks of 5 shown.
    assert found.figure("m", "ctr@2").value == pytest.approx(3 / 5)


def test_rows_without_a_rating_count_in_rankings_alone():
    plain, tables = run(), data()
    tables.interactions["click"] = tables.interactions["click"].astype(np.float32)
    tables.interactions.loc[10, ["rating", "click"]] = np.nan  # an error of 0, a click at 0.8
    found = run(tables=tables)
    assert found.figure("m", "rmse").value == pytest.approx(math.sqrt(2 / 5))
    assert found.figure("m", "auc").value == pytest.approx(5 / 6)
    assert found.figure("m", "ctr@2").value == pytest.approx(2 / 5)
    assert sum(one.rows for one in found.calibration["m"]) == 5
    assert found.figure("m", "recall@2").value == plain.figure("m", "recall@2").value
    assert "1 rows have no rating" in found.card.click


def test_ranking_figures_by_hand():
    found = run()
    # a: r and s relevant (p stands in train), each against t alone: 1 and 1.
    # b: q against r (tied), s (higher), t (lower): 1 + 1 + 1/2. c: s against q, t: 2
    # (r stands in valid). new: p against four tied ones: 3.
    rank = np.array([1, 1, 2.5, 2, 3])
    assert found.figure("m", "recall@k").value == pytest.approx(4 / 5)
    wanted = (1 / np.log2(1 + rank[:4])).sum() / 5
    assert found.figure("m", "ndcg@k").value == pytest.approx(wanted)
    assert found.figure("m", "mrr@2").value == pytest.approx((1 / rank[:4]).sum() / 5)
    # Top 2: a r s, b s q, c q s, new p q: all but t.
    assert found.figure("m", "coverage").value == pytest.approx(4 / 5)


def test_on_valid_what_stands_in_valid_is_no_earlier_part():
    config = EvaluateConfig(k=1, bootstrap=0)
    one = Scores(np.array([2.0]), np.array([0.1]), np.array([[9.0, 2, 8, 1, 0]]))
    found = run(one, part="valid", config=config, users=np.array(["c"], object))
    assert found.figure("m", "recall@1").value == 1  # r is first, now that p is out
    assert found.card.part == "valid"
    assert math.isnan(found.figure("m", "auc").value)
    assert math.isnan(found.figure("m", "rmse").low)


def test_slices_by_hand():
    parts = {part.name: part for part in run().slices}
    assert parts["warm users"].rows == 5
    assert (parts["cold users"].rows, parts["cold users"].users) == (1, 1)
    assert parts["cold users"].figures["m"]["rmse"] == 0
    assert parts["cold items"].rows == 3  # r, s, s
    assert parts["cold items"].figures["m"]["mae"] == pytest.approx(1 / 3)
    assert parts["cold items"].figures["m"]["recall@2"] == 1
    # Train rows: p 3, q 1; a third lies at 1.67, two at 2.33.
    thirds = [name for name in parts if "train rows" in name]
    assert [parts[name].rows for name in thirds] == [1, 2]
    assert thirds[0].startswith("rare")
    assert thirds[1].startswith("popular")


def test_only_what_applies_is_measured():
    assert set(run(Scores(rating=scores().rating)).metrics()) == {"rmse", "mae"}
    names = run(tables=data(ratings=False)).metrics()
    assert "rmse" not in names
    assert "auc" in names
    neither = run(tables=data(ratings=False, clicks=False))
    assert set(neither.metrics()) == {"recall@2", "ndcg@2", "mrr@2", "coverage@2"}
    assert neither.card.click == "none in the log"
    assert neither.calibration == {}


def test_in_a_log_of_clicks_only_what_was_clicked_is_relevant():
    found = run(tables=data(ratings=False))
    assert found.card.relevant == "every click of the part"
    assert found.card.click == "as logged"
    # a: r against s and t: 1. b: q 2.5. The click on p stands in train.
    assert found.figure("m", "mrr").value == pytest.approx((1 + 1 / 2.5) / 2)


def test_the_card_says_what_was_done():
    card = run(split_seed=42).card
    assert (card.dataset, card.split, card.split_seed, card.part) == ("small", "random", 42, "test")
    assert (card.rows, card.k, card.ranked_users, card.click) == (6, 2, 4, "rating >= 4")
    other = run(users=np.array(["b", "a", "c", "new"], object)).card
    assert other.ranked_users_digest != card.ranked_users_digest


def test_intervals_hold_the_value_and_follow_the_seed():
    one, same = run(), run()
    other = run(config=EvaluateConfig(k=2, bootstrap=50, seed=1))
    assert one == same
    figure = one.figure("m", "mae")
    assert figure.low <= figure.value <= figure.high
    assert figure.samples.shape == (50,)
    assert not np.array_equal(figure.samples, other.figure("m", "mae").samples)
    coverage = one.figure("m", "coverage")
    assert coverage.low < coverage.value < coverage.high <= 1


@pytest.mark.parametrize(
    ("broken", "error", "message"),
    [
        ({"rating": np.zeros(5)}, ValueError, r"m: rating has the shape \(5,\), must be \(6,\)"),
        ({"ranking": np.zeros((4, 4))}, ValueError, r"m: ranking .* must be \(4, 5\)"),
        (
            {"rating": np.array([1, 1, np.nan, 1, 1, 1])},
            NonFiniteError,
            r"NaN or infinite at \(2,\)",
        ),
        ({"click": np.full(6, -np.inf)}, NonFiniteError, "6 in all"),
        ({"ranking": np.full((4, 5), np.inf)}, NonFiniteError, r"at \(0, 0\), 20 in all"),
        ({"click": np.full(6, 1.5)}, ValueError, "give probabilities"),
    ],
)
def test_broken_scores_are_named(broken, error, message):
    with pytest.raises(error, match=message):
        run(scores(**broken))


def test_wrong_parts_users_and_items_are_named():
    with pytest.raises(ValueError, match="part='train'"):
        part_rows(split(), "train")
    with pytest.raises(DataError, match="'zoe' has no rows in test"):
        run(users=np.array(["a", "zoe"], object))
    nothing = replace(split(), valid=np.empty(0, np.int64))
    with pytest.raises(DataError, match="the valid part has no rows"):
        evaluate(data(), nothing, "valid", {}, EvaluateConfig())
    fewer = replace(data(), items=pd.DataFrame(index=pd.Index(["p", "q", "r", "t"])))
    with pytest.raises(DataError, match="row 6 of the interactions: item 's'"):
        run(tables=fewer)


@pytest.fixture(scope="module")
def movielens() -> Tables:
    from ssrec_tf import datasets

    try:
        return datasets.load("movielens-100k")
    except NetworkError as error:
        pytest.skip(str(error))


def published(tables, kind, names):
    from ssrec_tf.baselines import available

    parts = make_split(tables, SplitConfig(kind=kind, seed=42))
    log = tables.interactions.iloc[parts.test]
    users = np.array(sorted(log["user"].unique()), object)
    found = {}
    for one in available(tables):
        if one.name in names:
            one.fit(tables, parts)
            said = one.scores(log["user"].to_numpy(), log["item"].to_numpy())
            found[one.name] = replace(said, ranking=one.rank(users))
    return evaluate(tables, parts, "test", found, EvaluateConfig(), ranking_users=users)


@pytest.mark.slow
def test_movielens_figures_equal_the_published_ones(movielens):
    found = published(movielens, "random", ("bias", "item_mean"))
    assert found.figure("bias", "rmse").value == pytest.approx(0.9436, abs=5e-4)
    assert found.figure("bias", "auc").value == pytest.approx(0.780, abs=1e-3)
    # The published half-width of a single split is 0.019.
    figure = found.figure("bias", "rmse")
    assert (figure.high - figure.low) / 2 == pytest.approx(0.019, abs=0.004)
    assert compare(found, "bias", found, "item_mean", "rmse").better is True

    cold = published(movielens, "cold_item", ("user_mean",))
    assert cold.figure("user_mean", "rmse").value == pytest.approx(1.048, abs=5e-4)
    assert cold.figure("user_mean", "auc").value == pytest.approx(0.676, abs=5e-4)

    last = published(movielens, "leave_one_out", ("popularity",))
    wanted = {"recall@10": 0.0859, "ndcg@10": 0.0442, "mrr@10": 0.0317, "coverage@10": 0.0541}
    for name, value in wanted.items():
        assert last.figure("popularity", name).value == pytest.approx(value, abs=6e-5), name
