"""What a training's configuration chooses where it is not told."""

import pytest

from ssrec_tf.config_training import LoopConfig


@pytest.mark.parametrize(
    ("given", "steps", "users", "wanted"),
    [
        (0, 300, 0, 32),
        (0, 300, 943, 32),
        (0, 300, 300 * 32, 32),
        (0, 300, 300 * 32 + 1, 64),
        (0, 300, 50_000, 256),
        (0, 300, 10_000_000, 256),
        (0, 0, 10, 32),
        (8, 300, 50_000, 8),
    ],
)
def test_a_batch_is_as_large_as_lets_the_steps_read_each_log_once(given, steps, users, wanted):
    loop = LoopConfig(steps=steps, batch_size=given, seed=3)
    assert loop.sized(users) == LoopConfig(steps=steps, batch_size=wanted, seed=3)
