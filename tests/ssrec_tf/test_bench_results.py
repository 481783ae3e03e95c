"""Seeds averaged by hand, differences in pairs, and what a table shows of them."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ssrec_tf import bench_results
from ssrec_tf.figures import Figure, Report
from tests.ssrec_tf.test_protocol import CARD

RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 0.1, 400).astype(np.float32)  # what all models share: the users drawn


def figure(value: float, offset: float = 0.0) -> Figure:
    own = RNG.normal(0, 0.001, 400).astype(np.float32)
    samples = (value + offset + NOISE + own).astype(np.float32)
    low, high = np.quantile(samples, [0.025, 0.975])
    return Figure(value, float(low), float(high), samples)


@pytest.fixture(scope="module")
def report() -> Report:
    models = {
        "own/7": {"rmse": figure(0.91), "coverage@10": Figure(0.3)},
        "own/8": {"rmse": figure(0.93), "coverage@10": Figure(0.5)},
        "bias": {"rmse": figure(0.95), "auc": figure(0.7)},
    }
    return Report(card=CARD, bootstrap=400, seed=0, models=models)


def test_seeds_become_one_model_with_paired_resamples(report):
    result = bench_results.summarise(report, {"own/7": 10.0, "own/8": 20.0, "bias": 1.0})
    assert list(result.report.models) == ["own", "bias"]
    own = result.report.models["own"]
    assert own["rmse"].value == pytest.approx(0.92)
    first, second = (report.models[f"own/{seed}"]["rmse"].samples for seed in (7, 8))
    apart = math.sqrt(2) * (second - first) / 2  # both draws are of one seed, or one of each
    away = own["rmse"].samples - (first + second) / 2
    kinds = np.stack([away + apart, away, away - apart])  # [3, bootstrap]
    assert np.abs(kinds).min(axis=0) == pytest.approx(0, abs=1e-6)
    assert np.bincount(np.abs(kinds).argmin(axis=0)) == pytest.approx([100, 200, 100], abs=40)
    low, high = np.quantile(own["rmse"].samples, [0.025, 0.975])
    assert (own["rmse"].low, own["rmse"].high) == pytest.approx((low, high), abs=2e-3)
    assert own["coverage@10"].value == pytest.approx(0.4)
    assert own["coverage@10"].samples is None
    assert result.spread["own"]["rmse"] == pytest.approx(0.02 / math.sqrt(2))
    assert math.isnan(result.spread["bias"]["rmse"])
    assert result.seeds == {"own": 2, "bias": 1}
    assert result.seconds == {"own": 15.0, "bias": 1.0}
    # Each interval is 0.4 wide; in pairs the users' noise falls out and the seeds' is left.
    less = bench_results.difference(result.report, "own", "bias", "rmse")
    assert less.value == pytest.approx(-0.03)
    assert (less.low, less.high) == pytest.approx((-0.0442, -0.0158), abs=5e-3)
    assert less.better is True
    assert bench_results.difference(result.report, "own", "bias", "auc") is None


def test_intervals_hold_the_spread_over_seeds():
    # Users add a variance of 0.1 ** 2, three seeds' mean one of (0.3 ** 2) / 3.
    users = np.random.default_rng(1).normal(0, 0.1, 20_000)
    seeds = np.array([-0.3, 0.0, 0.3]) / math.sqrt(0.06) * 0.3 * math.sqrt(2 / 3)
    models = {
        f"own/{i}": {"rmse": Figure(1 + v, 0, 0, (1 + v + users).astype(np.float32))}
        for i, v in enumerate(seeds)
    }
    report = Report(card=CARD, bootstrap=20_000, seed=0, models=models)
    samples = bench_results.averaged(report).models["own"]["rmse"].samples
    assert samples.mean() == pytest.approx(1.0, abs=0.01)
    assert seeds.std(ddof=1) == pytest.approx(0.3)
    assert samples.var() == pytest.approx(0.01 + 0.09 / 3, rel=0.05)


def test_what_is_shown(report):
    result = bench_results.summarise(report, {})
    assert bench_results.main_metrics(result) == ["rmse", "auc"]
    assert bench_results.drawn_metric(result) == "rmse"
    assert bench_results.show_figure(result, "own", "rmse").startswith("**0.9200** ± 0.0141 (")
    assert bench_results.show_figure(result, "own", "auc") == "-"
    less = bench_results.difference(result.report, "own", "bias", "rmse")
    assert bench_results.show_difference(less).startswith("**-0.0300** (-0.04")
    assert bench_results.show_difference(None) == "-"
    unpaired = replace(less, low=math.nan, high=math.nan, better=None)
    assert bench_results.show_difference(unpaired) == "-0.0300"
    nothing = replace(less, value=-1e-6, low=-1e-6, high=0.0, better=None)
    assert bench_results.show_difference(nothing) == "+0.0000 (+0.0000 to +0.0000)"
    rows = bench_results.records(result, "bias")
    (own,) = [row for row in rows if (row["model"], row["metric"]) == ("own", "rmse")]
    assert (own["difference"], own["seeds"]) == (pytest.approx(-0.03), 2)
    assert math.isnan(own["seconds"])
    (bias,) = [row for row in rows if (row["model"], row["metric"]) == ("bias", "rmse")]
    assert math.isnan(bias["difference"])


def test_markdown_table():
    assert (
        bench_results.markdown_table([["a", "b"], ["x", "1"]]) == "| a | b |\n|---|---:|\n| x | 1 |"
    )
