"""The bench: what it keeps, that a second call fits nothing, and its figures by hand."""

import json

import numpy as np
import pytest
import yaml

from ssrec_tf import bench, cli
from ssrec_tf.config import from_dict, to_dict
from ssrec_tf.datasets import load_data
from ssrec_tf.errors import ConfigError
from ssrec_tf.splits import make_split


def toy_run(folder):
    """Write a log in which comedy is loved by even users and horror by odd ones; its run."""
    rng = np.random.default_rng(0)
    rows = ["user,item,rating,at"]
    for user in range(40):
        for item in rng.permutation(24)[:14]:
            liked = user % 2 == item % 2
            rating = rng.integers(4, 6) if liked else rng.integers(1, 3)
            rows.append(f"u{user},i{item},{rating},{len(rows)}")
    (folder / "log.csv").write_text("\n".join(rows))
    films = [f"i{item},film {item},{['comedy', 'horror'][item % 2]}" for item in range(24)]
    (folder / "items.csv").write_text("\n".join(["item,title,genre", *films]))
    loop = {"steps": 20, "batch_size": 8, "evaluate_every": 10, "checkpoint_every": 10}
    columns = {name: name for name in ("user", "item", "rating")}
    config = from_dict(
        {
            "name": "toy",
            "data": {
                "interactions": {"path": "log.csv", "columns": {**columns, "time": "at"}},
                "items": [
                    {"path": "items.csv", "columns": {n: n for n in ("item", "title", "genre")}}
                ],
                "rating_scale": [1, 5],
                "click_threshold": 4,
            },
            "text": {"item_template": "{title}. {genre}", "vocabulary_size": 200},
            "pretrain": {"loop": {**loop, "steps": 2}, "sequence_length": 32},
            "train": {"loop": loop, "max_history": 16, "max_targets": 8, "width": 16},
            "evaluate": {"bootstrap": 50},
        }
    )
    return config, folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return toy_run(tmp_path_factory.mktemp("bench"))


def test_baselines_are_measured_as_by_hand_and_kept(run, tmp_path, monkeypatch):
    config, base = run
    said = []

    def measure(part="valid"):
        return bench.bench(
            config,
            base=base,
            folder=tmp_path,
            models=["item_mean", "bias", "ease"],
            part=part,
            tell=said.append,
        )

    report = measure()
    assert said == ["fit item_mean", "fit bias", "fit ease"]
    tables = load_data(config.data, base=base)
    split = make_split(tables, config.split)
    log = tables.interactions
    means = log.loc[split.train].groupby("item")["rating"].mean()
    truth = log.loc[split.valid]
    error = truth["rating"] - truth["item"].map(means)
    assert report.figure("item_mean", "rmse").value == pytest.approx(
        np.sqrt((error**2).mean()), abs=0.02
    )  # the baseline may shrink its means
    assert json.loads((tmp_path / "report.json").read_text())["protocol"]["part"] == "valid"
    assert (tmp_path / "table.txt").read_text() == report.table() + "\n"
    said.clear()
    again = measure()
    assert said == []
    assert again.table() == report.table()
    measure("test")  # another part is another measurement
    assert len(said) == 3
    said.clear()
    monkeypatch.setattr(bench, "code_digest", lambda: "of another version")
    measure()  # scores of other code are not reused
    assert len(said) == 3
    seconds = json.loads((tmp_path / "seconds.json").read_text())
    assert set(seconds) == {"item_mean", "bias", "ease"}
    assert all(value > 0 for value in seconds.values())
    lines = bench.differences(report, "item_mean")
    assert any(line.startswith("bias - item_mean  rmse ") for line in lines)


def test_this_projects_model_is_trained_for_every_seed(run, tmp_path):
    config, base = run
    report = bench.bench(
        config, base=base, folder=tmp_path, models=["ssrec_tf", "bias"], seeds=(1, 2),
        tell=lambda line: None,
    )  # fmt: skip
    assert list(report.models) == ["ssrec_tf/1", "ssrec_tf/2", "bias"]
    values = [report.figure(f"ssrec_tf/{seed}", "rmse").value for seed in (1, 2)]
    assert values[0] != values[1]
    (line,) = [line for line in bench.spread(report) if " rmse " in line]
    assert line == (
        f"ssrec_tf  rmse {np.mean(values):.4f} ± {abs(values[0] - values[1]) / 2**0.5:.4f} "
        "over 2 seeds"
    )


def test_an_unknown_model_is_named(run, tmp_path):
    config, base = run
    with pytest.raises(ConfigError, match="no model 'svm': give some of ssrec_tf, global_mean"):
        bench.bench(config, base=base, folder=tmp_path, models=["svm"])


def test_the_command_prints_table_and_differences(run, tmp_path, capsys):
    config, base = run
    path = base / "toy.yaml"
    path.write_text(yaml.safe_dump(to_dict(config)))
    command = ["bench", str(path), "--models", "item_mean,bias", "--out", str(tmp_path)]
    assert cli.main([*command, "--against", "bias"]) == 0
    said = capsys.readouterr().out
    assert "item_mean - bias  rmse +" in said
    assert (tmp_path / "toy" / "valid" / "report.html").exists()
    assert cli.main([*command, "--against", "svd"]) == 2
    assert cli.main(["bench", str(path), "--models", "nothing"]) == 2
    assert "no model 'nothing'" in capsys.readouterr().err
