"""The page over several splits: what stands on it, what is fitted, what is refused."""

import re
import xml.etree.ElementTree as ET

import pandas as pd
import pytest
import yaml

from ssrec_tf import baselines, bench_page, cli
from ssrec_tf.config import to_dict
from ssrec_tf.errors import ConfigError
from tests.ssrec_tf.test_bench import Shrunk, toy_run

SPLITS = "random,time_streaming=other.yaml"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The command, run once from the folder of the configurations."""
    folder = tmp_path_factory.mktemp("page")
    config, _ = toy_run(folder)
    plain = to_dict(config)
    (folder / "toy.yaml").write_text(yaml.safe_dump(plain))
    plain["split"]["valid"] = 0.2
    (folder / "other.yaml").write_text(yaml.safe_dump(plain))
    command = ["bench", "toy.yaml", "--splits", SPLITS, "--models", "item_mean,bias,running_bias"]
    command += ["--against", "bias", "--out", "out", "--page", "docs/benchmarks.md"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.main(command) == 0
    return folder, "ssrec " + " ".join(command)


def test_it_says_the_command_the_protocol_and_the_figures(page):
    folder, command = page
    text = (folder / "docs" / "benchmarks.md").read_text()
    assert command in text
    first, second = text.split("## random")[1].split("## time_streaming")
    assert "| running_bias |" in second
    assert "running_bias" not in first  # it streams, the split does not
    assert "56 rows;" in first  # a tenth of 560
    assert "112 rows;" in second  # its own configuration says a fifth
    assert "of any part" in second
    assert re.search(r"\| bias \| 1 \| \**\d\.\d{4}", first)
    assert re.search(r"\| item_mean \| \+0\.\d{4} \([+-]", first)
    assert (folder / "out" / "toy" / "valid" / "benchmarks.md").read_text() == text


def test_beside_it_lie_charts_and_a_csv(page):
    folder, _ = page
    assets = folder / "docs" / "benchmarks"
    for kind in ("random", "time_streaming"):
        root = ET.parse(assets / f"{kind}.svg").getroot()  # noqa: S314 of our own making
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "--s0" in root[0].text
        texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
        assert "item_mean" in texts
    figures = pd.read_csv(assets / "figures.csv").set_index(["split", "model", "metric"])
    report = (folder / "out" / "toy" / "valid" / "random" / "table.txt").read_text()
    assert f"{figures.loc[('random', 'bias', 'rmse'), 'value']:.4f}" in report
    less = figures.loc[("random", "item_mean", "rmse")]
    other = figures.loc[("random", "bias", "rmse"), "value"]
    assert less["difference"] == pytest.approx(less["value"] - other, abs=2e-6)
    assert figures["seconds"].gt(0).all()


def test_every_split_is_searched_and_says_what_was_found(page, tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    monkeypatch.setattr(baselines, "EXTENDED", {**baselines.EXTENDED, "shrunk": Shrunk})
    command = ["bench", str(page[0] / "toy.yaml"), "--splits", "random,time", "--tune", "2"]
    assert cli.main([*command, "--models", "shrunk,bias", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "toy" / "valid" / "benchmarks.md").read_text()
    assert len(re.findall(r"^- shrunk: 2 trials, valid rmse \d\.\d{4}: share=", text, re.M)) == 2
    assert "- bias" not in text  # it has nothing to search for
    assert (tmp_path / "toy" / "tuning" / "trials.journal").exists()


def test_a_kind_given_twice_or_unknown_is_named(page):
    folder, _ = page
    with pytest.raises(ConfigError, match="names random twice"):
        bench_page.split_configs(folder / "toy.yaml", ["random", "random=x.yaml"])
    with pytest.raises(ConfigError, match=r"split\.kind is 'rnd'"):
        bench_page.split_configs(folder / "toy.yaml", ["rnd"])


def test_a_strange_rival_is_refused_before_anything_is_fitted(page, tmp_path, capsys):
    folder, _ = page
    command = ["bench", str(folder / "toy.yaml"), "--splits", "random", "--against", "svd"]
    assert cli.main([*command, "--models", "bias", "--out", str(tmp_path)]) == 2
    assert "--against svd: give one of bias" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
