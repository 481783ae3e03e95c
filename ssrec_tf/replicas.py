"""One code for one device and for many: what a replica must ask of the others.

A batch is parted by rows among the replicas of a `tf.distribute` strategy. For N of them to
learn what one device would, three things must not hang on the parting: a mean over a batch
(`weighted_mean`), what is drawn for a row (`uniform_rows`) and the negatives of a batch
(`gather_rows`). On one device each is the plain operation.

Each replica's loss is N times its share of the whole loss, so the mean over replicas, of
losses as of gradients, is the value of the whole batch.

Reference:
    Goyal et al. 2017, arXiv:1706.02677, section 3.1 (how losses are scaled).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from ssrec_tf.errors import ConfigError

Batch = dict[str, tf.Tensor]


@cache
def make_strategy(name: str) -> tf.distribute.Strategy:
    """Make a strategy, one of each name a process.

    Args:
        name: one (the default device), mirrored (all devices of this machine), multi_worker
            (the processes that `TF_CONFIG` names, each started by hand or by a cluster) or
            tpu (the one this machine is attached to). multi_worker must be made before
            TensorFlow is used for anything else.

    Raises:
        ConfigError: there are no such devices.
    """
    try:
        if name == "mirrored":
            devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
            return tf.distribute.MirroredStrategy([device.name for device in devices])
        if name == "multi_worker":
            return tf.distribute.MultiWorkerMirroredStrategy()
        if name == "tpu":
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu="local")
            tf.tpu.experimental.initialize_tpu_system(resolver)
            return tf.distribute.TPUStrategy(resolver)
    except (RuntimeError, ValueError, tf.errors.OpError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"devices.strategy is {name!r}, which cannot be had here ({reason}): set it to one"
        ) from None
    return tf.distribute.get_strategy()


# Within a step


def count() -> int:
    """How many replicas run this step; 1 outside of one."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else int(context.num_replicas_in_sync)


def mean(value: Any) -> Any:
    """Mean over the replicas: a tensor, or a list of them, the same on each afterwards."""
    if count() == 1:
        return value
    context = tf.distribute.get_replica_context()
    # A collective of nothing ends the process between workers (TensorFlow 2.21).
    some = [one for one in tf.nest.flatten(value) if one.shape.num_elements() != 0]
    found = iter(context.all_reduce(tf.distribute.ReduceOp.MEAN, some))
    return tf.nest.map_structure(
        lambda one: one if one.shape.num_elements() == 0 else next(found), value
    )


def own_rows(batch: Batch) -> Batch:
    """Take this replica's rows of a whole batch: [batch, ...] to [batch / replicas, ...]."""
    return {name: _own_part(value) for name, value in batch.items()}


def gather_rows(value: tf.Tensor) -> tf.Tensor:
    """Put all replicas' rows together, in the order of the whole batch: [n, ...] to [N n, ...]."""
    if count() == 1:
        return value
    gathered = tf.distribute.get_replica_context().all_gather(value, axis=0)
    return tf.ensure_shape(gathered, [None, *value.shape[1:]])


