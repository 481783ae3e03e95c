"""The measurements of serving, small: what must never happen does not, whatever the machine."""

import pytest

from benchmarks import serving_overload, serving_publishing, serving_swaps


@pytest.mark.slow
def test_no_answer_is_lost_or_mixed_while_versions_change():
    result = serving_swaps.measure(swaps=2, rate=20.0, pause=0.5)
    assert result["failures"] == []
    assert result["mixed"] == 0
    assert result["versions"] == 3
    assert result["requests"] > 50


@pytest.mark.slow
def test_overload_is_refused_and_over_at_once():
    result = serving_overload.measure(None, 3.0)
    assert result["only_200_429_503"], result
    assert set(result["hostile"]) <= {"400", "413", "415"}
    assert result["memory_growth_mib"] < 50
    assert result["recovered_s"] is not None
    assert result["recovered_s"] < 5


@pytest.mark.slow
def test_publishers_that_are_killed_and_publishers_in_a_crowd():
    result = serving_publishing.measure(kills=3, publishers=8, seed=1)
    assert result["partial"] == 0
    assert result["left_over_after_next_push"] == []
    assert (result["versions"], result["distinct"], result["all_pushed"]) == (8, 8, True)
