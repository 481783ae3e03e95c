"""What may be pushed, case by case."""

import math
from dataclasses import replace

import pytest

from ssrec_tf.config import EvaluateConfig
from ssrec_tf.errors import ConfigError, ProtocolError
from ssrec_tf.figures import Figure, Report
from ssrec_tf.gate import gate
from ssrec_tf.protocol import ProtocolCard

CARD = ProtocolCard(
    dataset="d", split="random", split_digest="ab", split_seed=1, part="test", rows=3,
    click="as logged", k=5, relevant="every click of the part", ranked_users=2,
    ranked_users_digest="cd",
)  # fmt: skip


def report(rmse=0.9, auc=0.8, ndcg=0.2) -> Report:
    own = {"rmse": Figure(rmse), "auc": Figure(auc), "ndcg@5": Figure(ndcg)}
    bias = {"rmse": Figure(0.95), "auc": Figure(0.75), "ndcg@5": Figure(0.1)}
    return Report(CARD, 0, 0, {"own": own, "bias": bias})


def test_good_enough():
    config = EvaluateConfig(
        thresholds={"rmse": 0.9, "auc": 0.8, "ndcg@k": 0.2}, beat="bias", beat_metric="rmse"
    )
    assert gate(report(), config, "own") == []
    assert gate(report(), EvaluateConfig(), "own") == []


def test_thresholds_are_upper_for_errors_and_lower_for_the_rest():
    config = EvaluateConfig(thresholds={"rmse": 0.9, "auc": 0.8})
    assert gate(report(rmse=0.9001), config, "own") == ["own: rmse is 0.9001, must be at most 0.9"]
    assert gate(report(auc=0.7999), config, "own") == ["own: auc is 0.7999, must be at least 0.8"]
    assert len(gate(report(rmse=1, auc=0.1), config, "own")) == 2


def test_a_figure_that_does_not_exist_passes_nothing():
    config = EvaluateConfig(thresholds={"rmse": 9}, beat="bias", beat_metric="rmse")
    failures = gate(report(rmse=math.nan), config, "own", report())
    assert len(failures) == 3


@pytest.mark.parametrize("metric", ["rmse", None])
def test_a_baseline_must_be_beaten_not_met(metric):
    config = EvaluateConfig(beat="bias", beat_metric=metric)
    assert gate(report(rmse=0.9499), config, "own") == []
    assert gate(report(rmse=0.95), config, "own") == [
        "own: rmse is 0.9500, does not beat bias with 0.9500"
    ]
    higher = EvaluateConfig(beat="bias", beat_metric="ndcg")
    assert gate(report(ndcg=0.11), higher, "own") == []
    assert len(gate(report(ndcg=0.09), higher, "own")) == 1


def test_no_worse_than_the_last_blessed_model_but_for_the_tolerance():
    config = EvaluateConfig(thresholds={"auc": 0.5})
    last = report(rmse=0.5, auc=0.8)  # rmse is not watched
    assert gate(report(auc=0.793), config, "own", last) == []
    assert gate(report(auc=0.9), config, "own", last) == []
    assert gate(report(auc=0.79), config, "own", last) == [
        "own: auc is 0.7900, worse than the last blessed model's 0.8000 by more than 1%"
    ]
    assert gate(report(auc=0.79), config, "own", last, tolerance=0.02) == []
    # Nothing is named: the first metric is watched.
    assert len(gate(report(rmse=0.91), EvaluateConfig(), "own", last)) == 1


def test_another_protocol_or_an_unknown_name_is_an_error():
    config = EvaluateConfig(thresholds={"rmse": 1})
    last = replace(report(), card=replace(CARD, k=6))
    with pytest.raises(ProtocolError, match="k: 5 and 6"):
        gate(report(), config, "own", last)
    with pytest.raises(ConfigError, match="no metric 'rsme'"):
        gate(report(), EvaluateConfig(thresholds={"rsme": 1}), "own")
    with pytest.raises(ConfigError, match="no model 'svd'"):
        gate(report(), EvaluateConfig(beat="svd", beat_metric="rmse"), "own")
