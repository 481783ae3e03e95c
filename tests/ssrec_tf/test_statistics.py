"""Statistics of the labels by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ssrec_tf.statistics import LabelStatistics
from tests.ssrec_tf.conftest import planted_tables


def statistics_of(ratings, clicks, **changes):
    log = pd.DataFrame({"rating": np.float32(ratings), "click": clicks})
    tables = replace(planted_tables(), interactions=log, **changes)
    return LabelStatistics.of(tables, np.arange(len(log)))


def test_means_and_shares_are_of_the_rows_asked_for():
    tables = planted_tables()
    rows = np.arange(7)
    found = LabelStatistics.of(tables, rows)
    frame = tables.interactions.iloc[:7]
    assert found.mean == pytest.approx(frame["rating"].mean())
    assert found.deviation == pytest.approx(np.std(frame["rating"].to_numpy()))
    assert found.click_share == pytest.approx(frame["click"].mean())


def test_what_a_step_says_beyond_a_line_by_hand():
    ratings = np.array([1, 2, 3, 3, 4, 4, 5, 5, 5, 5])
    clicks = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 0])
    found = statistics_of(ratings, clicks).click_beyond_rating
    share = np.array([0.0, 0.0, 0.5, 1.0, 0.75])
    of_row = share[ratings - 1]
    slope, start = np.polyfit(ratings, of_row, 1)
    steps = np.arange(1, 6)
    assert found == pytest.approx((share - start - slope * steps) / of_row.std(), abs=1e-5)
    beyond = np.array(found)[ratings - 1]
    assert beyond.mean() == pytest.approx(0.0, abs=1e-5)
    assert np.corrcoef(beyond, ratings)[0, 1] == pytest.approx(0.0, abs=1e-5)


def test_a_step_without_rows_is_as_its_neighbours():
    ratings, clicks = [1, 1, 3, 3, 5, 5], [0, 0, 0, 1, 1, 1]
    found = np.array(statistics_of(ratings, clicks).click_beyond_rating)
    assert found[1] - (found[0] + found[2]) / 2 == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize(
    ("ratings", "clicks"),
    [
        ([1, 2, 3, 4, 5], [1, 1, 1, 1, 1]),  # no clicks to tell apart
        ([3, 3, 3, 3, 3], [0, 1, 0, 1, 1]),  # one rating
        ([1, 1, 5, 5], [0, 0, 1, 1]),  # a line says all
        ([np.nan, np.nan], [0, 1]),  # no ratings
    ],
)
def test_where_ratings_say_no_more_nothing_strays(ratings, clicks):
    found = statistics_of(ratings, clicks).click_beyond_rating
    assert len(found) == 5
    assert found[0] == found[4] == 0.0
    assert max(map(abs, found)) < 1e-5


def test_without_a_scale_there_are_no_steps():
    log = pd.DataFrame({"click": [0, 1]})
    tables = replace(planted_tables(ratings=False), interactions=log)
    found = LabelStatistics.of(tables, np.arange(2))
    assert found.click_beyond_rating == ()
    assert (found.mean, found.deviation, found.click_share) == (0.0, 1.0, 0.5)
