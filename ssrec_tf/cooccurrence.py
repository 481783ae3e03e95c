"""Item vectors from who met what: a self-supervised task with its answer in closed form.

Two items are alike when the same users met them. To tell pairs (user, item) of the log
from random pairs by the inner product of two vectors is the spectral contrastive task;
the vectors that solve it are the leading singular vectors of the normalised log, so no
step of gradient descent is needed. No rating is looked at.

References:
    HaoChen et al. 2021, arXiv:2106.04156, section 3 (spectral contrastive loss).
    Halko et al. 2011, "Finding structure with randomness" (the decomposition).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from ssrec_tf.batching import read_logs

_DAMPING = 5.0  # rows added to every user and item, so that rare ones do not shout
_LENGTH = 2.0  # root mean square of the vectors' lengths


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
    shape = (int(users.max(initial=-1)) + 1, count)
    log = sparse.coo_array((np.ones(len(users)), (users, items)), shape).tocsr()
    log.data[:] = 1.0
    for axis in (0, 1):
        weight = 1.0 / np.sqrt(log.astype(bool).sum(axis=1 - axis) + _DAMPING)
        log = log * (weight[:, None] if axis == 0 else weight[None, :])
    kept = min(width, *shape)
    vectors = np.zeros((count, width), np.float32)
    if kept:
        _, values, right = randomized_svd(log.tocsr(), kept, random_state=0)
        vectors[:, :kept] = (right * values[:, None]).T  # [count, kept]
    length = np.sqrt(np.mean(np.sum(vectors**2, axis=1)))
    return vectors * np.float32(_LENGTH / max(length, 1e-9))


def vectors_of_train(examples: Path, count: int, width: int) -> np.ndarray:
    """Vectors of items from the train rows of a folder of `write_examples`.

    Args:
        examples: the folder.
        count: references, the empty one included.
        width: length of a vector.

    Returns:
        float32 [count, width].
    """
    logs = [log["history_items"].numpy() for log in read_logs(examples, "train")]
    users = np.repeat(np.arange(len(logs)), [len(log) for log in logs])
    items = np.concatenate([np.empty(0, np.int64), *logs])
    return spectral_vectors(users, items, count, width)
