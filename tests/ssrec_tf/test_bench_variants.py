"""Variants: what a file of them may hold, and that each is trained with its own keys."""

import json

import numpy as np
import pytest
import yaml

from ssrec_tf import bench, cli
from ssrec_tf.bench_models import Bench
from ssrec_tf.bench_variants import read_variants
from ssrec_tf.config import to_dict
from ssrec_tf.errors import ConfigError
from ssrec_tf.evaluation import Scores
from tests.ssrec_tf.test_bench import toy_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return toy_run(tmp_path_factory.mktemp("variants"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"variants\.yaml holds no variants: give a name"),
        ("- a", "holds no variants"),
        ("bias: {train.width: 8}", "'bias' is a model's own name"),
        ("a/7: {train.width: 8}", "'a/7' names no variant: give a text without"),
        ("7: {train.width: 8}", "7 names no variant"),
        ("narrow:", "'narrow' changes nothing: give key: value below it"),
        ("narrow: 8", "'narrow' changes nothing"),
        ("narrow: {", "mend the YAML"),
    ],
)
def test_odd_files_are_refused(tmp_path, text, message):
    path = tmp_path / "variants.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_variants(path)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"train.widht": 8}, "variant 'odd': .*train.widht.*train.width"),
        ({"train.dropout": 2}, "variant 'odd': train.dropout is 2"),
    ],
)
def test_an_unknown_key_is_refused_before_anything_is_fitted(run, tmp_path, keys, message):
    config, base = run
    with pytest.raises(ConfigError, match=message):
        bench.bench(config, base=base, folder=tmp_path, models=["bias"], variants={"odd": keys})
    assert not list(tmp_path.iterdir())


def test_each_is_trained_with_its_own_keys_and_stands_beside_the_plain_one(
    run, tmp_path, monkeypatch
):
    """The training is planted: a wider model errs less, by its width."""
    config, base = run
    trained = []

    def own(self, config, part, seed, work):
        trained.append((config.train.width, config.encoder.tuning, seed))
        truth = self.tables.interactions["rating"].to_numpy()[getattr(self.split, part)]
        noise = np.random.default_rng(seed).choice([-1.0, 1.0], len(truth))
        return Scores(rating=truth + noise / config.train.width, click=np.full(len(truth), 0.5))

    monkeypatch.setattr(Bench, "_own", own)
    path, variants = base / "toy.yaml", tmp_path / "variants.yaml"
    plain = to_dict(config)
    plain["data"]["rating_scale"] = [-9, 15]  # nothing is clipped
    path.write_text(yaml.safe_dump(plain))
    variants.write_text("wide: {train.width: 32}\nnarrow: {train.width: 4, encoder.dropout: 1e-3}")
    page = tmp_path / "page.md"
    command = ["bench", str(path), "--models", "ssrec_tf,bias", "--variants", str(variants)]
    command += ["--seeds", "2", "--against", "ssrec_tf", "--page", str(page)]
    assert cli.main([*command, "--out", str(tmp_path / "bench")]) == 0
    assert sorted(trained) == [(w, "full", seed) for w in (4, 16, 32) for seed in (7, 8)]
    report = json.loads((tmp_path / "bench/toy/valid/random/report.json").read_text())
    assert {name for name in report["models"] if "/" in name} == {
        f"{name}/{seed}" for name in ("ssrec_tf", "wide", "narrow") for seed in (7, 8)
    }
    lines = [line for line in page.read_text().splitlines() if line.startswith("| wide | ")]
    assert lines[0].startswith("| wide | 2 | **0.0312** ± 0.0000")  # 1/32
    assert lines[1].startswith("| wide | **-0.0312** (")  # less 1/16
    trained.clear()
    assert cli.main([*command, "--out", str(tmp_path / "bench")]) == 0
    assert trained == []
