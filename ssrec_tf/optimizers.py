"""The optimizer of both trainings, and its learning rate over the steps."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from ssrec_tf.config import OptimizerConfig


def make_optimizer(config: OptimizerConfig, steps: int) -> keras.optimizers.Optimizer:
    """AdamW, linear warm-up then linear decay to nothing (or none), clipped by global norm.

    Biases, layer normalisations, scalars and what has a prior of its own are not decayed.
    The rate follows `steps`, which count batches, whether or not each is an update.

    References:
        Loshchilov & Hutter 2019, arXiv:1711.05101.
        Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging".
    """
    schedule = keras.optimizers.schedules.PolynomialDecay(
        config.learning_rate,
        max(1, steps - config.warmup_steps),
        end_learning_rate=0.0 if config.decay else config.learning_rate,
    )
    optimizer = MeanAdamW(
        _WarmUp(schedule, config.learning_rate, config.warmup_steps),
        weight_decay=config.weight_decay,
        global_clipnorm=config.clip_norm,
        use_ema=config.average > 0,
        # The mean runs once a batch: so many batches of equal weights count as one update.
        ema_momentum=config.average ** (1.0 / config.accumulate),
        gradient_accumulation_steps=config.accumulate if config.accumulate > 1 else None,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma", "scale", "factor_"])
    return optimizer


class MeanAdamW(keras.optimizers.AdamW):
    """AdamW for gradients that all replicas have in common already.

    Keras clips each replica's own gradients and sums them afterwards; the loop has to have
    their mean before, to clip by the norm that one device would see.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars


@keras.saving.register_keras_serializable(package="ssrec_tf")
class _WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Rise linearly to `peak` in `warmup` steps, then follow `after`."""

    def __init__(self, after: Any, peak: float, warmup: int) -> None:
        self.after, self.peak, self.warmup = after, peak, warmup

    def __call__(self, step: Any) -> Any:
        step = tf.cast(step, tf.float32)
        rising = self.peak * (step + 1.0) / max(1, self.warmup)
        return tf.where(step < self.warmup, rising, self.after(step - self.warmup))

    def get_config(self) -> dict[str, Any]:
        return {"after": self.after, "peak": self.peak, "warmup": self.warmup}
