"""What is settled once all is learnt: which popularity counts, and how much each source does.

What is learnt, what followed what, what goes together and popularity are added up to tell the
next item. Their weights are trained with everything else, on rows which the counts and the
embeddings know by heart, so each source seems surer there than it is. A handful of numbers, fitted
once more on rows that no source has seen, put that right; nothing else moves.

Reference:
    Wolpert 1992, "Stacked generalization" (weights of models by rows they were not fitted on).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from scipy.optimize import minimize

from ssrec_tf import learning
from ssrec_tf.batching import Batch, BatchConfig, evaluation_batches, row_count
from ssrec_tf.recommenders import Indexed, Recommender

_BATCHES = 200  # of the valid part; more say no more of six numbers
_PASSES = 12


def finish(model: Recommender, examples: Path, *, past_only: bool) -> None:
    """Settle what training leaves open, on one device; what is evaluated and served is this.

    Args:
        model: of `distillation.fit`, which does not keep what is settled here.
        examples: folder of `write_examples`.
        past_only: as in the split.
    """
    if not isinstance(model, Indexed):
        return
    model.encoder.trainable = False  # as after the training: stored vectors are read
    # Not earlier: a student's members, and what is learnt beyond popularity, know all of train.
    if past_only:
        learning.follow_recent(model, examples)
    balance_sources(model, examples, learning.batch_config(model.config, past_only=past_only))


def balance_sources(model: Indexed, examples: Path, config: BatchConfig) -> None:
    """Fit `model.source_scales` to the next items of the valid part, as far as they go.

    Args:
        model: trained, with items stored.
        examples: folder of `write_examples`.
        config: sizes of a batch.
    """
    scales = model.source_scales
    batches = evaluation_batches(examples, "valid", config)
    some = list(batches.take(_BATCHES)) if scales and model.config.next_item_weight > 0 else []
    if not some:
        return

    def measured(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            outputs = model.outputs_of(batch, seed=tf.zeros([2], tf.int64), training=False)
            loss = model.next_item_loss(outputs, batch)
        return loss, tf.stack(tape.gradient(loss, [scale.value for scale in scales]))

    compiled = tf.function(measured, input_signature=[batches.element_spec], autograph=False)
    rows = np.array([row_count(batch) for batch in some], float)
    share = rows / rows.sum()  # [batches]

    def assign(values: np.ndarray) -> None:
        for scale, value in zip(scales, values, strict=True):
            scale.assign(value)

    def of_all(values: np.ndarray) -> tuple[float, np.ndarray]:
        assign(values)
        losses, slopes = zip(*map(compiled, some), strict=True)
        return float(share @ np.array(losses, float)), share @ np.array(slopes, float)

    start = np.array([float(scale) for scale in scales])
    limits = {"maxiter": _PASSES, "maxfun": 2 * _PASSES}
    found = minimize(of_all, start, jac=True, method="L-BFGS-B", options=limits)
    assign(found.x)
