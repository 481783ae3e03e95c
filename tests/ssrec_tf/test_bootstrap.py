"""Resampled figures against the plain metric of rows that were really copied."""

import numpy as np
import pytest

from ssrec_tf import bootstrap, measuring, metrics, ranking_metrics
from ssrec_tf.measuring import Rows

USERS, N, K = 12, 160, 3


def rows(seed=0):
    rng = np.random.default_rng(seed)
    user = np.sort(rng.integers(0, USERS, N))
    click = (rng.random(N) < 0.5).astype(np.int8)
    rating = rng.integers(1, 6, N).astype(np.float32)
    said = np.round(np.clip(0.2 * click + 0.8 * rng.random(N), 0, 1), 2)
    return Rows(user, USERS, rating, click, rating + rng.normal(size=N), said)


def copied(found: Rows, drawn: np.ndarray) -> Rows:
    """Repeat each user's rows as often as drawn, every copy as a user of its own."""
    parts, users = [], []
    for user in range(USERS):
        own = np.flatnonzero(found.user == user)
        for _ in range(int(drawn[user])):
            users.append(np.full(len(own), len(users)))
            parts.append(own)
    taken = found.take(np.concatenate(parts))
    return Rows(
        np.concatenate(users), len(users), taken.target_rating, taken.target_click,
        taken.rating, taken.click,
    )  # fmt: skip


def test_every_row_statistic_equals_the_metric_of_copied_rows():
    found = rows()
    statistics = measuring.row_statistics(found, K)
    drawn = np.concatenate(list(bootstrap.draw_users(USERS, 9, 4, 9)))
    assert len(np.unique(drawn, axis=0)) == 9
    values = {name: statistic(drawn) for name, statistic in statistics.items()}
    for i in range(9):
        wanted = measuring.row_values(copied(found, drawn[i]), K)
        assert wanted.keys() == values.keys()
        for name, value in wanted.items():
            assert values[name][i] == pytest.approx(value, rel=1e-9), name


def test_rank_and_coverage_statistics_equal_the_metrics_of_copied_users():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(USERS, 20))
    pairs = np.nonzero(rng.random((USERS, 20)) < 0.2)
    nothing = (np.empty(0, int), np.empty(0, int))
    rank = ranking_metrics.ranks(scores, *pairs, nothing)
    statistics = measuring.rank_statistics(rank, pairs[0], USERS, K)
    top = ranking_metrics.top_k(scores, nothing, K)
    drawn = np.concatenate(list(bootstrap.draw_users(USERS, 5, 2, 5)))
    covered = bootstrap.coverage(top, np.arange(USERS))(drawn)
    for i in range(5):
        chosen = np.repeat(np.arange(USERS), drawn[i].astype(int))
        ranks = np.concatenate([rank[pairs[0] == user] for user in chosen])
        for name, value in measuring.rank_values(ranks, K).items():
            assert statistics[name](drawn)[i] == pytest.approx(value), name
        wanted = ranking_metrics.coverage_at_k(scores[chosen], nothing, K)
        assert covered[i] == pytest.approx(wanted)


def test_draws_do_not_depend_on_the_block():
    one = np.concatenate(list(bootstrap.draw_users(7, 10, 3, 10)))
    many = np.concatenate(list(bootstrap.draw_users(7, 10, 3, 3)))
    assert np.array_equal(one, many)
    assert (one.sum(axis=1) == 7).all()
    assert not np.array_equal(one, np.concatenate(list(bootstrap.draw_users(7, 10, 4, 10))))


def test_the_interval_of_a_mean_is_that_of_theory():
    rng = np.random.default_rng(2)
    values = rng.normal(size=400)  # one row a user: the standard error is known
    samples = bootstrap.resample(
        {"mean": bootstrap.ratio(values, np.ones(400))}, users=400, rows=400, samples=4000, seed=1
    )["mean"]
    error = values.std() / 20
    low, high = bootstrap.percentile_interval(samples)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)
    low, high = bootstrap.centred_interval(0.5, samples)
    assert (high + low) / 2 == pytest.approx(0.5)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_an_interval_is_wider_when_a_users_rows_go_together():
    user = np.repeat(np.arange(30), 20)
    rating = np.random.default_rng(3).normal(size=30)[user]
    alike = Rows(user, 30, rating, None, np.zeros(600), None)
    alone = Rows(np.arange(600), 600, rating, None, np.zeros(600), None)
    widths = []
    for found in (alike, alone):
        samples = bootstrap.resample(
            measuring.row_statistics(found, K), users=found.users, rows=600, samples=500, seed=0
        )
        low, high = bootstrap.percentile_interval(samples["mae"])
        widths.append(high - low)
    assert widths[0] > 3 * widths[1]


def test_samples_without_a_value_are_nan_and_left_out_of_intervals():
    auc = bootstrap.auc(np.array([1, 0]), np.array([0.9, 0.1]), np.array([0, 1]))
    found = auc(np.array([[2.0, 0], [1, 1]]))
    assert np.isnan(found[0])
    assert found[1] == 1
    assert bootstrap.percentile_interval(found) == (1, 1)
    assert np.isnan(bootstrap.percentile_interval(np.empty(0))).all()
    assert np.isnan(bootstrap.centred_interval(0.5, np.array([np.nan]))).all()
    assert bootstrap.resample({"auc": auc}, users=2, rows=2, samples=0, seed=0)["auc"].size == 0


def test_a_click_metric_in_its_own_words():
    found = rows(7)
    every = np.ones((1, USERS))
    statistics = measuring.row_statistics(found, K)
    assert statistics["auc"](every)[0] == pytest.approx(
        metrics.auc(found.target_click, found.click)
    )
