"""Overload for seconds: refused in the right words, and over at once."""

import pytest

from benchmarks import serving_overload


@pytest.mark.slow
def test_overload_is_refused_and_over_at_once():
    result = serving_overload.measure(None, 3.0)
    assert result["only_200_429_503"], result
    assert set(result["hostile"]) <= {"400", "413", "415"}
    assert result["memory_growth_mib"] < 50
    assert result["recovered_s"] is not None
    assert result["recovered_s"] < 5
