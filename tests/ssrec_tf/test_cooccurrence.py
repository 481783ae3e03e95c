"""Co-occurrence vectors: against a dense decomposition, and by what they must tell apart."""

import numpy as np
import pytest

from ssrec_tf.cooccurrence import spectral_vectors, vectors_of_train


def random_log(users=30, items=20, pairs=150, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, users, pairs), rng.integers(1, items, pairs)  # item 0 is never met


def dense_products(users, items, count, width):
    """Inner products of items by NumPy's decomposition, on any scale: [count, count]."""
    log = np.zeros((users.max() + 1, count))
    log[users, items] = 1.0
    log /= np.sqrt(log.sum(1, keepdims=True) + 5.0) * np.sqrt(log.sum(0, keepdims=True) + 5.0)
    _, values, right = np.linalg.svd(log, full_matrices=False)
    vectors = (right * values[:, None])[:width].T
    return vectors @ vectors.T


@pytest.mark.parametrize("width", [4, 20])
def test_inner_products_are_those_of_a_dense_decomposition(width):
    users, items = random_log()
    vectors = spectral_vectors(users, items, 20, width)
    assert vectors.shape == (20, width)
    assert vectors.dtype == np.float32
    found, wanted = vectors @ vectors.T, dense_products(users, items, 20, width)
    assert np.trace(found) == pytest.approx(20 * 2.0**2, rel=1e-4)  # root mean square of 2
    # A random log has no gap in its spectrum: the approximate one is right to a few percent.
    scaled = wanted * np.trace(found) / np.trace(wanted)
    assert np.abs(found - scaled).max() < 0.03 * np.abs(scaled).max()


def test_the_normalisation_by_hand():
    # Two users, three items of which the third was met by nobody.
    users, items = np.array([0, 0, 1]), np.array([0, 1, 1])
    log = np.array([[1 / np.sqrt(7 * 6), 1 / np.sqrt(7 * 7), 0.0], [0.0, 1 / np.sqrt(6 * 7), 0.0]])
    vectors = spectral_vectors(users, items, 3, 2)
    wanted = log.T @ log
    wanted *= 12.0 / np.trace(wanted)
    assert vectors @ vectors.T == pytest.approx(wanted, abs=1e-5)


def test_items_met_by_the_same_users_are_close():
    rng = np.random.default_rng(0)
    pairs = [
        (user, item)
        for user in range(60)
        for item in range(16)
        if user % 2 == item % 2 and rng.random() < 0.5  # no user meets items of both kinds
    ]
    users, items = np.array(pairs).T
    vectors = spectral_vectors(users, items, 16, 2)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = vectors @ vectors.T
    same = np.arange(16)[:, None] % 2 == np.arange(16) % 2
    assert cosine[same].min() > 0.5 > 0.1 > np.abs(cosine[~same]).max()


def test_an_item_that_nobody_met_and_a_width_beyond_the_rank_give_zeros():
    users, items = random_log(users=3, items=10, pairs=20)
    vectors = spectral_vectors(users, items, 12, 8)
    assert np.abs(vectors[[0, 10, 11]]).max() < 1e-5
    assert np.abs(vectors[:, 3:]).max() < 1e-5
    assert np.abs(vectors[:, :3]).max() > 0.1


def test_a_pair_counts_once_and_the_result_is_the_same_twice():
    users, items = random_log()
    one = spectral_vectors(users, items, 20, 5)
    assert np.array_equal(one, spectral_vectors(users, items, 20, 5))
    twice = spectral_vectors(np.tile(users, 2), np.tile(items, 2), 20, 5)
    assert np.array_equal(one, twice)


def test_no_pairs_and_no_width():
    none = np.empty(0, np.int64)
    assert not spectral_vectors(none, none, 4, 3).any()
    assert spectral_vectors(none, none, 4, 3).shape == (4, 3)
    assert spectral_vectors(*random_log(), 20, 0).shape == (20, 0)


def test_only_train_rows_are_read(world):
    found = vectors_of_train(world.examples, 31, 6)
    log = world.tables.interactions.loc[world.split.train]
    users = world.tables.users.index.get_indexer(log["user"])
    items = 1 + world.tables.items.index.get_indexer(log["item"])
    wanted = spectral_vectors(users, items, 31, 6)
    # Users are in another order in the shards, which turns no inner product.
    assert found @ found.T == pytest.approx(wanted @ wanted.T, abs=0.1)
    assert np.abs(found[0]).max() < 1e-6
