"""What is settled once all is learnt, on rows of the valid part: a handful of numbers.

Which popularity counts; how much each source of the next item does (`balancing`); how often an
item must be met for the met to tell of the unmet by it; and how far a factorization's parts are
believed. A prior holds its weights, but how hard it should hold them differs from log to log:
where a median user rated two items, tastes and levels learnt from train are half noise, and
their ratings stray further than a bias would. So each part - the item's level, the user's bias,
his taste, and what he gave to near items - gets a share, by least squares on ratings that none
of them has seen, held to what it mostly is by some rows of doubt.

References:
    Wolpert 1992, "Stacked generalization" (weights of models by rows they were not fitted on).
    Copas 1983, "Regression, Prediction and Shrinkage" (a fit foretells too wide a spread).
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import tensorflow as tf

from ssrec_tf import learning
from ssrec_tf.balancing import balance_sources
from ssrec_tf.batching import Batch, BatchConfig, evaluation_batches, some_batches
from ssrec_tf.recommenders import Indexed, Recommender

_OFTEN = (1.0, 3.0, 10.0, 30.0, 100.0)
_FEWEST_NEW, _NEW_BATCHES = 64, 64
_USERS = 10_000  # of the valid part by whose ratings the shares are found, about
_DOUBT = 100.0  # rows that hold each share to what it mostly is
_MOSTLY = (1.0, 1.0, 1.0, 0.8)  # level, bias, taste, and what near items tell


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
    settle_unmet(model, examples, sizes)
    settle_shares(model, examples, sizes)
    balance_sources(model, examples, sizes)


def settle_unmet(model: Indexed, examples: Path, config: BatchConfig) -> None:
    """Find the `met_often` by which the valid part's unmet items are rated best, if it may be.

    Args:
        model: trained, with items stored.
        examples: folder of `write_examples`.
        config: sizes of a batch.
    """
    factors = model.items.factors
    if factors is None or factors.unmet is None or model.config.factors.met_often:
        return
    known = model.text.known_items
    every = ((batch, _new(known, batch)) for batch in evaluation_batches(examples, "valid", config))
    some = list(itertools.islice((pair for pair in every if pair[1].any()), _NEW_BATCHES))
    if sum(new.sum() for _, new in some) < _FEWEST_NEW:
        return
    rate = tf.function(model.scores_of, reduce_retracing=True, autograph=False)
    errors = {}
    for often in _OFTEN:
        factors.unmet.often = often
        model.items.settle()
        found = [_errors(model, rate(batch).rating, batch)[new] for batch, new in some]
        errors[often] = float(np.mean(np.concatenate(found) ** 2))
    factors.unmet.often = min(errors, key=lambda often: errors[often])
    model.items.settle()


def settle_shares(model: Indexed, examples: Path, config: BatchConfig) -> None:
    """Find `factors.shares` by which the valid part's ratings are foretold best.

    Args:
        model: trained, with items stored and the unmet settled.
        examples: folder of `write_examples`.
        config: sizes of a batch.
    """
    factors = model.items.factors
    # A neural head reads what the factorization says: what it makes of it is no sum of parts.
    if factors is None or model.config.pair_head == "both":
        return
    rate = tf.function(model.scores_of, reduce_retracing=True, autograph=False)
    # A rating is a constant and parts by their shares: no part, then each alone.
    count = factors.shares.shape[0]
    settings = np.vstack([np.zeros(count), np.eye(count)])
    rows: list[np.ndarray] = []
    for batch in some_batches(examples, "valid", config, _USERS):
        said, rated = [], _rated(batch)
        for setting in settings:
            factors.shares.assign(setting)
            said.append(rate(batch).rating.numpy()[rated])
        rows.append(np.stack([*said, batch["target_ratings"].numpy()[rated]]))
    if not rows:
        return
    nothing, *alone, truth = np.concatenate(rows, axis=1).astype(float)  # [rated] each
    parts = np.stack(alone, axis=1) - nothing[:, None]  # [rated, shares]
    factors.shares.assign(shares_of(parts, truth - nothing, np.array(_MOSTLY)))


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


def _rated(batch: Batch) -> np.ndarray:
    """Which targets are rated: bool [batch, targets]."""
    items, ratings = batch["target_items"].numpy(), batch["target_ratings"].numpy()
    found: np.ndarray = (items > 0) & ~np.isnan(ratings)
    return found


def _new(known: np.ndarray, batch: Batch) -> np.ndarray:
    """Which targets are rated and of items not `known`, bool [items + 1]: bool [batch, targets]."""
    found: np.ndarray = _rated(batch) & ~known[batch["target_items"].numpy()]
    return found


def _errors(model: Indexed, rating: tf.Tensor, batch: Batch) -> np.ndarray:
    """Errors of ratings, as an evaluation has them: float [batch, targets]."""
    errors: np.ndarray = (model.clip(rating) - batch["target_ratings"]).numpy()
    return errors
