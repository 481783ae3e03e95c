"""Reports: names, tables, differences and the way to JSON and back."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from ssrec_tf.errors import ConfigError, DataError, ProtocolError
from ssrec_tf.figures import Figure, Report, Slice, compare
from ssrec_tf.metrics import CalibrationBin
from ssrec_tf.protocol import ProtocolCard

CARD = ProtocolCard(
    dataset="d", split="random", split_digest="ab", split_seed=1, part="test", rows=3,
    click="as logged", k=5, relevant="every click of the part", ranked_users=2,
    ranked_users_digest="cd",
)  # fmt: skip
SAMPLES = np.random.default_rng(0).normal(size=200).astype(np.float32)


def report(card=CARD, seed=0, **values) -> Report:
    """A model, and a rival whose every resample is 0.1 higher."""
    own = {
        "rmse": Figure(1.0, 0.9, 1.1, SAMPLES),
        "auc": Figure(0.75, 0.7, 0.8, SAMPLES),
        "precision": Figure(0.5),
        "ndcg@5": Figure(0.25, 0.2, 0.3, SAMPLES),
    }
    rival = {
        "rmse": Figure(1.1, 1.0, 1.2, SAMPLES + np.float32(0.1)),
        "auc": Figure(0.85, 0.8, 0.9, SAMPLES + np.float32(0.1)),
        "ndcg@5": Figure(math.nan),
    }
    return Report(card, 200, seed, {"own": own, "rival": rival}, **values)


def test_a_paired_difference_is_surer_than_the_intervals():
    one = report()
    found = compare(one, "own", one, "rival", "rmse")
    assert found.value == pytest.approx(-0.1)
    assert (found.low, found.high) == pytest.approx((-0.1, -0.1), abs=1e-6)
    assert found.better is True
    assert compare(one, "own", one, "rival", "auc").better is False
    assert compare(one, "rival", one, "own", "auc").better is True
    assert compare(one, "own", one, "own", "auc").better is None


def test_reports_resampled_otherwise_give_no_interval():
    found = compare(report(), "own", report(seed=1), "rival", "rmse")
    assert found.value == pytest.approx(-0.1)
    assert math.isnan(found.low)
    assert found.better is None


def test_figures_of_other_protocols_cannot_be_compared():
    other = report(replace(CARD, split_digest="zz"))
    with pytest.raises(ProtocolError, match="split_digest"):
        compare(report(), "own", other, "own", "rmse")


def test_names_with_and_without_the_cutoff():
    one = report()
    for name in ("ndcg", "ndcg@k", "ndcg@5"):
        assert one.figure("own", name).value == 0.25
    with pytest.raises(ConfigError, match="no metric 'ndcg@10'"):
        one.figure("own", "ndcg@10")
    with pytest.raises(ConfigError, match="no model 'x' in the report: give one of own, rival"):
        one.figure("x", "rmse")


def test_table_is_aligned_and_marks_the_best():
    lines = report().table().split("\n")
    assert lines == [
        "model    rmse      auc   ndcg@5",
        "own    1.0000*  0.7500   0.2500*",
        "rival  1.1000   0.8500*       -",
    ]


def test_table_with_intervals():
    lines = report().table(intervals=True).split("\n")
    assert lines == [
        "model         rmse           auc        ndcg@5",
        "own         1.0000*       0.7500        0.2500*",
        "       0.900-1.100   0.700-0.800   0.200-0.300",
        "rival       1.1000        0.8500*            -",
        "       1.000-1.200   0.800-0.900",
    ]
    bare = Report(CARD, 0, 0, {"a": {"auc": Figure(0.5)}})
    assert bare.table(intervals=True) == bare.table()


def test_nobody_is_best_when_all_are_equal():
    figure = {"auc": Figure(0.50001)}
    assert Report(CARD, 0, 0, {"a": figure, "b": {"auc": Figure(0.5)}}).best("auc") == frozenset()
    assert Report(CARD, 0, 0, {"a": figure}).best("auc") == {"a"}
    assert Report(CARD, 0, 0, {"a": {"auc": Figure(math.nan)}}).best("auc") == frozenset()


def test_round_trip_through_strict_json():
    one = report(
        slices=(Slice("cold", 3, 2, {"own": {"rmse": 1.0, "gauc": math.nan}}),),
        calibration={"own": (CalibrationBin(3, 0.25, 0.5),)},
    )
    text = json.dumps(one.to_dict(), allow_nan=False)
    again = Report.from_dict(json.loads(text))
    assert again == one
    assert np.array_equal(again.models["own"]["rmse"].samples, SAMPLES)
    assert again.models["own"]["precision"].samples is None
    assert compare(again, "own", one, "rival", "rmse") == compare(one, "own", one, "rival", "rmse")


@pytest.mark.parametrize(
    "broken", [{}, {"protocol": {}}, {"models": []}, {"models": {"a": {"b": 1}}}]
)
def test_what_is_no_report_is_refused(broken):
    values = {**report().to_dict(), **broken} if broken else {}
    with pytest.raises(DataError, match="evaluate again"):
        Report.from_dict(values)
