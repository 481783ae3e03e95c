"""Each figure against scikit-learn, against a count of all pairs, or worked out by hand."""

import itertools
import math

import numpy as np
import pytest
from sklearn import metrics as reference

from ssrec_tf import metrics

RNG = np.random.default_rng(5)
N = 700
CLICK = (RNG.random(N) < 0.4).astype(np.int8)
# Rounded, so that many scores are equal.
SCORE = np.round(np.clip(0.25 * CLICK + RNG.random(N) * 0.75, 0, 1), 2)
USER = RNG.integers(0, 40, N)


def test_rating_errors():
    target = RNG.integers(1, 6, N).astype(np.float32)
    rating = (target + RNG.normal(size=N)).astype(np.float32)
    wanted = math.sqrt(reference.mean_squared_error(target.astype(float), rating.astype(float)))
    assert metrics.rmse(target, rating) == pytest.approx(wanted, rel=1e-12)
    wanted = reference.mean_absolute_error(target.astype(float), rating.astype(float))
    assert metrics.mae(target, rating) == pytest.approx(wanted, rel=1e-12)
    assert metrics.rmse(np.array([1, 5]), np.array([4, 1])) == pytest.approx(math.sqrt(12.5))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_auc_with_ties(kind):
    wanted = reference.roc_auc_score(CLICK, SCORE.astype(kind))
    assert metrics.auc(CLICK, SCORE.astype(kind)) == pytest.approx(wanted, rel=1e-12)
    assert metrics.auc(CLICK, np.full(N, 0.3)) == 0.5


def test_auc_of_one_class_is_nan():
    assert math.isnan(metrics.auc(np.ones(3), np.array([0.1, 0.2, 0.3])))
    assert math.isnan(metrics.auc(np.zeros(0), np.zeros(0)))


def test_gauc_weights_users_by_rows_and_leaves_out_single_class_ones():
    parts = []
    for user in range(40):
        own = user == USER
        if 0 < CLICK[own].sum() < own.sum():
            parts.append((reference.roc_auc_score(CLICK[own], SCORE[own]), own.sum()))
    wanted = sum(auc * rows for auc, rows in parts) / sum(rows for _, rows in parts)
    assert metrics.gauc(CLICK, SCORE, USER) == pytest.approx(wanted, rel=1e-12)
    # By hand: user 0 is ordered right (3 rows), user 1 wrong (2 rows), user 2 only clicks.
    click, score = np.array([1, 0, 0, 1, 0, 1]), np.array([0.9, 0.1, 0.2, 0.3, 0.4, 0.5])
    user = np.array([0, 0, 0, 1, 1, 2])
    assert metrics.gauc(click, score, user) == pytest.approx(3 / 5)
    values, weight = metrics.user_auc(click, score, user, users=4)
    assert values.tolist() == [1, 0, 0, 0]
    assert weight.tolist() == [3, 2, 0, 0]


def test_log_loss_and_what_stands_at_its_ends():
    wanted = reference.log_loss(CLICK, np.clip(SCORE, 1e-7, 1 - 1e-7))
    assert metrics.log_loss(CLICK, SCORE) == pytest.approx(wanted, rel=1e-9)
    assert metrics.log_loss(np.array([1]), np.array([0.0])) == pytest.approx(-math.log(1e-7))
    assert metrics.log_loss(np.array([1]), np.array([1.0], np.float32)) < 1e-6


def test_decisions_at_a_half():
    said = SCORE >= 0.5
    assert metrics.accuracy(CLICK, SCORE) == reference.accuracy_score(CLICK, said)
    assert metrics.precision(CLICK, SCORE) == reference.precision_score(CLICK, said)
    assert metrics.recall(CLICK, SCORE) == reference.recall_score(CLICK, said)
    assert metrics.f1(CLICK, SCORE) == pytest.approx(reference.f1_score(CLICK, said))
    nobody = np.zeros(3)
    assert metrics.precision(np.ones(3), nobody) == metrics.f1(np.ones(3), nobody) == 0
    assert metrics.recall(np.zeros(3), np.ones(3)) == 0


def test_calibration_by_hand():
    click = np.array([0, 1, 1, 1])
    said = np.array([0.1, 0.3, 0.9, 1.0])
    found = metrics.calibration(click, said, bins=2)
    assert [one.rows for one in found] == [2, 2]
    assert [one.predicted for one in found] == pytest.approx([0.2, 0.95])
    assert [one.clicked for one in found] == [0.5, 1.0]
    error = metrics.expected_calibration_error(click, said, bins=2)
    assert error == pytest.approx(0.5 * 0.3 + 0.5 * 0.05)
    assert math.isnan(metrics.expected_calibration_error(np.zeros(0), np.zeros(0)))


def test_calibration_error_with_fifteen_bins():
    edges = np.linspace(0, 1, 16)
    wanted = 0.0
    for low, high in itertools.pairwise(edges):
        own = (low <= SCORE) & ((high > SCORE) | (high == 1))
        if own.any():
            wanted += own.mean() * abs(SCORE[own].mean() - CLICK[own].mean())
    assert metrics.expected_calibration_error(CLICK, SCORE) == pytest.approx(wanted)


def test_ctr_by_hand():
    click = np.array([1, 0, 0, 0, 1])
    score = np.array([0.9, 0.5, 0.5, 0.1, 0.2])
    user = np.array([0, 0, 0, 0, 1])
    # User 0 is shown a click and one of two tied rows without; user 1 has a single row.
    assert metrics.ctr_at_k(click, score, user, 2) == pytest.approx(2 / 3)
    # Tied across the cutoff: the click of row 1 is shown half of the time.
    click = np.array([1, 1, 0, 0, 1])
    assert metrics.ctr_at_k(click, score, user, 2) == pytest.approx(2.5 / 3)
    assert math.isnan(metrics.ctr_at_k(np.zeros(0), np.zeros(0), np.zeros(0, int), 2))


def test_ctr_equals_the_mean_over_random_orders_of_ties():
    rng = np.random.default_rng(1)
    trials = []
    for _ in range(300):
        order = np.lexsort((rng.random(N), -SCORE))
        clicks = [CLICK[order[USER[order] == user][:5]] for user in range(40)]
        trials.append(np.concatenate(clicks).mean())
    found = metrics.ctr_at_k(CLICK, SCORE, USER, 5)
    assert found == pytest.approx(np.mean(trials), abs=4 * np.std(trials) / math.sqrt(300) + 1e-9)
