"""How much each source of the next item counts, settled once all is learnt.

What is learnt, what followed what, what goes together, a linear autoencoder and popularity are
added up to tell the next item. Their weights are trained with everything else, on rows which the
counts and the embeddings know by heart, so each source seems surer there than it is. A factor for
each, found on rows that no source has seen, puts that right, and two numbers of how a history is
read; nothing else moves. The factors are found by the rank that the rows' items get (discounted
gain), not by likelihood: that is decided by what is rare and stands far down whatever is done. But
ranks of few rows have many peaks, so the search sets out twice, from what was trained and from
what is likeliest, and the higher end counts.

References:
    Wolpert 1992, "Stacked generalization" (weights of models by rows they were not fitted on).
    Metzler & Croft 2007, "Linear feature-based models for information retrieval" (a handful of
        weights found by the measure of the ranking itself).
    Nelder & Mead 1965, "A simplex method for function minimization".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from scipy.optimize import minimize

from ssrec_tf.batching import Batch, BatchConfig, evaluation_batches, read_logs, some_batches
from ssrec_tf.recommenders import Indexed

_SCORES = 8_000_000  # rows by items that are looked at; more say no more of a handful of numbers
_FEWEST = 256  # rows
_EVALUATIONS = 150
_PASSES = 12
_STEP = 0.4  # of a factor's log, at first
_QUIET = np.exp(-1.0)  # deviation of the scores of a source that was silent so far, at first


class _Rows(NamedTuple):
    """Rows of the valid part.

    `batches` hold them; `barred` float32 [rows, items + 1], -inf for what a row does not rank,
    otherwise 0; `targets` int32 [n] each row, the items that are to be found.
    """

    batches: list[Batch]
    barred: np.ndarray
    targets: list[np.ndarray]


class _Settled(NamedTuple):
    """Values of the weights that are settled, in one row, and the discounted gain by them."""

    gain: float
    values: np.ndarray


def balance_sources(model: Indexed, examples: Path, config: BatchConfig) -> None:
    """Find `model.balance` and `source_readings` by which the valid part's items stand highest.

    Args:
        model: trained, with items stored.
        examples: folder of `write_examples`.
        config: sizes of a batch.
    """
    if not model.source_widths or model.config.next_item_weight == 0:
        return
    rows = _rows(examples, config, len(model.items.text.item_tokens))
    if rows is None:
        return
    query = tf.function(model.query_of, reduce_retracing=True, autograph=False)
    parts = _by_source(model, query, rows)  # of some hundred megabytes
    model.balance.assign(_heard(model.balance.numpy(), parts, rows))
    found = [_by_rank(model, parts, rows)]
    del parts
    _make_likeliest(model, rows.batches, evaluation_batches(examples, "valid", config).element_spec)
    found.append(_by_rank(model, _by_source(model, query, rows), rows))
    _assign(model, max(found, key=lambda settled: settled.gain).values)


def _weights(model: Indexed) -> list[keras.Variable]:
    """All that is settled here, the factors first."""
    return [model.balance, *model.source_readings]


def _assign(model: Indexed, values: np.ndarray) -> None:
    """Set all that is settled here, in one row."""
    sources = len(model.source_widths)
    model.balance.assign(values[:sources])
    for weight, value in zip(model.source_readings, values[sources:], strict=True):
        weight.assign(value)


def _heard(factors: np.ndarray, parts: np.ndarray, rows: _Rows) -> np.ndarray:
    """The factors, a small one where a source was silent so far: float [sources]."""
    ranked = np.isfinite(rows.barred)  # [rows, items + 1]
    spread = np.array([part[ranked].std() for part in parts])
    quiet = _QUIET / np.maximum(spread, 1e-9)
    return np.where((factors != 0) | (spread == 0), factors, quiet)


def _by_rank(model: Indexed, parts: np.ndarray, rows: _Rows) -> _Settled:
    """The factors of the highest gain near the model's own, its readings as they are."""
    factors, *readings = (weight.numpy() for weight in _weights(model))
    edges = np.vstack([np.zeros(len(factors)), _STEP * np.eye(len(factors))])  # of logs
    found = minimize(
        lambda logs: -_gain(parts, rows, factors * np.exp(logs)),
        edges[0],
        method="Nelder-Mead",
        options={
            "maxfev": _EVALUATIONS,
            "initial_simplex": edges,
            "xatol": 0.01,
            "fatol": 1e-5,
        },
    )
    return _Settled(-found.fun, np.append(factors * np.exp(found.x), readings))


