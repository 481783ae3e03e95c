"""The prior of a factorization's weights, entry by entry."""

import numpy as np
import pytest

from ssrec_tf.config import FactorConfig
from ssrec_tf.recommenders.priors import WeightPrior

K, MEMBERS, COUNTS = 3, 2, np.array([0, 1, 40])
SIZES = FactorConfig(width=K, precision=7.0, level_precision=5.0, starts=MEMBERS)


def weights():
    rng = np.random.default_rng(0)
    row = MEMBERS, 2 * K + 3
    shapes = (3, *row), (9, *row), (4, *row), (9, MEMBERS, K + 1)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize("rare_items", [0.0, 20.0])
def test_it_by_hand(rare_items):
    config = FactorConfig(**{**vars(SIZES), "rare_items": rare_items})
    of_id, of_word, of_behaviour, of_user_word = weights()
    row = np.array([7.0] * K + [5.0] + [7.0] * (K + 1) + [2.1])
    wanted = (of_word**2 @ row).sum() + 10 * (of_behaviour**2 @ row).sum()
    wanted += 2.1 * (of_user_word**2).sum()
    for item, times in enumerate((1 + rare_items, 1 + rare_items, 1 + rare_items / 40)):
        held = row * np.array([times] * K + [1.0] + [times] * (K + 1) + [1.0])
        wanted += (of_id[item] ** 2 @ held).sum()
    found = WeightPrior(config, COUNTS).loss(of_id, of_word, of_behaviour, of_user_word)
    assert float(found) == pytest.approx(wanted / MEMBERS, rel=1e-5)
