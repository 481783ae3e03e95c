"""The fast gradient method: steps and gradients by hand on a linear model, exact resume."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.adversarial import FastGradient, gradients_of, perturbations
from ssrec_tf.config import LoopConfig, OptimizerConfig
from ssrec_tf.training import Validation, train

ROWS = np.array([0, 2, 2])
TARGET = np.array([1.0, -1.0, 0.5])


class Linear(keras.Model):
    """Rows of a table times a weight; squared error."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.table = self.add_weight(shape=(4, 2), initializer="zeros", name="table")
        self.weight = self.add_weight(shape=(2,), initializer="zeros", name="weight")
        self.drop = keras.layers.Dropout(dropout, seed=1)
        rng = np.random.default_rng(0)
        for variable in (self.table, self.weight):
            variable.assign(rng.normal(size=variable.shape))
        self.built = True

    def losses_of(self, batch, *, seed, training):
        rows = tf.gather(self.table, batch["rows"])
        out = tf.linalg.matvec(
            self.drop(rows, training=training), tf.convert_to_tensor(self.weight)
        )
        return {"loss": tf.reduce_mean((out - batch["target"]) ** 2)}


BATCH = {"rows": tf.constant(ROWS), "target": tf.constant(TARGET, tf.float32)}


def by_hand(table, weight):
    """Loss and its gradients by table and weight, in numpy."""
    error = table[ROWS] @ weight - TARGET
    by_row = 2 * error[:, None] * weight / len(ROWS)
    by_table = np.zeros_like(table)
    np.add.at(by_table, ROWS, by_row)
    return np.mean(error**2), by_table, 2 * error @ table[ROWS] / len(ROWS)


@pytest.mark.parametrize("frozen", [False, True])
def test_step_and_gradients_by_hand(frozen):
    model = Linear()
    table, weight = model.table.numpy().copy(), model.weight.numpy().copy()
    model.table.trainable = not frozen
    method = FastGradient(0.5, [model.table])

    @tf.function(autograph=False)
    def step():
        def losses():
            return model.losses_of(BATCH, seed=None, training=True)

        return gradients_of(losses, model.trainable_variables, method)

    scalars, gradients = step()
    loss, by_table, by_weight = by_hand(table, weight)
    moved = table + 0.5 * by_table / np.sqrt((by_table**2).sum())
    worse, then_by_table, then_by_weight = by_hand(moved, weight)
    assert float(scalars["loss"]) == pytest.approx(loss, rel=1e-5)
    assert float(scalars["adversarial_loss"]) == pytest.approx(worse, rel=1e-5)
    assert worse > loss
    assert gradients[-1].numpy() == pytest.approx(by_weight + then_by_weight, rel=1e-4)
    if not frozen:
        assert gradients[0].numpy() == pytest.approx(by_table + then_by_table, abs=1e-5)
    assert np.array_equal(model.table.numpy(), table)  # nothing was written


def test_several_tables_share_one_length():
    gradients = [tf.constant([[3.0, 0.0]]), tf.constant([[0.0], [4.0]])]
    steps = perturbations(gradients, 0.1)
    assert steps[0].numpy() == pytest.approx(np.array([[0.06, 0.0]]))
    assert steps[1].numpy() == pytest.approx(np.array([[0.0], [0.08]]))
    assert not perturbations([tf.zeros([2])], 0.1)[0].numpy().any()


def test_off_it_is_the_plain_gradient():
    model = Linear()
    scalars, gradients = gradients_of(
        lambda: model.losses_of(BATCH, seed=None, training=True),
        model.trainable_variables,
        FastGradient(0.0, [model.table]),
    )
    _, by_table, by_weight = by_hand(model.table.numpy(), model.weight.numpy())
    assert set(scalars) == {"loss"}
    assert gradients[0].numpy() == pytest.approx(by_table, abs=1e-6)
    assert gradients[1].numpy() == pytest.approx(by_weight, rel=1e-5)


def run(workdir, kill_at=None):
    model = Linear(dropout=0.3)

    def batches(start):
        for step in range(start, 100):
            if step == kill_at:
                raise KeyboardInterrupt
            yield tf.constant(step, tf.int64), BATCH

    train(
        model,
        batches,
        config=LoopConfig(steps=12, evaluate_every=4, checkpoint_every=3, seed=3),
        optimizer=OptimizerConfig(learning_rate=0.05, warmup_steps=2, clip_norm=0.1),
        validation=Validation(lambda: {"loss": 1.0}),
        workdir=workdir,
        name="linear",
        adversarial=FastGradient(0.3, [model.table]),
    )
    return model


def test_killed_and_resumed_is_bit_equal(tmp_path):
    unbroken = run(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", kill_at=7)
    resumed = run(tmp_path / "b")
    for left, right in zip(unbroken.variables, resumed.variables, strict=True):
        assert np.array_equal(left.numpy(), right.numpy())