def weighted_mean(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Mean of the whole batch's values by weight, 0 where nothing has any: [...] twice to [].

    Each replica gets what its own rows add, times the replicas; see the module's docstring.
    """
    total = mean(tf.reduce_sum(weights))
    return tf.reduce_sum(values * weights) / tf.maximum(total, 1.0 / count())


def split(seed: tf.Tensor, count: int) -> tf.Tensor:
    """Make seeds of a seed: [2] to [count, 2], the same on any device and by XLA."""
    return tf.random.experimental.stateless_split(seed, count, alg="philox")


def fold_in(seed: tf.Tensor, number: Any) -> tf.Tensor:
    """Make a seed of a seed and a number: [2], the same on any device and by XLA."""
    return tf.random.experimental.stateless_fold_in(seed, number, alg="philox")


def uniform(
    shape: Any, seed: tf.Tensor, minval: Any = 0, maxval: Any = None, dtype: tf.DType = tf.float32
) -> tf.Tensor:
    """Draw evenly from [minval, maxval) if `dtype` is an integer's, from [0, 1) otherwise.

    As `tf.random.stateless_uniform` on a CPU; but XLA, which makes other floats of the same
    bits, gives the same.

    Reference:
        Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3" (Philox).
    """
    if dtype.is_integer:
        return tf.random.stateless_uniform(shape, seed, minval, maxval, dtype, alg="philox")
    bits = tf.random.stateless_uniform(shape, seed, None, None, tf.int32, alg="philox")
    mantissa = tf.bitwise.bitwise_and(bits, 0x7FFFFF)
    return tf.bitcast(tf.bitwise.bitwise_or(mantissa, 0x3F800000), tf.float32) - 1.0


def uniform_rows(
    shape: Any, seed: tf.Tensor, minval: Any = 0, maxval: Any = None, dtype: tf.DType = tf.float32
) -> tf.Tensor:
    """Draw as `uniform` what one device would draw for these rows of the whole batch.

    The first dimension of `shape` are this replica's rows.
    """
    replicas = count()
    if replicas == 1:
        return uniform(shape, seed, minval, maxval, dtype)
    shape = tf.convert_to_tensor(shape)
    whole = tf.concat([shape[:1] * replicas, shape[1:]], axis=0)
    return _own_part(uniform(whole, seed, minval, maxval, dtype))


def _own_part(value: tf.Tensor) -> tf.Tensor:
    """Of [n, ...] the part of this replica: [n / replicas, ...]."""
    replicas = count()
    if replicas == 1:
        return value
    context = tf.distribute.get_replica_context()
    rows = tf.shape(value)[0] // replicas
    part = value[context.replica_id_in_sync_group * rows :][:rows]  # [n / replicas, ...]
    known = value.shape[0]
    return tf.ensure_shape(part, [None if known is None else known // replicas, *value.shape[1:]])


# Between workers


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes what only one may; the only process always does."""
    resolver = strategy.cluster_resolver
    if is_alone(strategy) or not resolver.cluster_spec().as_dict():
        return True
    chief = "chief" in resolver.cluster_spec().jobs
    return bool(resolver.task_type == "chief" or (not chief and resolver.task_id == 0))


def is_alone(strategy: tf.distribute.Strategy) -> bool:
    """Whether no other process takes part."""
    return not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def from_chief(strategy: tf.distribute.Strategy, values: Sequence[Any]) -> list[np.ndarray]:
    """Give every worker the chief's values: arrays of the same shapes and types on each."""
    arrays = [np.asarray(value) for value in values]
    if is_alone(strategy):
        return arrays
    chief = is_chief(strategy)
    some = [_wide(array) for array in arrays if array.size]  # see `mean`
    own = [array if chief else np.zeros_like(array) for array in some]
    shared = _chiefs_sum(strategy)([tf.convert_to_tensor(array) for array in own])
    found = iter(strategy.experimental_local_results(value)[0].numpy() for value in shared)
    return [
        next(found).astype(array.dtype).reshape(array.shape) if array.size else array
        for array in arrays
    ]


@cache
def _chiefs_sum(strategy: tf.distribute.Strategy) -> Any:
    """A function that gives every worker what the first replica of the first one says."""

    def said(values: list[tf.Tensor]) -> list[tf.Tensor]:
        context = tf.distribute.get_replica_context()
        # Of several devices of the chief only one speaks: replicas are numbered worker by
        # worker, the chief's before the others', which say 0 anyway.
        speaks = context.replica_id_in_sync_group == 0
        own = [tf.where(speaks, value, tf.zeros_like(value)) for value in values]
        return [context.all_reduce(tf.distribute.ReduceOp.SUM, value) for value in own]

    return tf.function(
        lambda values: strategy.run(said, args=(values,)), reduce_retracing=True, autograph=False
    )


def plain_from_chief(strategy: tf.distribute.Strategy, value: Any) -> Any:
    """Give every worker the chief's JSON-serialisable value."""
    data = np.frombuffer(json.dumps(value).encode(), np.uint8)
    size = int(from_chief(strategy, [np.int64(len(data))])[0])
    own = np.zeros(size, np.uint8)
    own[: len(data)] = data[:size]
    return json.loads(from_chief(strategy, [own])[0].tobytes())


def _wide(array: np.ndarray) -> np.ndarray:
    """As a type that can be summed over workers without loss."""
    return array if array.dtype.kind == "f" else array.astype(np.int64)
