"""What is settled once all is learnt: which popularity counts, and how much each source does.

What is learnt, what followed what, what goes together, a linear autoencoder and popularity are
added up to tell the next item. Their weights are trained with everything else, on rows which the
counts and the embeddings know by heart, so each source seems surer there than it is. A factor for
each, found on rows that no source has seen, puts that right; nothing else moves. They are found by
the rank that the rows' items get (discounted gain), not by likelihood: that is decided by what is
rare and stands far down whatever is done.

References:
    Wolpert 1992, "Stacked generalization" (weights of models by rows they were not fitted on).
    Metzler & Croft 2007, "Linear feature-based models for information retrieval" (a handful of
        weights found by the measure of the ranking itself).
    Nelder & Mead 1965, "A simplex method for function minimization".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy.optimize import minimize

from ssrec_tf import learning
from ssrec_tf.batching import Batch, BatchConfig, evaluation_batches, read_logs
from ssrec_tf.recommenders import Indexed, Recommender

_SCORES = 8_000_000  # rows by items that are looked at; more say no more of a handful of numbers
_FEWEST = 64  # rows
_EVALUATIONS = 150
_STEP = 0.4  # of a factor's log, at first
_QUIET = np.exp(-1.0)  # deviation of the scores of a source that was silent so far, at first


class _Rows(NamedTuple):
    """Rows of the valid part.

    `parts` float32 [sources, rows, items + 1], scores by each source, the last of them -inf for
    what a row does not rank; `targets` int32 [n] each row, the items that are to be found.
    """

    parts: np.ndarray
    targets: list[np.ndarray]


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
    """Find the factors `model.balance` by which next items of the valid part stand highest.

    Args:
        model: trained, with items stored.
        examples: folder of `write_examples`.
        config: sizes of a batch.
    """
    if not model.source_widths or model.config.next_item_weight == 0:
        return
    trained = model.balance.numpy()  # [sources]
    model.balance.assign(np.ones_like(trained))
    rows = _rows(model, examples, config)
    if rows is None:
        model.balance.assign(trained)
        return
    finite = np.isfinite(rows.parts[-1])  # [rows, items + 1]
    spread = np.array([part[finite].std() for part in rows.parts])
    first = np.where((trained > 0) | (spread == 0), trained, _QUIET / np.maximum(spread, 1e-9))
    edges = np.vstack([np.zeros(len(first)), _STEP * np.eye(len(first))])  # of logs
    found = minimize(
        lambda logs: -_gain(rows, first * np.exp(logs)),
        edges[0],
        method="Nelder-Mead",
        options={
            "maxfev": _EVALUATIONS,
            "initial_simplex": edges,
            "xatol": 0.01,
            "fatol": 1e-5,
        },
    )
    model.balance.assign(first * np.exp(found.x))


def _rows(model: Indexed, examples: Path, config: BatchConfig) -> _Rows | None:
    """Scores of the valid part's rows, evenly from all of it if they are many; None for none."""
    index = model.index().numpy()  # [items + 1, d]
    cuts = np.cumsum(model.source_widths)[:-1]
    vectors = np.split(index, cuts, axis=1)
    query = tf.function(model.query_of, reduce_retracing=True, autograph=False)
    parts: list[list[np.ndarray]] = [[] for _ in vectors]
    targets: list[np.ndarray] = []
    met: dict[int, set[int]] = {}  # of a user's whole log; the model reads the newest events
    for log in read_logs(examples, "train"):
        met.setdefault(int(log["user"]), {0}).update(log["history_items"].numpy().tolist())
    for batch in _some(examples, config, max(_FEWEST, _SCORES // len(index))):
        queries = np.split(query(batch).numpy(), cuts, axis=1)
        for found, mine, theirs in zip(parts, queries, vectors, strict=True):
            found.append(mine @ theirs.T)  # [batch, items + 1]
        for row, wanted in enumerate(batch["target_items"].numpy()):
            targets.append(wanted[wanted > 0])
            seen = met.get(int(batch["user"][row]), {0}).union(batch["history_items"][row].numpy())
            parts[-1][-1][row, list(seen.difference(targets[-1]))] = -np.inf
    if not targets:
        return None
    return _Rows(np.stack([np.concatenate(found) for found in parts]), targets)


def _some(examples: Path, config: BatchConfig, rows: int) -> Iterator[Batch]:
    """Batches of the valid part, every n-th, that hold about so many rows."""
    batches = evaluation_batches(examples, "valid", config)
    count = sum(1 for _ in batches)
    every = max(1, count * config.batch_size // rows)
    yield from batches.shard(every, 0) if count else []


def _gain(rows: _Rows, factors: np.ndarray) -> float:
    """Mean discounted gain of the targets, each alone among what its row ranks."""
    scores = np.tensordot(factors.astype(np.float32), rows.parts, 1)  # [rows, items + 1]
    gains = []
    for row, ordered, targets in zip(scores, np.sort(scores, axis=1), rows.targets, strict=True):
        found = row[targets]  # [n]
        higher = len(ordered) - np.searchsorted(ordered, found, side="right")
        higher -= (found[None, :] > found[:, None]).sum(axis=1)  # the other targets
        gains.append(1.0 / np.log2(2.0 + higher))
    return float(np.concatenate(gains).mean())
