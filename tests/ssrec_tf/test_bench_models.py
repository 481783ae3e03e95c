"""Models by name, and what tells their trials apart."""

from dataclasses import replace

import pytest

from ssrec_tf.bench_models import OWN, Bench, baseline_kind, digest_of, known_models
from ssrec_tf.config import from_dict
from ssrec_tf.errors import ConfigError
from tests.ssrec_tf.baselines.conftest import planted


@pytest.fixture
def bench():
    tables, split = planted()
    return Bench(from_dict({"name": "b", "data": {"dataset": "movielens-100k"}}), tables, split)


def test_every_known_model_but_our_own_has_a_class():
    names = known_models()
    assert names[0] == OWN
    assert len(set(names)) == len(names)
    assert all(baseline_kind(name).name == name for name in names[1:])


def test_trials_are_told_apart_by_what_a_model_is_for(bench):
    assert bench.metric("bias") == bench.metric("mf") == bench.metric(OWN) == "rmse"
    assert bench.metric("vae") == bench.metric("popularity") == "recall@10"
    train = replace(bench.config.train, reading="retrieval")
    towers = replace(bench, config=replace(bench.config, train=train))
    assert towers.metric(OWN) == "recall@10"
    assert towers.metric("bias") == "rmse"
    tables, split = planted(ratings=False)
    clicks = replace(bench, tables=tables, split=split)
    assert clicks.metric(OWN) == "recall@10"
    joint = replace(clicks.config, train=replace(clicks.config.train, reading="joint"))
    assert replace(clicks, config=joint).metric(OWN) == "log_loss"
    with pytest.raises(ConfigError, match="bias needs ratings, planted has none"):
        clicks.scores("bias", "valid", 0, {}, None)


def test_scores_are_those_of_the_baseline_with_its_parameters(bench):
    log = bench.tables.interactions.iloc[bench.split.valid]
    model = baseline_kind("popularity")()
    model.fit(bench.tables, bench.split)
    found = bench.scores("popularity", "valid", 0, {}, None)
    wanted = model.scores(log["user"].to_numpy(), log["item"].to_numpy())
    assert found.click == pytest.approx(wanted.click)
    assert bench.users("valid").tolist() == sorted(set(log["user"]))
    assert found.ranking.shape == (len(bench.users("valid")), len(bench.tables.items))
    report = bench.report({"popularity": found}, "valid", bootstrap=0)
    assert report.bootstrap == 0


def test_a_digest_follows_from_the_values():
    assert digest_of({"a": 1, "b": [2.5]}) == digest_of({"b": [2.5], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})
