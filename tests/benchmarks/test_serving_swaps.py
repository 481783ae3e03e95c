"""Hot swaps, few of them: no answer is lost or of two versions."""

import pytest

from benchmarks import serving_swaps


@pytest.mark.slow
def test_no_answer_is_lost_or_mixed_while_versions_change():
    result = serving_swaps.measure(swaps=2, rate=20.0, pause=0.5)
    assert result["failures"] == []
    assert result["mixed"] == 0
    assert result["versions"] == 3
    assert result["requests"] > 50
