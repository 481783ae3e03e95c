"""Co-occurrence vectors: against a dense decomposition, and by what they must tell apart."""

import numpy as np
import pytest
import scipy.linalg

from ssrec_tf.batching import columns_of_train
from ssrec_tf.cooccurrence import (
    autoencoder_vectors,
    companion_vectors,
    spectral_vectors,
    successor_vectors,
    told_by_texts,
    vectors_of_logs,
)


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
    found = vectors_of_logs(columns_of_train(world.examples, "items")[0], 31, 6)
    log = world.tables.interactions.loc[world.split.train]
    users = world.tables.users.index.get_indexer(log["user"])
    items = 1 + world.tables.items.index.get_indexer(log["item"])
    wanted = spectral_vectors(users, items, 31, 6)
    # Users are in another order in the shards, which turns no inner product.
    assert found @ found.T == pytest.approx(wanted @ wanted.T, abs=0.1)
    assert np.abs(found[0]).max() < 1e-6


def test_what_is_met_is_not_made_long_by_what_is_hardly_met():
    # 400 users meet the same 5 items each time; of 1,000 others one user meets one each.
    users = np.concatenate([np.repeat(np.arange(400), 5), 400 + np.arange(1000)])
    items = np.concatenate([np.tile(np.arange(5), 400), 5 + np.arange(1000)])
    logs = [items[users == user] for user in range(1400)]
    met = np.bincount(items)
    before, after = successor_vectors(logs, 1005, 4)
    known, finds = autoencoder_vectors(logs, 1005, 4, 3.0)
    companions = companion_vectors(logs, 1005, 4)
    for vectors in (companions, before, after, known, finds):
        lengths = np.linalg.norm(vectors, axis=1)
        assert lengths[:5].max() < 4
        assert np.sqrt(np.mean(lengths**2)) < 1
    # Over what was met, the mean length is 2; alone, the root mean square were 1.
    assert np.linalg.norm(companions, axis=1) @ met / met.sum() == pytest.approx(2.0, rel=1e-4)


def near_by_hand(logs, count):
    """The matrix that `successor_vectors` decomposes, pair by pair."""
    near = np.zeros((count, count))
    for log in logs:
        for i, first in enumerate(log):
            for place, second in enumerate(log[i + 1 : i + 21]):
                near[first, second] += 0.9**place
                near[second, first] += 0.5 * 0.9**place
    near /= np.sqrt(near.sum(1, keepdims=True) + 20.0) * np.sqrt(near.sum(0, keepdims=True) + 20.0)
    return np.sqrt(near)


def test_successors_multiply_to_the_counts_of_what_follows_what():
    rng = np.random.default_rng(0)
    logs = [rng.integers(1, 12, length) for length in (30, 2, 1, 0, 45)]
    before, after = successor_vectors(logs, 14, 14)  # of full width nothing is lost
    found, wanted = before @ after.T, near_by_hand(logs, 14)
    scale = np.linalg.svd(wanted)[1].sum() / 14
    assert found * scale == pytest.approx(wanted, abs=1e-5)
    assert np.mean(np.sum(before**2, axis=1)) == pytest.approx(1.0, rel=1e-4)
    assert np.abs(before[[0, 12, 13]]).max() < 1e-6
    assert before.dtype == after.dtype == np.float32


def test_a_walk_in_a_circle_is_followed_the_right_way():
    starts = np.random.default_rng(0).integers(0, 8, 40)
    logs = [(start + np.arange(30)) % 8 for start in starts]
    before, after = successor_vectors(logs, 8, 6)
    follows = before @ after.T
    step = (np.arange(8)[None] - np.arange(8)[:, None]) % 8
    assert follows[step == 1].mean() > follows[step == 7].mean() > 0


def test_successors_of_nothing():
    for logs in ([], [np.array([3])]):
        before, after = successor_vectors(logs, 5, 3)
        assert before.shape == after.shape == (5, 3)
        assert not before.any()
    assert successor_vectors([np.array([1, 2])], 5, 0)[0].shape == (5, 0)


def logs_and_what_they_met():
    """Logs of 12 users of items 1 to 11 of 14, and 1 where a user met an item: [12, 14]."""
    rng = np.random.default_rng(0)
    logs = [rng.integers(1, 12, length) for length in (30, 2, 1, 0, 9, 9, 9, 12, 14, 4, 6, 8)]
    met = np.zeros((len(logs), 14))
    for user, log in enumerate(logs):
        met[user, log] = 1.0
    return logs, met


def test_companions_multiply_to_the_counts_of_what_goes_together():
    logs, met = logs_and_what_they_met()
    met /= np.sqrt(met.sum(1, keepdims=True) + 20.0) * np.sqrt(met.sum(0, keepdims=True) + 20.0)
    wanted = scipy.linalg.sqrtm(met.T @ met).real
    found = companion_vectors(logs, 14, 14)
    assert found @ found.T == pytest.approx(wanted * 14 / np.trace(wanted), abs=1e-3)
    assert companion_vectors([], 5, 3).shape == (5, 3)


def test_the_autoencoder_multiplies_to_the_weights_of_ease():
    logs, met = logs_and_what_they_met()
    counts = met.sum(axis=0) + 1.0
    quiet = (counts / counts.mean()) ** -0.15
    columns = met * quiet
    inverse = np.linalg.inv(columns.T @ columns + 3.0 * np.eye(14))
    wanted = quiet[:, None] * -inverse / np.diag(inverse)  # Steck 2019, equation 8
    known, found = autoencoder_vectors(logs, 14, 14, 3.0)  # of full width nothing is lost
    weights, others = known @ found.T, ~np.eye(14, dtype=bool)
    scale = wanted[others].std() / weights[others].std()
    assert weights[others] * scale == pytest.approx(wanted[others], abs=1e-5)
    assert np.abs(weights - weights.T).max() > 0.01
    for vectors in (known, found):
        assert np.mean(np.sum(vectors**2, axis=1)) == pytest.approx(1.0, rel=1e-4)
        assert vectors.dtype == np.float32
        assert np.abs(vectors[[0, 12, 13]]).max() < 1e-6


def test_an_autoencoder_of_nothing():
    for logs in ([], [np.array([], int)]):
        known, found = autoencoder_vectors(logs, 5, 3, 300.0)
        assert known.shape == found.shape == (5, 3)
        assert not known.any()
        assert not found.any()
    assert autoencoder_vectors([np.array([1, 2])], 5, 0, 300.0)[0].shape == (5, 0)


@pytest.mark.parametrize("width", [1, 3])
def test_texts_tell_vectors_where_they_do_and_their_mean_where_not(width):
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(400, 6)).astype(np.float32)
    slopes, level = rng.normal(size=(6, width)), rng.normal(size=width)
    found = told_by_texts(directions, directions @ slopes + level)
    assert found == pytest.approx(np.vstack([slopes, level]), abs=1e-2)
    noise = rng.normal(size=(400, width)) + level
    blind = told_by_texts(directions, noise)
    assert blind[-1] == pytest.approx(noise.mean(axis=0), abs=0.05)
    assert np.abs(blind[:-1]).max() < 0.15


def test_texts_of_a_large_catalogue_are_read_in_part(monkeypatch):
    monkeypatch.setattr("ssrec_tf.cooccurrence._ENOUGH", 50)
    directions = np.random.default_rng(0).normal(size=(199, 4))
    vectors = directions[:, :2].copy()
    vectors[np.arange(199) % 4 != 0] = np.nan  # every fourth is read
    assert np.isfinite(told_by_texts(directions, vectors)).all()
