"""Adversarial training: the loss also where the embeddings stand a small step worse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from ssrec_tf import replicas

Losses = dict[str, tf.Tensor]


@dataclass(frozen=True)
class FastGradient:
    """The fast gradient method on embeddings.

    Attributes:
        epsilon: length of the step, over all tables together; 0 switches it off.
        tables: Keras variables of embeddings, trained or frozen.

    Reference:
        Miyato et al. 2017, arXiv:1605.07725.
    """

    epsilon: float = 0.0
    tables: Sequence[Any] = ()


def gradients_of(
    losses: Callable[[], Losses], variables: Sequence[Any], method: FastGradient
) -> tuple[Losses, list[tf.Tensor]]:
    """Gradients of the loss, and of the adversarial loss if `method` is on.

    The step is taken inside a scope in which the tables read as moved: no variable is
    written, so nothing has to be put back and every replica may do it by itself.

    Args:
        losses: gives the scalars of a batch, `loss` among them, by the variables as they are.
        variables: Keras variables to differentiate by.
        method: how far to step, and on what.

    Returns:
        The scalars, with `adversarial_loss` if the method is on; the gradients of
        `loss` (+ `adversarial_loss`), dense, 0 for what the loss does not hang on.
    """
    tables = list(method.tables) if method.epsilon > 0 else []
    sources = [variable.value for variable in (*variables, *tables)]
    with tf.GradientTape() as tape:
        tape.watch([table.value for table in tables])
        scalars = losses()
    found = _dense_gradients(tape, scalars["loss"], sources)
    gradients, worse = found[: len(variables)], found[len(variables) :]
    if not tables:
        return scalars, gradients
    steps = perturbations(replicas.mean(worse), method.epsilon)
    with tf.GradientTape() as tape:
        moved = [
            (table, table.value + tf.stop_gradient(step))
            for table, step in zip(tables, steps, strict=True)
        ]
        with keras.StatelessScope(state_mapping=moved):
            adversarial = losses()["loss"]
    more = _dense_gradients(tape, adversarial, sources[: len(variables)])
    return (
        {**scalars, "adversarial_loss": adversarial},
        [one + other for one, other in zip(gradients, more, strict=True)],
    )


def perturbations(gradients: Sequence[tf.Tensor], epsilon: float) -> list[tf.Tensor]:
    """Step of length `epsilon` along gradients taken as one vector; 0 where they are 0."""
    scale = tf.math.divide_no_nan(epsilon, tf.linalg.global_norm(gradients))
    return [gradient * scale for gradient in gradients]


def _dense_gradients(
    tape: tf.GradientTape, loss: tf.Tensor, sources: Sequence[tf.Variable]
) -> list[tf.Tensor]:
    gradients = tape.gradient(loss, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return [tf.convert_to_tensor(gradient) for gradient in gradients]
