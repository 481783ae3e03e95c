import keras
import numpy as np
import pytest

from ssrec_tf.baselines.networks import Schedule, apply_network, hold_out, train_network


def line(seed=0):
    """One weight without a bias, from 0."""
    x = keras.Input((1,), name="x")
    return keras.Model(
        {"x": x}, keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(x)
    )


def test_a_share_is_held_out_by_the_seed_and_nothing_of_few_rows():
    schedule = Schedule(1, 1, 0.1, held_out=0.2, seed=3)
    kept, held = hold_out(100, schedule)
    assert (kept ^ held).all()
    assert held.sum() == 20
    assert np.array_equal(held, hold_out(100, schedule)[1])
    assert not np.array_equal(held, hold_out(100, Schedule(1, 1, 0.1, held_out=0.2))[1])
    assert hold_out(30, schedule)[0].all()


def test_the_weights_of_the_best_epoch_are_kept():
    # What is kept says 3 and what is held says 1: the weight passes 1 on its way.
    x = np.ones((32, 1), np.float32)
    network = line()
    train_network(
        network, ({"x": x}, 3 * x), ({"x": x}, x),
        Schedule(epochs=100, batch_size=32, learning_rate=0.1, patience=4),
        loss=keras.losses.mean_squared_error,
    )  # fmt: skip
    assert float(network.weights[0][0, 0]) == pytest.approx(1.0, abs=0.06)
    assert 10 < len(network.history.epoch) < 20
    blind = line()
    train_network(
        blind, ({"x": x}, 3 * x), None, Schedule(epochs=100, batch_size=32, learning_rate=0.1),
        loss=keras.losses.mean_squared_error,
    )  # fmt: skip
    assert float(blind.weights[0][0, 0]) == pytest.approx(3.0, abs=0.1)
    assert apply_network(blind, [{"x": x[:2]}, {"x": x[:1]}]).shape == (3, 1)


def test_batches_follow_from_the_seed_and_not_from_keras_or_tensorflow():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 1)).astype(np.float32)
    y = x + rng.normal(size=(64, 1)).astype(np.float32)
    found = []
    for seed, own in ((1, 0), (2, 0), (2, 5)):
        keras.utils.set_random_seed(seed)
        network = line()
        train_network(
            network, ({"x": x}, y), None, Schedule(2, 8, 0.1, seed=own),
            loss=keras.losses.mean_squared_error,
        )  # fmt: skip
        found.append(float(network.weights[0][0, 0]))
    assert found[0] == found[1] != found[2]
