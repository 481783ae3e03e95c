"""The loop: exact resume, the finite guard and early stopping."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.config import LoopConfig, OptimizerConfig
from ssrec_tf.errors import NonFiniteError
from ssrec_tf.training import Validation, not_trained, train


class Line(keras.Model):
    """y = 2 x + 1 with dropout, so that the random state matters on resume."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.drop = keras.layers.Dropout(0.3)
        self.dense.build((None, 4))
        self.built = True

    def losses_of(self, batch, *, seed, training):
        del seed
        out = self.dense(self.drop(batch["x"], training=training))
        return {"loss": tf.reduce_mean((out - batch["y"]) ** 2)}


def batches(start, poison=None):
    def one(step):
        x = tf.random.stateless_normal([8, 4], tf.stack([tf.constant(3, tf.int64), step]))
        y = 2.0 * tf.reduce_sum(x, 1, keepdims=True) + 1.0
        if poison is not None:
            y = tf.where(step == poison, float("nan"), y)
        return step, {"x": x, "y": y}

    return tf.data.Dataset.range(start, 10_000).map(one)


def run(
    workdir,
    *,
    make=batches,
    steps=30,
    kill_at=None,
    patience=50,
    measure=None,
    model=None,
    average=0.0,
    accumulate=1,
):
    keras.utils.set_random_seed(1)
    model = model or Line()
    fixed = next(iter(batches(5000)))[1]

    def default():
        return {"loss": float(model.losses_of(fixed, seed=None, training=False)["loss"])}

    def killed(start):
        for step, batch in make(start):
            if kill_at is not None and int(step) == kill_at:
                raise KeyboardInterrupt
            yield step, batch

    state = train(
        model,
        killed,
        config=LoopConfig(
            steps=steps, evaluate_every=5, checkpoint_every=4, patience=patience, seed=3
        ),
        optimizer=OptimizerConfig(
            learning_rate=0.05, warmup_steps=3, average=average, accumulate=accumulate
        ),
        validation=Validation(measure or default),
        workdir=workdir,
        name="line",
    )
    return model, state


@pytest.mark.parametrize("rule", [{}, {"average": 0.9}, {"accumulate": 3}])
@pytest.mark.parametrize("kill_at", [1, 4, 13, 29])
def test_killed_and_resumed_is_bit_equal(tmp_path, kill_at, rule):
    unbroken, state = run(tmp_path / "a", **rule)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", kill_at=kill_at, **rule)
    resumed, again = run(tmp_path / "b", **rule)
    for left, right in zip(unbroken.variables, resumed.variables, strict=True):
        assert np.array_equal(left.numpy(), right.numpy())
    assert (state.step, state.best_step, state.best) == (again.step, again.best_step, again.best)


@pytest.mark.slow
def test_it_learns_and_writes_its_curve(tmp_path):
    model, state = run(tmp_path, steps=400)
    # Dropping inputs at rate p is a ridge that shrinks weights by 1 - p (Srivastava et al.
    # 2014, section 9.1): 2 * 0.7.
    assert model.dense.kernel.numpy()[:, 0] == pytest.approx([1.4] * 4, abs=0.3)
    curve = json.loads((tmp_path / "curve.json").read_text())
    assert {row["phase"] for row in curve} == {"train", "valid"}
    assert list(tmp_path.glob("tensorboard/events*"))
    assert state.step == 400


def test_a_nan_stops_within_its_step_and_keeps_the_last_good_checkpoint(tmp_path):
    keras.utils.set_random_seed(1)
    model = Line()
    with pytest.raises(NonFiniteError, match="step 9: loss=nan"):
        run(tmp_path, make=lambda start: batches(start, poison=9), model=model)
    assert all(np.isfinite(v.numpy()).all() for v in model.variables)
    assert (tmp_path / "latest" / "ckpt-8.index").exists()


def test_patience_stops_early_and_the_best_weights_come_back(tmp_path):
    losses = iter([3.0, 1.0, 2.0, 2.0, 2.0, 2.0])
    weights = []
    keras.utils.set_random_seed(1)
    model = Line()

    def measure():
        weights.append(model.dense.kernel.numpy().copy())
        return {"loss": next(losses)}

    _, state = run(tmp_path, patience=2, measure=measure, model=model)
    assert (state.step, state.best_step, state.best) == (20, 10, 1.0)
    assert np.array_equal(model.dense.kernel.numpy(), weights[1])


def test_what_is_validated_and_kept_is_the_running_mean(tmp_path):
    model, live, looked_at = Line(), [], []

    def recorded(start):
        for step, batch in batches(start):
            live.append(model.dense.kernel.numpy().copy())  # after `step` steps
            yield step, batch

    def measure():
        looked_at.append(model.dense.kernel.numpy().copy())
        return {"loss": float(len(looked_at))}  # the first is the best

    run(tmp_path, make=recorded, steps=10, measure=measure, model=model, average=0.8)
    mean = live[1]
    for kernel in live[2:6]:
        mean = 0.8 * mean + 0.2 * kernel
    assert looked_at[0] == pytest.approx(mean, abs=1e-6)
    assert np.array_equal(model.dense.kernel.numpy(), looked_at[0])


def test_no_training_leaves_what_a_training_leaves(tmp_path):
    state = not_trained(tmp_path / "work")
    assert (state.step, state.curve) == (0, [])
    assert json.loads((tmp_path / "work" / "curve.json").read_text()) == []
    assert (tmp_path / "work" / "tensorboard").is_dir()