def _make_likeliest(model: Indexed, batches: Sequence[Batch], spec: Any) -> None:
    """Fit what is settled here to the likelihood of the valid part's next items."""
    weights = _weights(model)

    def measured(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([weight.value for weight in weights])
            outputs = model.outputs_of(batch, seed=tf.zeros([2], tf.int64), training=False)
            loss = model.next_item_loss(outputs, batch)
        slopes = tape.gradient(loss, [weight.value for weight in weights])
        return loss, tf.concat([tf.reshape(slope, [-1]) for slope in slopes], axis=0)

    compiled = tf.function(measured, input_signature=[spec], autograph=False)
    rows = np.array([len(batch["user"]) for batch in batches], float)
    share = rows / rows.sum()  # [batches]

    def of_all(values: np.ndarray) -> tuple[float, np.ndarray]:
        _assign(model, values)
        losses, slopes = zip(*map(compiled, batches), strict=True)
        return float(share @ np.array(losses, float)), share @ np.array(slopes, float)

    start = np.concatenate([weight.numpy().reshape(-1) for weight in weights]).astype(float)
    limits = {"maxiter": _PASSES, "maxfun": 2 * _PASSES}
    _assign(model, minimize(of_all, start, jac=True, method="L-BFGS-B", options=limits).x)


def _rows(examples: Path, config: BatchConfig, items: int) -> _Rows | None:
    """The valid part's rows, evenly from all of it if they are many; None for none.

    Args:
        examples: as in `balance_sources`.
        config: as in `balance_sources`.
        items: how many references there are, the 0 included.
    """
    met: dict[int, set[int]] = {}  # of a user's whole log; the model reads the newest events
    for log in read_logs(examples, "train"):
        met.setdefault(int(log["user"]), {0}).update(log["history_items"].numpy().tolist())
    batches = list(some_batches(examples, "valid", config, max(_FEWEST, _SCORES // items)))
    barred: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    for batch in batches:
        for row, wanted in enumerate(batch["target_items"].numpy()):
            targets.append(wanted[wanted > 0])
            seen = met.get(int(batch["user"][row]), {0}).union(batch["history_items"][row].numpy())
            barred.append(np.zeros(items, np.float32))
            barred[-1][list(seen.difference(targets[-1]))] = -np.inf
    return _Rows(batches, np.stack(barred), targets) if targets else None


def _by_source(model: Indexed, query: Callable[[Batch], tf.Tensor], rows: _Rows) -> np.ndarray:
    """Scores of all items by each source, by a factor of 1: float32 [sources, rows, items + 1].

    Args:
        model: whose readings count as they are.
        query: `model.query_of`, compiled.
        rows: that are scored.
    """
    factors = model.balance.numpy()
    model.balance.assign(np.ones_like(factors))
    cuts = np.cumsum(model.source_widths)[:-1]
    vectors = np.split(model.index().numpy(), cuts, axis=1)  # [items + 1, width of a source] each
    parts: list[list[np.ndarray]] = [[] for _ in vectors]
    for batch in rows.batches:
        queries = np.split(query(batch).numpy(), cuts, axis=1)
        for found, mine, theirs in zip(parts, queries, vectors, strict=True):
            found.append(mine @ theirs.T)  # [batch, items + 1]
    model.balance.assign(factors)
    return np.stack([np.concatenate(found) for found in parts])


def _gain(parts: np.ndarray, rows: _Rows, factors: np.ndarray) -> float:
    """Mean discounted gain of the targets, each alone among what its row ranks."""
    scores = np.tensordot(factors.astype(np.float32), parts, 1) + rows.barred
    gains = []  # of scores [rows, items + 1]
    for row, targets in zip(scores, rows.targets, strict=True):
        found = row[targets]  # [n]
        higher = (row[None, :] > found[:, None]).sum(axis=1)
        higher -= (found[None, :] > found[:, None]).sum(axis=1)  # the other targets
        gains.append(1.0 / np.log2(2.0 + higher))
    return float(np.concatenate(gains).mean())
