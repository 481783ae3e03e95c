"""Features of moments: a Gaussian process in time, as a sum of waves.

Reference:
    Rahimi & Recht 2007, "Random Features for Large-Scale Kernel Machines".
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# Paces at which a mood passes, in days: minutes, a sitting, from day to day, over a season.
PACES = (0.003, 0.02, 1.0, 30.0)
_DAY = 86_400.0


def frequencies(waves: int) -> np.ndarray:
    """Angles a day, float32 [paces, waves]: quantiles of the spectrum of exp(-|t| / pace)."""
    quantiles = (np.arange(waves) + 0.5) / max(waves, 1)
    spectrum = np.tan(0.5 * np.pi * quantiles)  # of a half Cauchy distribution
    found: np.ndarray = spectrum / np.array(PACES)[:, None]
    return found.astype(np.float32)


def waves_of(times: tf.Tensor, moment: tf.Tensor, angles_a_day: tf.Tensor) -> tf.Tensor:
    """Features whose inner product, pace by pace, falls off with the time between them.

    Args:
        times: int64 [batch, n], in seconds, 0 where unknown: nothing is felt then.
        moment: int64 [batch, 1], what times are counted from; any will do.
        angles_a_day: float32 [paces, waves], of `frequencies`.

    Returns:
        float32 [batch, n, paces * 2 * waves]; each pace's part has length 1.
    """
    days = tf.cast(times - moment, tf.float32) / _DAY  # [batch, n]
    angles = days[:, :, None, None] * angles_a_day  # [batch, n, paces, waves]
    both = tf.concat([tf.cos(angles), tf.sin(angles)], axis=-1)
    both *= float(max(angles_a_day.shape[1], 1)) ** -0.5
    both *= tf.cast(times > 0, tf.float32)[:, :, None, None]
    shape = tf.shape(times)
    width = both.shape[2] * both.shape[3]
    return tf.reshape(both, [shape[0], shape[1], width])  # [batch, n, paces * 2 * waves]
