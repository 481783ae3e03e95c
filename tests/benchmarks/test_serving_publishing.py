"""Publishers that are killed, and a crowd of them."""

import pytest

from benchmarks import serving_publishing


@pytest.mark.slow
def test_publishers_that_are_killed_and_publishers_in_a_crowd():
    result = serving_publishing.measure(kills=3, publishers=8, seed=1)
    assert result["partial"] == 0
    assert result["left_over_after_next_push"] == []
    assert (result["versions"], result["distinct"], result["all_pushed"]) == (8, 8, True)
