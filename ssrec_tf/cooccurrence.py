"""Item vectors from who met what, and in which order: tasks with an answer in closed form.

Two items are alike when the same users met them. To tell pairs (user, item) of the log
from random pairs by the inner product of two vectors is the spectral contrastive task;
the vectors that solve it are the leading singular vectors of the normalised log, so no
step of gradient descent is needed. What follows what is read in the same way, from pairs of
events that are near in a log. No rating is looked at.

References:
    Steck 2019, arXiv:1905.03375, section 3 (EASE, the linear autoencoder).
    HaoChen et al. 2021, arXiv:2106.04156, section 3 (spectral contrastive loss).
    Levy & Goldberg 2014, "Neural Word Embedding as Implicit Matrix Factorization" (vectors
        of what stands near, by a decomposition of counts).
    Halko et al. 2011, "Finding structure with randomness" (the decomposition).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.linear_model import RidgeCV
from sklearn.utils.extmath import randomized_svd

_DAMPING = 5.0  # rows added to every user and item, so that rare ones do not shout
_LENGTH = 2.0  # root mean square of the vectors' lengths, most often
_LOUDEST = 2.0  # the mean length of the vector of an event's item is no longer
_RARE = 20.0  # the same as `_DAMPING`, where items are to be found and not explained
_LOUDNESS = 0.15  # power of an item's count that the autoencoder takes off its column of the log
# Of what follows: events up to so many places apart count, the less the farther, and less
# in the wrong order.
_REACH, _FADING, _BACKWARDS = 20, 0.9, 0.5
_ENOUGH = 50_000  # items whose texts a regression reads


def spectral_vectors(users: np.ndarray, items: np.ndarray, count: int, width: int) -> np.ndarray:
    """Vectors of items, from the pairs of a log.

    Args:
        users: int [pairs], any codes from 0.
        items: int [pairs], from 0 to `count` - 1; a pair may occur more than once.
        count: of all items.
        width: length of a vector; what the log's rank does not fill is 0.

    Returns:
        float32 [count, width]; zeros for an item that no pair names.
    """
    vectors = _decomposed(users, items, count, width, _DAMPING, 1.0)
    return vectors * np.float32(_LENGTH)


def companion_vectors(logs: Sequence[np.ndarray], count: int, width: int) -> np.ndarray:
    """Vectors of items whose inner product says how often the same users meet both.

    Args:
        logs: int [events] each, a user's items, from 0 to `count` - 1.
        count: of all items.
        width: length of a vector; what the log's rank does not fill is 0.

    Returns:
        float32 [count, width]; zeros for an item nobody met.
    """
    return _decomposed(*pairs_of_logs(logs), count, width, _RARE, 0.5)


def autoencoder_vectors(
    logs: Sequence[np.ndarray], count: int, width: int, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    """Two vectors for each item, whose inner product says how much one met speaks for another.

    It is the weight between two items of a linear autoencoder of the log that must not tell an
    item by itself (EASE), with the log's leading directions in place of the log: with V and s its
    right singular vectors and values, and D = s^2 / (s^2 + penalty), the inverse that EASE asks
    for is (I - V D V') / penalty, and the weight of item i for item j, which are not the same, is
    (V D V')_ij / (1 - (V D V')_jj). Nothing of items x items is ever held.

    Args:
        logs: int [events] each, a user's items, from 0 to `count` - 1.
        count: of all items.
        width: length of a vector; what the log's rank does not fill is 0.
        penalty: of the squared weights, above 0; the larger, the fewer directions count.

    Returns:
        float32 [count, width] twice: as what was met, and as what is found by it; zeros for an
        item nobody met.
    """
    log = _log(*pairs_of_logs(logs), count)
    counts = log.sum(axis=0) + 1.0  # [count]
    quiet = (counts / counts.mean()) ** -_LOUDNESS
    right, values = _leading((log * quiet[None, :]).tocsr(), width)
    kept = right * np.sqrt(values**2 / (values**2 + penalty))  # [count, width]
    others = 1.0 - np.sum(kept**2, axis=1, keepdims=True)
    met = log.sum(axis=0)
    return _of_unit_length(kept * quiet[:, None], met), _of_unit_length(kept / others, met)


def _decomposed(
    users: np.ndarray, items: np.ndarray, count: int, width: int, damping: float, power: float
) -> np.ndarray:
    """Right singular vectors of the normalised log, scaled by a power of their values.

    float32 [count, width], scaled by `_of_unit_length`.
    """
    log = _log(users, items, count)
    first, second = ((log.sum(axis=axis) + damping) ** -0.5 for axis in (1, 0))
    right, values = _leading((log * first[:, None] * second[None, :]).tocsr(), width)
    return _of_unit_length(right * values**power, log.sum(axis=0))


def _log(users: np.ndarray, items: np.ndarray, count: int) -> sparse.csr_array:
    """1 where a user met an item: [users, count]."""
    shape = (int(users.max(initial=-1)) + 1, count)
    log = sparse.coo_array((np.ones(len(users)), (users, items)), shape).tocsr()
    log.data[:] = 1.0
    return log


def _leading(log: sparse.csr_array, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Right singular vectors [items, width] and values [width], zeros beyond the rank."""
    right, values = np.zeros((log.shape[1], width)), np.zeros(width)
    kept = min(width, *log.shape)
    if kept:
        _, values[:kept], rows = randomized_svd(log, kept, random_state=0)
        right[:, :kept] = rows.T  # [items, kept]
    return right, values


