"""The search: its budget, that a kill changes nothing, and what it finds."""

import pytest

from ssrec_tf.baselines import MatrixFactorization
from ssrec_tf.bench_tuning import (
    Tuned,
    baseline_defaults,
    config_values,
    configured,
    own_space,
    tune,
)
from ssrec_tf.config import RunConfig, from_dict, to_dict
from ssrec_tf.errors import ConfigError, NonFiniteError
from ssrec_tf.search_space import Range

pytest.importorskip("optuna")
SPACE = {"rate": Range(0.01, 10.0, log=True), "width": Range(1, 30)}
DEFAULTS = {"rate": 0.02, "width": 2}
PRIOR = {"factors.precision", "factors.level_precision", "factors.rare_items"}


def loss(parameters):
    """Least, 0, at a rate of 3 and a width of 20."""
    return (parameters["rate"] - 3) ** 2 + ((parameters["width"] - 20) / 10) ** 2


class Recorder:
    def __init__(self, function=loss, kill_at=None):
        self.function, self.kill_at, self.seen = function, kill_at, []

    def __call__(self, parameters):
        if len(self.seen) == self.kill_at:
            raise KeyboardInterrupt
        self.seen.append(dict(parameters))
        return self.function(parameters)


def search(measure, folder, trials=30, metric="rmse", **options):
    return tune(
        SPACE, DEFAULTS, measure, metric=metric, trials=trials,
        journal=folder / "deep" / "trials.journal", study="s", **options,
    )  # fmt: skip


def test_the_defaults_come_first_and_the_least_is_found(tmp_path):
    record = Recorder()
    found = search(record, tmp_path)
    assert record.seen[0] == DEFAULTS
    assert len(record.seen) == found.trials == 30
    assert found.value == min(map(loss, record.seen)) == loss(found.parameters) < 0.5
    assert isinstance(found.parameters["width"], int)
    for parameters in record.seen:
        assert 0.01 <= parameters["rate"] <= 10
        assert 1 <= parameters["width"] <= 30


def test_where_high_is_good_the_most_is_found(tmp_path):
    record = Recorder(lambda parameters: -loss(parameters))
    found = search(record, tmp_path, metric="recall@10")
    assert found.value == max(-loss(parameters) for parameters in record.seen)


def test_a_killed_search_goes_on_to_the_same_end(tmp_path):
    whole, first, rest = Recorder(), Recorder(kill_at=13), Recorder()
    wanted = search(whole, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        search(first, tmp_path / "killed")
    found = search(rest, tmp_path / "killed")
    assert found == wanted
    assert first.seen + rest.seen == whole.seen


def test_trials_that_are_kept_count_and_fewer_are_the_first_of_more(tmp_path):
    few, more, again = Recorder(), Recorder(), Recorder()
    best_of_5 = search(few, tmp_path, trials=5)
    search(more, tmp_path, trials=12)
    assert len(few.seen) == 5
    assert len(more.seen) == 7
    assert search(again, tmp_path, trials=5) == best_of_5
    assert again.seen == []
    other = Recorder()
    search(other, tmp_path / "other", trials=5, seed=9)
    assert other.seen[1:] != few.seen[1:]


def test_a_trial_that_is_not_finite_counts_and_is_passed_over(tmp_path):
    def broken(parameters):
        if parameters["width"] < 15:
            raise NonFiniteError("NaN")
        return loss(parameters)

    record = Recorder(broken)
    found = search(record, tmp_path)
    assert len(record.seen) == found.trials == 30
    assert found.parameters["width"] >= 15

    def hopeless(parameters):
        raise NonFiniteError("NaN")

    with pytest.raises(ConfigError, match="none of 3 trials gave a finite rmse"):
        search(hopeless, tmp_path / "hopeless", trials=3)


def test_a_default_outside_its_range_starts_at_the_bound(tmp_path):
    record = Recorder()
    tune(
        SPACE, {"rate": 50.0, "width": 0}, record, metric="rmse", trials=1,
        journal=tmp_path / "j", study="s",
    )  # fmt: skip
    assert record.seen == [{"rate": 10.0, "width": 1}]


def test_parameters_of_a_baseline_are_its_constructors():
    defaults = baseline_defaults(MatrixFactorization)
    assert defaults.keys() == MatrixFactorization.space.keys()
    assert MatrixFactorization(**defaults)._factors == MatrixFactorization()._factors


@pytest.fixture
def config() -> RunConfig:
    return from_dict({"name": "c", "data": {"dataset": "movielens-100k"}})


def test_parameters_of_our_model_are_keys_of_its_configuration(config):
    assert config_values(config, own_space(config, rated=False)) == {
        "train.optimizer.learning_rate": config.train.optimizer.learning_rate,
        "train.optimizer.weight_decay": config.train.optimizer.weight_decay,
        "train.dropout": config.train.dropout,
    }
    found = configured(config, {"train.optimizer.learning_rate": 1.25e-05, "train.width": 32})
    assert found.train.optimizer.learning_rate == 1.25e-05
    assert found.train.width == 32
    assert configured(config, {}) is config
    changed = to_dict(found)
    changed["train"]["optimizer"]["learning_rate"] = config.train.optimizer.learning_rate
    changed["train"]["width"] = config.train.width
    assert changed == to_dict(config)


@pytest.mark.parametrize("key", ["train.rate", "train.width.more", "train.reading", "train"])
def test_a_key_that_holds_no_number_is_named(config, key):
    with pytest.raises(ConfigError, match=f"{key} cannot be tuned"):
        config_values(config, {key: Range(0.0, 1.0)})


def test_a_value_out_of_bounds_is_an_error_of_the_configuration(config):
    with pytest.raises(ConfigError, match=r"train\.dropout is 1\.5"):
        configured(config, {"train.dropout": 1.5})


def test_a_line_says_what_was_found():
    tuned = Tuned({"rate": 0.0031234, "width": 64}, "rmse", 0.91234, 20)
    assert tuned.describe() == "20 trials, valid rmse 0.9123: rate=0.003123, width=64"


@pytest.mark.parametrize(
    ("train", "keys"),
    [
        ({"pair_head": "neural"}, {"optimizer.weight_decay", "dropout"}),
        ({}, PRIOR),
        ({"pair_head": "factorization"}, PRIOR),
        ({"pair_head": "both"}, PRIOR | {"optimizer.weight_decay", "dropout"}),
        # A head that the reading has not is not tuned.
        ({"pair_head": "factorization", "reading": "joint"}, {"optimizer.weight_decay", "dropout"}),
    ],
)
def test_what_is_tuned_is_what_the_head_reads(train, keys):
    config = from_dict({"name": "x", "data": {"dataset": "d"}, "train": train})
    wanted = {f"train.{key}" for key in keys | {"optimizer.learning_rate"}}
    space = own_space(config, rated=True)
    assert space.keys() == wanted
    assert config_values(config, space).keys() == wanted


def test_where_nothing_is_rated_a_network_is_tuned():
    config = from_dict({"name": "x", "data": {"dataset": "d"}})
    assert "train.dropout" in own_space(config, rated=False)
    assert "train.factors.precision" not in own_space(config, rated=False)
