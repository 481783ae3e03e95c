"""Many devices learn what one does: two logical CPUs, and two processes on loopback."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf import backbones, replicas, training
from ssrec_tf.config import LoopConfig, OptimizerConfig
from ssrec_tf.errors import ConfigError
from tests.ssrec_tf.train_on_devices import train

PROGRAM = Path(__file__).with_name("train_on_devices.py")
TASKS = ("masked_token", "two_level")
ONE_LAYER = {"num_layers": 1, "num_heads": 2, "hidden_dim": 32, "intermediate_dim": 64}
BESIDE = ("contrast",)  # replicas ask one another for more than means


def start(strategy, folder, *tasks, **environment):
    folder.mkdir(exist_ok=True)
    with open(folder / "log.txt", "w") as log:
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), strategy, str(folder), *tasks],
            env={**os.environ, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def finish(*processes, folders):
    codes = [process.wait(timeout=1800) for process in processes]
    logs = "\n".join((folder / "log.txt").read_text()[-3000:] for folder in folders)
    assert codes == [0] * len(codes), logs


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start_workers(folders, *tasks):
    addresses = [f"localhost:{port}" for port in free_ports(len(folders))]
    cluster = {"worker": addresses}
    return [
        start(
            *("multi_worker", folder, *tasks),
            TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": "worker", "index": i}}),
        )
        for i, folder in enumerate(folders)
    ]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("devices") / "one"
    finish(start("one", folder, *TASKS, *BESIDE), folders=[folder])
    return folder


def assert_same(one, other, task):
    with np.load(one / f"{task}.npz") as expected, np.load(other / f"{task}.npz") as got:
        assert set(got) == set(expected)
        assert sum("/" in name for name in got) >= 8  # the curves are there
        for name in expected:
            size = 1.0 if "/" not in name else max(1.0, abs(float(expected[name])))
            assert (
                np.abs(got[name] - expected[name].astype(float)).max(initial=0.0) < 1e-5 * size
            ), name


@pytest.mark.slow
def test_two_devices_learn_what_one_does(one, tmp_path):
    folder = tmp_path / "two"
    finish(start("mirrored", folder, *TASKS, *BESIDE), folders=[folder])
    for task in (*TASKS, *BESIDE):
        assert_same(one, folder, task)


@pytest.mark.slow
def test_two_workers_learn_what_one_device_does_and_resume_from_the_chief(one, tmp_path):
    folders = [tmp_path / "w0", tmp_path / "w1"]
    finish(*start_workers(folders, "masked_token+steps=2"), folders=folders)
    # Killed after step 2, as it were: it goes on, and the other task begins.
    for folder in folders:
        (folder / "masked_token+steps=2").rename(folder / "masked_token")
    finish(*start_workers(folders, "masked_token", "two_level"), folders=folders)
    for task in TASKS:
        for folder in folders:
            assert_same(one, folder, task)
        assert list((folders[0] / task / "latest").glob("ckpt-4*"))
        assert not list((folders[1] / task).rglob("ckpt*"))  # only the chief writes
    log = (folders[1] / "log.txt").read_text()
    assert "2/4" in log  # it went on from step 2, which only the chief had kept


@pytest.mark.slow
@pytest.mark.parametrize("task", ["masked_token", "two_level", "joint", "shared", "retrieval"])
def test_a_compiled_step_learns_what_one_that_is_not_does(task, world, tmp_path, monkeypatch):
    monkeypatch.setitem(backbones.SIZES, "tiny", ONE_LAYER)  # compiled in half the time
    loop = {"steps": 2, "evaluate_every": 2, "checkpoint_every": 2}
    found = []
    for xla in (False, True):
        variables, state = train(task, world, tmp_path / str(xla), {**loop, "xla": xla})
        found.append([v.numpy() for v in variables if v.dtype == "float32"])
        found[-1].append(
            np.array([row["value"] for row in state.curve if row["metric"] != "steps_per_second"])
        )
    for plain, compiled in zip(*found, strict=True):
        assert compiled == pytest.approx(plain, abs=1e-5, rel=1e-5)


def test_seeds_and_floats_are_those_of_tensorflow_compiled_or_not():
    seed = tf.constant([2**40 + 12_345, -(2**50)], tf.int64)
    for ours, theirs in (
        (replicas.uniform, tf.random.stateless_uniform),
        (replicas.split, tf.random.experimental.stateless_split),
        (replicas.fold_in, tf.random.experimental.stateless_fold_in),
    ):
        what = ([5, 301], seed) if ours is replicas.uniform else (seed, 3)
        expected = theirs(*what).numpy()
        assert np.array_equal(ours(*what), expected)
        compiled = tf.function(lambda: ours(*what), jit_compile=True)  # noqa: B023
        assert np.array_equal(compiled(), expected)


def test_on_one_device_nothing_is_parted():
    batch = {"x": tf.range(6), "y": tf.zeros([6, 2])}
    assert np.array_equal(replicas.own_rows(batch)["x"], np.arange(6))
    assert replicas.count() == 1
    values, weights = tf.constant([1.0, 5.0, 9.0]), tf.constant([1.0, 1.0, 0.0])
    assert float(replicas.weighted_mean(values, weights)) == 3.0
    assert float(replicas.weighted_mean(values, 0.0 * weights)) == 0.0


def test_replicas_that_accumulate_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(tf.distribute.Strategy, "num_replicas_in_sync", 2)
    with pytest.raises(ConfigError, match=r"optimizer\.accumulate is 2, but 2 replicas"):
        training.train(
            keras.Sequential(),
            lambda start: tf.data.Dataset.range(start),
            config=LoopConfig(),
            optimizer=OptimizerConfig(accumulate=2),
            validation=training.Validation(dict),
            workdir=tmp_path,
            name="none",
        )


def test_a_strategy_that_cannot_be_had_is_one_line():
    with pytest.raises(ConfigError, match=r"devices\.strategy is 'tpu', which"):
        replicas.make_strategy("tpu")
