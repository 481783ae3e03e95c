"""What is settled once all is learnt, on rows of the valid part: a handful of numbers.

Which popularity counts; how much each source of the next item does (`balancing`); how far items'
levels return to plain biases; how often an item must be met for the met to tell of the unmet by
it; and how far a factorization's parts are believed. A prior holds its weights, but how hard it
should hold them differs from log to log: where a median user rated two items, tastes and levels
learnt from train are half noise, and their ratings stray further than a bias would. So each part
- the item's level, the user's bias, his taste, and what he gave to near items - gets a share, by
least squares on ratings that none of them has seen, held to what it mostly is by some rows of
doubt.

References:
    Wolpert 1992, "Stacked generalization" (weights of models by rows they were not fitted on).
    Copas 1983, "Regression, Prediction and Shrinkage" (a fit foretells too wide a spread).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from ssrec_tf import learning
from ssrec_tf.balancing import balance_sources
from ssrec_tf.batching import (
    Batch,
    BatchConfig,
    columns_of_train,
    evaluation_batches,
    some_batches,
)
from ssrec_tf.recommenders import Indexed, Recommender
from ssrec_tf.recommenders.factors import Factors
from ssrec_tf.recommenders.nearby import SHARPNESS

_OFTEN = (1.0, 3.0, 10.0, 30.0, 100.0)
_FEWEST = 64  # rated rows of a kind of items, below which nothing is settled of this kind alone
_NEW_BATCHES = 64
_BACK = (0.0, 0.25, 0.5, 0.75, 1.0)
_PLAIN, _RARE = 5.0, 100.0  # a plain bias' damping; the events of an item that returns half-way
_EXAMPLES = 2_500  # of the valid part by whose ratings levels and shares are found, about
_DOUBT = 100.0  # rows that hold each share to what it mostly is
# Level, bias, taste, and what near items tell: of items that were met, and of those that were not.
_MOSTLY = ((1.0, 1.0, 1.0, 0.8), (1.0, 1.0, 1.0, 0.5))
# A batch, and which of its targets count: bool [batch, targets].
Rows = tuple[Batch, np.ndarray]


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
    sizes = learning.batch_config(model.config, past_only=past_only)
    rater = Rater(model, examples, sizes)
    settle_levels(rater)
    settle_unmet(rater)
    settle_shares(rater)
    balance_sources(model, examples, sizes)


class Rater:
    """A model as an evaluation asks it, compiled once for all that is settled.

    Args:
        model: trained, with items stored; what is settled of it may change at any time.
        examples: folder of `write_examples`.
        config: sizes of a batch.
    """

    def __init__(self, model: Indexed, examples: Path, config: BatchConfig) -> None:
        """Compile and read nothing until it is asked."""
        self.model, self.examples, self.config = model, examples, config
        self._scores = tf.function(model.scores_of, reduce_retracing=True, autograph=False)

    @functools.cached_property
    def rows(self) -> list[Rows]:
        """Rated targets of the valid part, of about `_EXAMPLES` examples."""
        batches = some_batches(self.examples, "valid", self.config, _EXAMPLES)
        found = [(batch, _rated(batch)) for batch in batches]
        return [pair for pair in found if pair[1].any()]

    def ratings(self, batch: Batch, chosen: np.ndarray) -> np.ndarray:
        """Rate the targets that are `chosen`, bool [batch, targets]: float [chosen], unclipped."""
        found: np.ndarray = self._scores(batch).rating.numpy()[chosen]
        return found

    def least(
        self, options: Sequence[float], assign: Callable[[float], None], rows: Sequence[Rows]
    ) -> float:
        """Find the option by which `rows` are rated with the least squared error.

        Args:
            options: of equal ones the first is found.
            assign: makes the model what it is by an option; the last one's stays.
            rows: not empty.
        """
        errors = {}
        for option in options:
            assign(option)
            found = [
                self.model.clip(self.ratings(batch, chosen)) - batch["target_ratings"][chosen]
                for batch, chosen in rows
            ]
            errors[option] = float(np.mean(np.concatenate(found) ** 2))
        return min(errors, key=lambda option: errors[option])


def settle_levels(rater: Rater) -> None:
    """Find how far items' levels return to plain biases, by which valid ratings are foretold best.

    In training an item's level has heard each rating that it is asked for, so it is held hard,
    and rare items are taken for common ones: right where much is known of users, whose
    weights make up for it, too much where they are new.

    Args:
        rater: of the model.
    """
    model, factors = rater.model, _alone(rater.model)
    if factors is None or factors.unmet is None or not rater.rows:
        return
    logs, ratings = columns_of_train(rater.examples, "items", "ratings")
    levels = model.items.every().factors[..., factors.config.width].numpy()  # [items + 1, members]
    plain = learning.item_levels(model, logs, ratings, _PLAIN)[:, None]
    rated = ~np.isnan(np.concatenate(ratings))
    counts = np.bincount(np.concatenate(logs)[rated], minlength=len(levels))[:, None]
    way = np.where(counts > 0, (plain - levels) * _RARE / (counts + _RARE), 0.0)
    own = factors.of_id.numpy()[..., factors.config.width]

    def go_back(part: float) -> None:
        factors.assign_levels(own + part * way)

    go_back(rater.least(_BACK, go_back, rater.rows))
    model.items.settle()


def settle_unmet(rater: Rater) -> None:
    """Find the `met_often` by which the valid part's unmet items are rated best, if it may be.

    Args:
        rater: of the model.
    """
    model, factors = rater.model, rater.model.items.factors
    if factors is None or factors.unmet is None or model.config.factors.met_often:
        return
    unmet, known = factors.unmet, model.text.known_items
    batches = evaluation_batches(rater.examples, "valid", rater.config)
    every = ((batch, _new(known, batch)) for batch in batches)
    rows = list(itertools.islice((pair for pair in every if pair[1].any()), _NEW_BATCHES))
    if sum(new.sum() for _, new in rows) < _FEWEST:
        return

    def tell(often: float) -> None:
        unmet.often = often
        model.items.settle()

    tell(rater.least(_OFTEN, tell, rows))


def settle_shares(rater: Rater) -> None:
    """Find `shares` and `sharpness` of the factors by which valid ratings are foretold best.

    Args:
        rater: of the model, its unmet items settled.
    """
    factors = _alone(rater.model)
    if factors is None:
        return
    factors.shares.assign(_MOSTLY)
    rows = rater.rows
    if not rows:
        return
    # A rating is a constant and parts by their shares: no part, then each alone; the last part
    # is what near items tell, by each sharpness.
    none, *alone = np.vstack([np.zeros(4), np.eye(4)])
    settings = [(shares, SHARPNESS[0]) for shares in (none, *alone[:3])]
    settings += [(alone[3], sharpness) for sharpness in SHARPNESS]
    said = []
    for shares, sharpness in settings:
        factors.shares.assign([shares, shares])
        factors.sharpness.assign([sharpness, sharpness])
        said.append(np.concatenate([rater.ratings(batch, rated) for batch, rated in rows]))
    nothing, *told = np.stack(said).astype(float)  # [rated] each
    truth = np.concatenate([batch["target_ratings"].numpy()[rated] for batch, rated in rows])
    parts, left = np.stack(told, axis=1) - nothing[:, None], truth - nothing
    known = rater.model.text.known_items
    new = np.concatenate([_new(known, batch)[rated] for batch, rated in rows])
    unmet = new & (factors.unmet is not None)  # [rated]
    found = [
        _shares_and_sharpness(parts[kind], left[kind], np.array(mostly))
        for kind, mostly in zip((~unmet, unmet), _MOSTLY, strict=True)
    ]
    shares, sharpness = zip(*found, strict=True)
    factors.shares.assign(shares)
    factors.sharpness.assign(sharpness)


def _shares_and_sharpness(
    parts: np.ndarray, truth: np.ndarray, mostly: np.ndarray
) -> tuple[np.ndarray, tuple[float, ...]]:
    """Find shares of the parts, the last one by the sharpness that foretells `truth` best.

    Args:
        parts: float64 [n, 3 + sharpnesses].
        truth: float64 [n].
        mostly: float64 [4], found where rows are few: how large a part is, and so how much a row
            of doubt weighs, would be known from them alone.
    """
    if len(truth) < _FEWEST:
        return mostly, SHARPNESS[0]
    found = []
    for nearby, sharpness in zip(parts.T[3:], SHARPNESS, strict=True):
        chosen = np.stack([*parts.T[:3], nearby], axis=1)  # [n, shares]
        shares = shares_of(chosen, truth, mostly)
        found.append((float(np.sum((truth - chosen @ shares) ** 2)), shares, sharpness))
    _, shares, sharpness = min(found, key=lambda one: one[0])
    return shares, sharpness


def shares_of(parts: np.ndarray, truth: np.ndarray, mostly: np.ndarray) -> np.ndarray:
    """Find by how much each part of a sum counts.

    They minimise sum (truth - parts shares)^2 + doubt sum mean(part^2) (share - mostly)^2: so
    many further rows say of each part, alone, that it counts as it mostly does.

    Args:
        parts: float64 [n, parts].
        truth: float64 [n], what they add up to, more or less.
        mostly: float64 [parts].

    Returns:
        float64 [parts]; `mostly` where a part is silent.
    """
    held = _DOUBT / max(1, len(parts)) * np.sum(parts**2, axis=0)
    matrix = parts.T @ parts + np.diag(np.where(held > 0, held, 1.0))
    found: np.ndarray = mostly + np.linalg.solve(matrix, parts.T @ (truth - parts @ mostly))
    return found


def _alone(model: Indexed) -> Factors | None:
    """The factorization, unless a network reads it and makes of it no sum of parts."""
    return None if model.config.pair_head == "both" else model.items.factors


def _rated(batch: Batch) -> np.ndarray:
    """Which targets are rated: bool [batch, targets]."""
    items, ratings = batch["target_items"].numpy(), batch["target_ratings"].numpy()
    found: np.ndarray = (items > 0) & ~np.isnan(ratings)
    return found


def _new(known: np.ndarray, batch: Batch) -> np.ndarray:
    """Which targets are rated and of items not `known`, bool [items + 1]: bool [batch, targets]."""
    found: np.ndarray = _rated(batch) & ~known[batch["target_items"].numpy()]
    return found
