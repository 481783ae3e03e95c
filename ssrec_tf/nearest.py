"""Vectors of the greatest inner product among very many: exact in TensorFlow, or nearly so.

Exact search reads every vector, so its time grows with their number. A graph that is walked
from neighbour to neighbour reads few, and now and then misses one: `recall` says how often.

References:
    Malkov & Yashunin 2016, arXiv:1603.09320 (HNSW).
    Douze et al. 2024, arXiv:2401.08281 (faiss).
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
import tensorflow as tf

from ssrec_tf.errors import ConfigError

_CHUNK = 65_536  # vectors at a time: the scores of a batch of queries stay small


class ExactNearest(tf.Module):
    """Looks at all vectors, a chunk at a time, so that memory does not grow with them.

    Args:
        vectors: float32 [n, width], n at least 1.
        chunk: vectors whose scores are held at once.
    """

    def __init__(self, vectors: np.ndarray, chunk: int = _CHUNK) -> None:
        """Keep the vectors, filled up to whole chunks."""
        super().__init__(name="exact_nearest")
        self.count = len(vectors)
        chunk = min(chunk, self.count)
        filled = np.pad(vectors, [[0, -self.count % chunk], [0, 0]])
        width = vectors.shape[1]
        self.vectors = tf.constant(filled.reshape(-1, chunk, width))  # [chunks, chunk, width]

    @tf.function(reduce_retracing=True, autograph=False)
    def __call__(self, queries: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Find the best `k` for each query.

        Args:
            queries: float32 [batch, width].
            k: static, from 1 to the number of vectors.

        Returns:
            Inner products, float32 [batch, k], best first; positions, int32 [batch, k].
        """
        chunks, chunk = self.vectors.shape[0], self.vectors.shape[1]
        batch, low = tf.shape(queries)[0], tf.constant(float("-inf"))
        best, places = tf.fill([batch, k], low), tf.zeros([batch, k], tf.int32)

        def look(number: tf.Tensor, best: tf.Tensor, places: tf.Tensor) -> tuple[tf.Tensor, ...]:
            scores = tf.matmul(queries, self.vectors[number], transpose_b=True)  # [batch, chunk]
            place = number * chunk + tf.range(chunk)  # [chunk]
            scores = tf.where(place < self.count, scores, low)
            own = tf.math.top_k(scores, min(k, chunk))
            scores = tf.concat([best, own.values], axis=1)  # [batch, at most 2 * k]
            found = tf.concat([places, number * chunk + own.indices], axis=1)
            top = tf.math.top_k(scores, k)
            return number + 1, top.values, tf.gather(found, top.indices, batch_dims=1)  # [batch, k]

        each = tf.TensorShape([None, k])
        _, best, places = tf.while_loop(
            lambda number, *_: number < chunks,
            look,
            (tf.constant(0), best, places),
            shape_invariants=(tf.TensorShape([]), each, each),
        )
        return best, places


class ApproximateNearest:
    """Walks a graph of neighbours; faiss' HNSW over inner products (extra `nearest`).

    Args:
        vectors: float32 [n, width].
        neighbours: of each vector in the graph.
        breadth: how many candidates are kept while the graph is made.

    Raises:
        ConfigError: faiss is not installed.
    """

    def __init__(self, vectors: np.ndarray, neighbours: int = 32, breadth: int = 80) -> None:
        """Make the graph."""
        faiss = _faiss()
        self._index = faiss.IndexHNSWFlat(vectors.shape[1], neighbours, faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction = breadth
        self._index.add(np.ascontiguousarray(vectors, np.float32))

    def search(self, queries: np.ndarray, k: int, breadth: int) -> tuple[np.ndarray, np.ndarray]:
        """Find about the best `k` for each query.

        Args:
            queries: float32 [batch, width].
            k: at least 1.
            breadth: candidates kept on the way: more find more, and take longer.

        Returns:
            Inner products, float32 [batch, k], best first; positions, int64 [batch, k], -1
            where nothing was found.
        """
        self._index.hnsw.efSearch = max(breadth, k)
        scores, places = self._index.search(np.ascontiguousarray(queries, np.float32), k)
        return scores, places


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    """Share of the true positions that were found: int [batch, k] each."""
    hits = [len(set(one) & set(other)) for one, other in zip(found, truth, strict=True)]
    return float(np.mean(hits) / truth.shape[1])


def _faiss() -> ModuleType:
    try:
        import faiss
    except ImportError:
        raise ConfigError(
            "approximate search needs faiss: pip install 'ssrec-tf[nearest]'"
        ) from None
    return faiss
