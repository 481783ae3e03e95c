"""Several recommenders of one configuration, and the mean of what they predict.

Three ways to come by members: trainings apart, differing in their seeds; one training whose
learning rate rises anew for each; draws from a Gaussian over the weights of its end. The
mean of their predictions approximates the mean over the posterior of the weights.

References:
    Lakshminarayanan et al. 2017, arXiv:1612.01474 (deep ensembles).
    Huang et al. 2017, arXiv:1704.00109 (snapshot ensembles).
    Maddox et al. 2019, arXiv:1902.02476 (SWAG).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ssrec_tf import learning, storage
from ssrec_tf.batching import Batch, train_batches
from ssrec_tf.config_ensemble import EnsembleConfig
from ssrec_tf.recommenders import Indexed, Recommender
from ssrec_tf.training import Validation, train

_COLLECTED = 20  # weights that SWAG looks at
_WALK = 0.5  # length of the walk that gives them, in lengths of the training before it
_RATE = 0.25  # its constant learning rate, in peaks of the training before it


class Predictions(NamedTuple):
    """What the members say on average.

    Attributes:
        rating: float32 [batch, targets], in the scale's units.
        click: float32 [batch, targets], probability.
        next_items: float32 [batch, items + 1], each item's probability to be the next; None
            where the reading does not rank or was not trained to.
    """

    rating: tf.Tensor
    click: tf.Tensor
    next_items: tf.Tensor | None


class Ensemble:
    """Members of one configuration, trained.

    Args:
        members: at least one.
    """

    def __init__(self, members: Sequence[Recommender]) -> None:
        """Keep the members."""
        self.members = tuple(members)

    def predict(self, batch: Batch) -> Predictions:
        """Mean over the members, for a batch's targets."""
        seed = tf.zeros([2], tf.int64)
        ratings, clicks, following = [], [], []
        for member in self.members:
            outputs = member.outputs_of(batch, seed=seed, training=False)
            ratings.append(member.clip(outputs.scores.rating))
            clicks.append(tf.sigmoid(outputs.scores.click_logit))
            if isinstance(member, Indexed) and member.config.next_item_weight > 0:
                following.append(tf.exp(member.next_item_log_shares(outputs)))
        return Predictions(
            rating=tf.reduce_mean(tf.stack(ratings), axis=0),
            click=tf.reduce_mean(tf.stack(clicks), axis=0),
            next_items=tf.reduce_mean(tf.stack(following), axis=0) if following else None,
        )


def fit_members(model: Recommender, examples: Path, *, past_only: bool, workdir: Path) -> Ensemble:
    """Train the members that `train.ensemble` of a model's configuration asks for.

    Args:
        model: of `learning.make_recommender`, fresh: the members start from its encoder. It
            stays as it is.
        examples: folder of `write_examples`.
        past_only: as in the split.
        workdir: a folder for each training; a killed run goes on from here.

    Returns:
        The members, trained.

    Raises:
        NonFiniteError: the loss or a gradient became NaN or infinite.
    """
    kind, count = model.config.ensemble.kind, model.config.ensemble.members
    steps = model.config.loop.steps
    if kind == "swag":
        first = _member(model, 1)
        learning.fit(first, examples, past_only=past_only, workdir=workdir / "1")
        weights = _walk(first, examples, past_only, workdir / "walk")
        return Ensemble([_drawn(model, first, weights, i) for i in range(1, count + 1)])
    members: list[Recommender] = []
    for i in range(1, count + 1):
        member = _member(model, i, steps=steps if kind == "deep" else max(1, steps // count))
        if kind == "snapshot" and members:
            _copy(members[-1], member)
        learning.fit(member, examples, past_only=past_only, workdir=workdir / str(i))
        members.append(member)
    return Ensemble(members)


def swag_draw(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw weights from the Gaussian that SWAG puts around those of a training.

    Its mean is their mean; its covariance half their variances, on the diagonal, plus half
    their covariance, which is of the rank of their number. Unlike in the paper deviations
    are taken from the final mean, not from the running one: all weights are at hand.

    Args:
        weights: float [collected, weights], at least two.
        rng: gives the draws.

    Returns:
        float64 [weights].

    Reference:
        Maddox et al. 2019, arXiv:1902.02476, equation 1.
    """
    mean = weights.mean(axis=0)
    above = weights - mean  # [collected, weights]
    apart = rng.normal(size=len(mean)) * above.std(axis=0)
    together = rng.normal(size=len(above)) @ above / np.sqrt(len(above) - 1)
    return np.asarray(mean + (apart + together) / np.sqrt(2.0))


def _member(model: Recommender, number: int, steps: int | None = None) -> Recommender:
    """Make a fresh model with a seed of its own."""
    config = model.config
    loop = config.loop
    loop = replace(loop, seed=loop.seed + number, steps=steps or loop.steps)
    config = replace(config, loop=loop, ensemble=EnsembleConfig())
    # An encoder that stands still is read by all, one that is trained by its owner alone.
    frozen = isinstance(model, Indexed) and config.encoder_steps == 0
    encoder = model.encoder if frozen else model.encoder.copy()
    return learning.make_recommender(encoder, model.text, model.statistics, config)


def _copy(source: Recommender, target: Recommender) -> None:
    for old, new in zip(source.variables, target.variables, strict=True):
        new.assign(old)


def _walk(model: Recommender, examples: Path, past_only: bool, workdir: Path) -> np.ndarray:
    """Train on at a constant rate: float32 [collected, weights], the trained ones, flat."""
    config = model.config
    every = max(1, int(config.loop.steps * _WALK) // _COLLECTED)
    loop = replace(config.loop, steps=every * _COLLECTED, evaluate_every=every, patience=_COLLECTED)
    optimizer = replace(
        config.optimizer,
        learning_rate=config.optimizer.learning_rate * _RATE,
        decay=False,
        average=0.0,
    )
    folder = workdir / "weights"

    def keep(step: int, _: tf.summary.SummaryWriter) -> None:
        # By step: what a resumed walk passes again, it overwrites by the same.
        buffer = io.BytesIO()
        np.save(buffer, _flat(model))
        folder.mkdir(parents=True, exist_ok=True)
        storage.atomic_write_bytes(folder / f"{step:08d}.npy", buffer.getvalue())

    keras.utils.set_random_seed(loop.seed)
    sizes = learning.batch_config(config, past_only=past_only)
    train(
        model,
        lambda start: train_batches(examples, sizes, seed=loop.seed + 1, start=start),
        config=loop,
        optimizer=optimizer,
        validation=Validation(lambda: {"loss": 0.0}),  # none is better: the mean is wanted
        workdir=workdir,
        name="swag walk",
        observer=keep,
    )
    return np.stack([np.load(path) for path in sorted(folder.glob("*.npy"))])


def _drawn(
    model: Recommender, source: Recommender, weights: np.ndarray, number: int
) -> Recommender:
    """Make a member: `source` with the trained weights drawn anew."""
    member = _member(model, number)
    member.encoder.trainable = source.encoder.trainable
    _copy(source, member)
    drawn = swag_draw(weights, np.random.default_rng([member.config.loop.seed, number]))
    place = 0
    for variable in member.trainable_variables:
        size = int(np.prod(variable.shape))
        variable.assign(drawn[place : place + size].reshape(variable.shape))
        place += size
    if isinstance(member, Indexed):
        member.items.settle()
    return member


def _flat(model: Recommender) -> np.ndarray:
    return np.concatenate([variable.numpy().ravel() for variable in model.trainable_variables])
