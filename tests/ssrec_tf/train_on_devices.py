"""A program of the tests: trains one model a task under a strategy, writes what came out.

Usage: train_on_devices.py STRATEGY OUT TASK... ; in a process of its own, because devices
and workers are fixed once TensorFlow has been used.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import tensorflow as tf

from ssrec_tf import learning, replicas
from ssrec_tf.config import EncoderConfig, from_dict
from ssrec_tf.statistics import LabelStatistics
from tests.ssrec_tf.conftest import World

LOOP = {"steps": 4, "batch_size": 8, "evaluate_every": 2, "checkpoint_every": 2, "seed": 5}
OPTIMIZER = {"learning_rate": 0.01, "warmup_steps": 2, "average": 0.5, "decay": False}
CONTRAST = {"masked_item": 1.0, "next_text": 1.0, "two_views": 1.0}
TASKS = {
    "masked_token": {"objectives": {"masked_token": 1.0}},
    "contrast": {"objectives": CONTRAST},
    "two_level": {"pair_head": "factorization", "next_item_weight": 0.5},
    "both": {"pair_head": "both", "encoder_steps": 3},
    "adversarial": {"regularisation": {"adversarial_epsilon": 0.5}},
    "uncertainty": {"task_weights": "uncertainty"},
    "joint": {"reading": "joint", "joint_length": 64, "max_history": 8},
    "shared": {
        "reading": "joint",
        "joint_length": 64,
        "max_history": 8,
        "targets_per_sequence": 4,
    },
    "retrieval": {"reading": "retrieval", "pair_head": "neural"},
}


def config_of(task, loop):
    """Without dropout: there replicas draw each for itself."""
    base = {"name": "x", "data": {"dataset": "movielens-100k"}}
    settings = {"loop": {**LOOP, **loop}, "optimizer": OPTIMIZER, **TASKS[task]}
    if "objectives" in settings:
        return from_dict({**base, "pretrain": {"sequence_length": 48, **settings}})
    sizes = {"max_history": 16, "max_targets": 8, "width": 16, "dropout": 0.0}
    return from_dict({**base, "train": {**sizes, **settings}})


def train(task, world, workdir, loop):
    """Returns the model's weights and the learning curve of its training."""
    config = config_of(task, loop)
    encoder_config = EncoderConfig(size="tiny", dropout=0.0)
    encoder = learning.create_encoder(encoder_config, world.text, seed=3)
    if "objectives" in TASKS[task]:
        state = learning.pretrain(
            encoder,
            world.text,
            world.examples,
            config.pretrain,
            past_only=world.split.past_only,
            workdir=workdir,
        )
        return encoder.variables, state
    statistics = LabelStatistics.of(world.tables, world.split.train)
    model = learning.make_recommender(encoder, world.text, statistics, config.train)
    state = learning.fit(model, world.examples, past_only=world.split.past_only, workdir=workdir)
    return model.variables, state


def main(strategy_name, out, *tasks):
    """Train the tasks one after the other; `task+steps=3` changes the loop of one."""
    if strategy_name == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
    strategy = replicas.make_strategy(strategy_name)
    out = Path(out)
    world = World(Path(tempfile.mkdtemp()))
    for named in tasks:
        task, _, loop = named.partition("+")
        loop = dict(part.split("=") for part in loop.split(",") if part)
        loop = {key: int(value) for key, value in loop.items()}
        loop["xla"] = bool(loop.get("xla"))
        with strategy.scope():
            variables, state = train(task, world, out / named, loop)
        curve = {
            f"{row['step']}/{row['phase']}/{row['metric']}": row["value"]
            for row in state.curve
            if row["metric"] != "steps_per_second"
        }
        seeds = {"seed_generator_state"}
        weights = {f"weight{i}": v.numpy() for i, v in enumerate(variables) if v.name not in seeds}
        np.savez(out / f"{named}.npz", **weights, **curve)
        print(named, state.step, state.best, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
