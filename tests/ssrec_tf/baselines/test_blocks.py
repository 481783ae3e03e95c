import numpy as np
import pytest

from ssrec_tf.baselines import blocks


def test_matrices_of_pairs_that_occur_more_than_once():
    row, column = np.array([0, 1, 0, 0]), np.array([2, 0, 2, 1])
    means = blocks.mean_matrix(row, column, np.array([1.0, 5.0, 4.0, 0.0]), (2, 3))
    assert means.toarray().tolist() == [[0, 0, 2.5], [5, 0, 0]]
    assert means.nnz == 3  # a mean of 0 is a mean
    occurs = blocks.occurrence_matrix(row, column, (2, 3))
    assert occurs.toarray().tolist() == [[0, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize("cells", [1, 10, 1000])
def test_rows_of_users_are_made_once_however_many_at_a_time(monkeypatch, cells):
    monkeypatch.setattr(blocks, "_CELLS", cells)
    rng = np.random.default_rng(0)
    table = np.round(rng.normal(size=(8, 5)), 3)  # the last row and column for -1
    asked = []

    def rows(users):
        asked.extend(users.tolist())
        return table[users]

    user, item = rng.integers(-1, 7, (6, 4)), rng.integers(-1, 4, (6, 4))
    found = blocks.by_user(user, item, 4, rows)
    assert np.array_equal(found, table[user, item])
    assert asked == sorted(set(user.ravel().tolist()))


def test_nothing_asked():
    empty = np.empty(0, np.int64)
    assert blocks.by_user(empty, empty, 4, lambda users: np.empty((len(users), 5))).shape == (0,)
