"""Planted exponents."""

import numpy as np
import pytest

from benchmarks.growth import exponent, marginal

SIZES = [1e4, 1e5, 1e6, 1e7]


@pytest.mark.parametrize("power", [0.5, 1.0, 1.3])
def test_a_planted_exponent_is_found(power):
    slope, factor = exponent(SIZES, [3e-6 * size**power for size in SIZES])
    assert slope == pytest.approx(power)
    assert factor == pytest.approx(3e-6)


def test_a_fixed_cost_hides_growth_from_one_fit_and_not_from_the_other():
    costs = 2.0 + 1e-9 * np.asarray(SIZES) ** 1.4
    assert exponent(SIZES, costs)[0] < 1.0
    assert marginal(SIZES, costs) == pytest.approx(1.4, abs=0.011)
