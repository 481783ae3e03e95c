"""What is popular of late: shares by hand, and nothing where all rows are of one time."""

import math

import numpy as np
import pytest

from ssrec_tf.popularity import recent_shift


def test_shares_by_hand():
    items, days = np.array([1, 1, 1, 2]), np.array([0, 0, 0, 10])
    shift = recent_shift(items, days * 86_400, 4, 5.0)
    ever = [1 / 8, 4 / 8, 2 / 8, 1 / 8]
    old = math.exp(-2)
    wanted = [
        math.log((rows + 200 * share) / (201 + 3 * old) / share)
        for rows, share in zip([0, 3 * old, 1, 0], ever, strict=True)
    ]
    assert shift == pytest.approx(wanted, abs=1e-6)
    assert shift.dtype == np.float32


def test_a_fashion_of_many_rows_is_followed():
    items = np.repeat([1, 2], [10_000, 10_000])
    times = np.repeat([0, 100 * 86_400], 10_000)
    shift = recent_shift(items, times, 3, 10.0)
    share = np.exp(shift) * np.array([1, 10_001, 10_001]) / 20_003
    assert share.sum() == pytest.approx(1.0)
    assert share[2] > 0.98


def test_rows_of_one_time_and_no_rows_shift_little_or_nothing():
    items = np.random.default_rng(0).integers(1, 50, 100_000)
    same = recent_shift(items, np.full(len(items), 7), 51, 30.0)
    assert np.abs(same[1:50]).max() < 1e-3
    nothing = np.empty(0, np.int64)
    assert not recent_shift(nothing, nothing, 5, 30.0).any()