def _of_unit_length(vectors: np.ndarray, met: np.ndarray) -> np.ndarray:
    """Scaled to a root mean square length of 1, or to less where those that are met are longer.

    Of a large catalogue most items are met by one or two users, and all but lengthless: by them
    alone those that events are of would be made far too long.

    Args:
        vectors: float [items, width].
        met: float [items], how often each was.

    Returns:
        float32 [items, width].
    """
    lengths = np.sqrt(np.sum(vectors**2, axis=1))  # [items]
    loud = lengths @ met / max(met.sum(), 1.0) / _LOUDEST
    length = max(np.sqrt(np.mean(lengths**2)), loud, 1e-9)
    scaled: np.ndarray = (vectors / length).astype(np.float32)
    return scaled


def pairs_of_logs(logs: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Codes of users and their items: int [pairs] each."""
    users = np.repeat(np.arange(len(logs)), [len(log) for log in logs])
    return users, np.concatenate([np.empty(0, np.int64), *logs])


def successor_vectors(
    logs: Sequence[np.ndarray], count: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two vectors for each item, whose inner product says how well one follows another.

    Args:
        logs: int [events] each, a user's items in order, from 0 to `count` - 1.
        count: of all items.
        width: length of a vector; what the counts' rank does not fill is 0.

    Returns:
        float32 [count, width] twice: as what came before, and as what comes after.
    """
    near = sparse.csr_array((count, count))
    for place in range(1, _REACH + 1):
        firsts = np.concatenate([np.empty(0, np.int64), *(log[:-place] for log in logs)])
        seconds = np.concatenate([np.empty(0, np.int64), *(log[place:] for log in logs)])
        weight = np.full(len(firsts), _FADING ** (place - 1))
        pairs = sparse.coo_array((weight, (firsts, seconds)), (count, count)).tocsr()
        near = near + pairs + _BACKWARDS * pairs.T
    met = near.sum(axis=0)
    first, second = ((near.sum(axis=axis) + _RARE) ** -0.5 for axis in (1, 0))
    near = (near * first[:, None] * second[None, :]).tocsr()
    near.data **= 0.5  # or a few pairs that always go together would take every direction
    kept = min(width, count)
    before, after = np.zeros((2, count, width), np.float32)
    if kept and near.nnz:
        left, values, right = randomized_svd(near, kept, random_state=0)
        before[:, :kept] = _of_unit_length(left * np.sqrt(values), met)  # [count, kept]
        after[:, :kept] = _of_unit_length(right.T * np.sqrt(values), met)
    return before, after


def enough_of(count: int) -> slice:
    """Places of the items, of so many, that a regression reads: evenly apart, not too many."""
    return slice(None, None, max(1, -(-count // _ENOUGH)))


def told_by_texts(
    features: np.ndarray, vectors: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """What an item's text tells of its vector: a ridge regression, its penalty left-one-out.

    An item that nobody met yet stands where those of like texts stand.

    Args:
        features: float32 [items, n], of the texts of the items that were met.
        vectors: float32 [items, width], theirs.
        weights: float [items], how much each counts; all alike when not given.

    Returns:
        float32 [n + 1, width]; the last row is added to all.
    """
    some = enough_of(len(vectors))
    if weights is not None:
        weights = weights[some] / np.mean(weights[some])
    if not features.shape[1]:
        return np.average(vectors[some], axis=0, weights=weights)[None].astype(np.float32)
    ridge = RidgeCV(alphas=np.logspace(-2, 3, 6))
    ridge.fit(features[some], vectors[some], sample_weight=weights)
    rows = [
        np.reshape(ridge.coef_, [vectors.shape[1], -1]).T,
        np.reshape(ridge.intercept_, [1, -1]),
    ]
    return np.concatenate(rows).astype(np.float32)


def leading_axes(directions: np.ndarray, width: int) -> np.ndarray:
    """Axes along which texts differ most.

    Args:
        directions: float32 [items, encoder width].
        width: how many; those beyond the rank are zeros.

    Returns:
        float32 [encoder width, width]; places on all of them are of mean square length 1.
    """
    axes = np.zeros((directions.shape[1], width), np.float32)
    kept = min(width, *directions.shape)
    if kept:
        _, values, right = np.linalg.svd(directions, full_matrices=False)
        length = np.sqrt(np.sum(values[:kept] ** 2) / len(directions))
        axes[:, :kept] = right[:kept].T / max(length, 1e-9)
    return axes


def vectors_of_logs(logs: Sequence[np.ndarray], count: int, width: int) -> np.ndarray:
    """`spectral_vectors` of logs.

    Args:
        logs: int [events] each, a user's items.
        count: references, the empty one included.
        width: length of a vector.

    Returns:
        float32 [count, width].
    """
    return spectral_vectors(*pairs_of_logs(logs), count, width)
