"""Exact search against NumPy's sort; the approximate one against the exact."""

import builtins

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.errors import ConfigError
from ssrec_tf.nearest import ApproximateNearest, ExactNearest, recall


def drawn(count, width, seed):
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


@pytest.mark.parametrize(("count", "k", "chunk"), [(1, 1, 8), (50, 10, 7), (64, 64, 16), (9, 3, 9)])
def test_exact_is_a_sort(count, k, chunk):
    vectors, queries = drawn(count, 5, 0), drawn(4, 5, 1)
    scores, places = ExactNearest(vectors, chunk)(tf.constant(queries), k)
    products = queries @ vectors.T
    assert np.array_equal(places, np.argsort(-products, axis=1)[:, :k])
    assert scores.numpy() == pytest.approx(-np.sort(-products, axis=1)[:, :k], abs=1e-5)


def test_what_fills_a_chunk_up_is_never_found():
    vectors = -np.abs(drawn(10, 3, 0))  # all products are below the filling's 0
    _, places = ExactNearest(vectors, chunk=8)(tf.ones([1, 3]), 10)
    assert sorted(places.numpy()[0]) == list(range(10))


def test_the_graph_finds_nearly_all_and_more_if_it_looks_longer():
    pytest.importorskip("faiss")
    vectors, queries = drawn(3000, 16, 0), drawn(50, 16, 1)
    truth = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    index = ApproximateNearest(vectors)
    narrow, wide = (recall(index.search(queries, 10, b)[1], truth) for b in (10, 200))
    assert narrow < wide
    assert wide > 0.95
    scores, places = index.search(queries, 10, 200)
    assert scores == pytest.approx(np.einsum("qd,qkd->qk", queries, vectors[places]), abs=1e-4)


def test_recall_by_hand():
    assert recall(np.array([[1, 2], [3, -1]]), np.array([[2, 1], [3, 4]])) == 0.75


def test_without_faiss_it_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **options):
        if name == "faiss":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"ssrec-tf\[nearest\]"):
        ApproximateNearest(drawn(4, 2, 0))
