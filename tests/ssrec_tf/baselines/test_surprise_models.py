import numpy as np
import pytest

from ssrec_tf.baselines import SVD, Bias, SVDpp
from tests.ssrec_tf.baselines.conftest import Contract, error_of, low_rank, pairs, planted

surprise = pytest.importorskip("surprise")
KINDS = [SVD, SVDpp]


@pytest.mark.parametrize("kind", KINDS)
class TestContract(Contract):
    pass


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_the_library(kind):
    tables, split = planted()
    model = kind(factors=5, epochs=10, rate=0.01, seed=3)
    model.fit(tables, split)
    train = tables.interactions.iloc[split.train]
    data = surprise.Dataset.load_from_df(
        train[["user", "item", "rating"]], surprise.Reader(rating_scale=(1, 5))
    )
    own = getattr(surprise, kind.__name__)(
        n_factors=5, n_epochs=10, lr_all=0.01, reg_all=model.penalty, random_state=3
    )
    own.fit(data.build_full_trainset())
    users, items = pairs(tables, split.test)
    users, items = np.append(users, ["u0", "nobody"]), np.append(items, ["i29", "i0"])
    wanted = [own.predict(user, item).est for user, item in zip(users, items, strict=True)]
    assert model.scores(users, items).rating == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_planted_factors(kind):
    model = kind(factors=4, epochs=60, rate=0.02)
    assert error_of(model, *low_rank()) < 0.6 * error_of(Bias(), *low_rank())


@pytest.mark.parametrize("kind", KINDS)
def test_the_penalty_is_chosen_on_valid(kind):
    tables, split = low_rank()
    model = kind(factors=4, epochs=30, rate=0.02)
    model.penalties = (3.0, 0.02)
    model.fit(tables, split)
    assert model.penalty == 0.02
