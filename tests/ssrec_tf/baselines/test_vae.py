from functools import partial

import keras
import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import norm

from ssrec_tf.baselines import VariationalAutoencoder
from ssrec_tf.baselines.vae import NormalCode, even_chance, multinomial_loss
from tests.ssrec_tf.baselines.conftest import Contract, groups, hits


@pytest.mark.parametrize("kind", [partial(VariationalAutoencoder, code=4, hidden=8, epochs=2)])
class TestContract(Contract):
    pass


@pytest.mark.slow
def test_it_finds_what_a_planted_group_has_and_equal_seeds_give_equal_scores():
    tables, split = groups()
    one, two = (
        VariationalAutoencoder(code=8, hidden=32, learning_rate=0.01, epochs=60) for _ in range(2)
    )
    assert hits(one, tables, split) == 1
    assert hits(two, tables, split) == 1
    users = np.array(["u0", "u1", "nobody"], object)
    assert np.array_equal(one.rank(users), two.rank(users))


def test_the_loss_is_that_of_the_candidates():
    logits = np.array([[0.3, -1.0, 2.0, 0.5], [1.0, 0.0, -1.0, 0.2]], np.float32)
    wanted = np.array([[-1, 1, 0, 1], [0, 0, 1, -1]], np.float32)
    first = log_softmax(logits[0, 1:])
    second = log_softmax(logits[1, :3])
    found = keras.ops.convert_to_numpy(multinomial_loss(wanted, logits))
    assert found == pytest.approx([-(first[0] + first[2]), -second[2]], abs=1e-5)


def test_the_divergence_is_the_integral_and_rises():
    mean = np.array([[0.5, -1.0], [0.2, 0.0]], np.float32)
    log_variance = np.array([[0.3, -0.7], [0.0, 0.4]], np.float32)
    layer = NormalCode(divergence=0.2, steps=4, seed=0)
    code = layer([mean, log_variance], training=False)
    assert keras.ops.convert_to_numpy(code) == pytest.approx(mean)
    assert float(layer.losses[0]) == 0
    for _ in range(2):
        drawn = layer([mean, log_variance], training=True)
    assert not np.allclose(drawn, mean)
    layer([mean, log_variance], training=False)
    x = np.linspace(-12, 12, 20_001)
    total = 0.0
    for m, v in zip(mean.ravel(), log_variance.ravel(), strict=True):
        own, other = norm(m, np.exp(v / 2)), norm()
        total += np.trapezoid(own.pdf(x) * (own.logpdf(x) - other.logpdf(x)), x)
    assert float(layer.losses[0]) == pytest.approx(0.2 * (2 / 4) * total / 2, rel=1e-4)


def test_an_even_chance_is_0():
    found = even_chance(np.array([[1.0, 1.0, 1.0], [np.log(6), np.log(3), np.log(3)]]))
    assert found[0] == pytest.approx([0, 0, 0, 0])
    assert found[1] == pytest.approx([np.log(1.5), np.log(0.75), np.log(0.75), 0])
