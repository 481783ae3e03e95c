"""One loss of several tasks': by weights of the configuration, or by learnt ones."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import tensorflow as tf

from ssrec_tf.config import TrainConfig
from ssrec_tf.statistics import LabelStatistics

_REGRESSION, _PRIOR = "rating_loss", "prior_loss"


class TaskWeights(keras.layers.Layer):
    """Sums the losses of the tasks that have labels and a weight above 0.

    With `task_weights: uncertainty` a task's weight follows from its noise variance v, which
    is learnt: a squared error L counts as L / 2v + log(v) / 2, a cross-entropy as
    L / v + log(v) / 2. A task at its optimum then weighs the less the more of its loss is
    noise, whatever its scale.

    The prior of the ratings' factors, where there are any, is counted with their loss.

    Args:
        config: `rating_weight`, `click_weight`, `next_item_weight` and `task_weights`.
        statistics: which labels there are.

    Reference:
        Kendall et al. 2018, arXiv:1705.07115, section 3.2.
    """

    def __init__(self, config: TrainConfig, statistics: LabelStatistics) -> None:
        """Make the log variances where they are learnt; they start at 0."""
        super().__init__(name="task_weights")
        weights = {
            "rating_loss": config.rating_weight * statistics.has_rating,
            "click_loss": config.click_weight * statistics.has_click,
            "next_item_loss": config.next_item_weight,
        }
        self.fixed = {name: weight for name, weight in weights.items() if weight > 0}
        self.learnt = config.task_weights == "uncertainty"
        if self.learnt:
            # A scale, for the optimizer: decay would pull every variance to 1.
            self.log_variances = self.add_weight(
                shape=(len(self.fixed),), initializer="zeros", name="scale_log_variances"
            )
        self.built = True

    def call(self, losses: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Sum scalars by name, float32 []; a task that is not among `losses` is left out."""
        total = tf.constant(0.0)
        for place, (name, weight) in enumerate(self.fixed.items()):
            if name not in losses:
                continue
            loss = losses[name] + (losses.get(_PRIOR, 0.0) if name == _REGRESSION else 0.0)
            if self.learnt:
                log_variance = tf.convert_to_tensor(self.log_variances)[place]
                half = 0.5 if name == _REGRESSION else 1.0
                total += half * tf.exp(-log_variance) * loss + 0.5 * log_variance
            else:
                total += weight * loss
        return total
