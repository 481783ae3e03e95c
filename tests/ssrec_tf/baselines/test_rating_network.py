import keras
import numpy as np
import pytest

from ssrec_tf.baselines.networks import Schedule
from ssrec_tf.baselines.rating_network import RatingNetwork, id_embedding
from tests.ssrec_tf.baselines.conftest import fitted


class ItemOnly(RatingNetwork):
    """The mean and a bias of the item, without a penalty."""

    name = "item_only"

    def __init__(self):
        super().__init__(Schedule(400, 2048, 0.05, patience=400, held_out=0.0))

    def _build(self):
        user = keras.Input((), dtype="int32", name="user")
        item = keras.Input((), dtype="int32", name="item")
        bias = id_embedding("bias", len(self._items), 1, seed=0)
        return keras.Model({"user": user, "item": item}, bias(item))


def test_a_bias_of_the_item_is_its_mean_and_the_unknown_one_that_of_rows_shown_again():
    model, tables, split = fitted(ItemOnly)
    log = tables.interactions.iloc[split.train]
    means = log.groupby("item")["rating"].mean()
    known = tables.items.index.get_indexer(means.index)
    found = model._raw(np.zeros(len(known), int), known)
    # A row that is shown twice, its user hidden, counts twice: means move by a little.
    assert found == pytest.approx(means.to_numpy(), abs=0.12)
    cold = tables.items.index.get_indexer(["i29", "nothing"])
    unknown = model._raw(np.zeros(2, int), cold)
    assert unknown[0] == unknown[1] == pytest.approx(log["rating"].mean(), abs=0.4)


def test_the_penalty_counts_ratings_and_not_ids():
    table = id_embedding("t", 3, 2, seed=1, penalty=0.5)
    rows = keras.ops.convert_to_numpy(table(np.array([1, 1, 3], np.int32)))
    assert float(table.losses[0]) == pytest.approx(0.5 * (rows**2).sum() / 3, rel=1e-5)
