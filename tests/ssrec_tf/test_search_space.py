import pytest

from ssrec_tf.baselines import EXTENDED
from ssrec_tf.bench_tuning import baseline_defaults
from ssrec_tf.errors import ConfigError
from ssrec_tf.search_space import Range


def test_bounds_tell_whether_values_are_whole():
    assert Range(1, 8).whole
    assert not Range(1, 8.0).whole
    assert not Range(0.1, 1.0, log=True).whole


@pytest.mark.parametrize(
    ("bounds", "message"),
    [((2, 2), "give low below high"), ((3.0, 1.0), "from 3.0 to 1.0"), ((0, 5, True), "above 0")],
)
def test_a_range_with_nothing_to_draw_is_refused(bounds, message):
    with pytest.raises(ConfigError, match=message):
        Range(*bounds)


@pytest.mark.parametrize("name", [name for name, kind in EXTENDED.items() if kind.space])
def test_every_default_is_in_its_range_and_of_its_type(name):
    kind = EXTENDED[name]
    for key, value in baseline_defaults(kind).items():
        bounds = kind.space[key]
        assert bounds.low <= value <= bounds.high
        assert isinstance(value, int) == bounds.whole
