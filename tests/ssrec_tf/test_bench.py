"""The bench: what it keeps, that a second call fits nothing, and its figures by hand."""

import json
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
import yaml

from ssrec_tf import baselines, bench, cli
from ssrec_tf.baselines import ItemMean
from ssrec_tf.config import from_dict, to_dict
from ssrec_tf.datasets import load_data
from ssrec_tf.errors import ConfigError
from ssrec_tf.search_space import Range
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
    loop = {"steps": 8, "batch_size": 8, "evaluate_every": 8, "checkpoint_every": 8}
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
            "train": {
                "reading": "retrieval",  # of all readings the soonest compiled
                "loop": loop,
                "max_history": 16,
                "max_targets": 8,
                "width": 16,
            },
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


def test_what_the_log_cannot_teach_is_refused_before_anything_is_fitted(run, tmp_path):
    config, base = run
    columns = {name: name for name in ("user", "item")}
    log = replace(config.data.interactions, columns={**columns, "time": "at"})
    data = replace(config.data, interactions=log, rating_scale=None, click_threshold=None)
    said = []
    with pytest.raises(ConfigError, match=r"bias needs ratings.*leave it out; ssrec_tf, .*ease"):
        bench.bench(
            replace(config, data=data), base=base, folder=tmp_path / "b",
            models=["ease", "bias"], tell=said.append,
        )  # fmt: skip
    assert said == []
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
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


class Shrunk(ItemMean):
    """The item's mean, drawn towards 3 by a constant that only tuning can choose."""

    name = "shrunk"
    space = MappingProxyType({"share": Range(0.0, 1.0)})

    def __init__(self, share=0.0):
        self._share = share

    def _raw(self, user, item):
        return 3 + self._share * (super()._raw(user, item) - 3)


@pytest.fixture
def shrunk(monkeypatch):
    kinds = MappingProxyType({**baselines.EXTENDED, "shrunk": Shrunk})
    monkeypatch.setattr(baselines, "EXTENDED", kinds)


def test_a_model_with_a_space_is_tuned_on_valid_whichever_part_is_measured(run, tmp_path, shrunk):
    pytest.importorskip("optuna")
    config, base = run
    said = []

    def measure(part, trials=5):
        return bench.bench(
            config, base=base, folder=tmp_path / part, models=["shrunk", "bias"], part=part,
            trials=trials, tuned_in=tmp_path / "tuning", tell=said.append,
        )  # fmt: skip

    report = measure("valid")
    tried = [line for line in said if line.startswith("try shrunk with {'share': ")]
    assert len(tried) == 5
    assert tried[0] == "try shrunk with {'share': 0.0}"
    kept = json.loads((tmp_path / "valid" / "parameters.json").read_text())
    assert kept["trials"] == 5
    assert kept["models"].keys() == {"shrunk"}  # a bias has nothing to draw
    best = kept["models"]["shrunk"]
    assert best["value"] == report.figure("shrunk", "rmse").value

    tables = load_data(config.data, base=base)
    split = make_split(tables, config.split)
    log = tables.interactions
    means = log.loc[split.train].groupby("item")["rating"].mean()

    def error(share, rows):
        truth = log.loc[rows]
        return (((3 + share * (truth["item"].map(means) - 3)) - truth["rating"]) ** 2).mean() ** 0.5

    shares = [float(line.removesuffix("}").rpartition(" ")[2]) for line in tried]
    assert best["parameters"] == {"share": min(shares, key=lambda s: error(s, split.valid))}
    assert best["value"] == pytest.approx(error(best["parameters"]["share"], split.valid))
    table = (tmp_path / "valid" / "table.txt").read_text()
    assert "budget: 5 trials a model, measured on valid" in table
    assert "bias: has no space: as it is" in table
    assert "5 trials a model" in (tmp_path / "valid" / "report.html").read_text()

    said.clear()
    tested = measure("test")
    assert [line for line in said if line.startswith(("try", "fit"))] == ["fit shrunk", "fit bias"]
    assert tested.figure("shrunk", "rmse").value == pytest.approx(
        error(best["parameters"]["share"], split.test)
    )
    said.clear()
    measure("valid", trials=0)  # as it is: another model, fitted anew
    assert said == ["fit shrunk"]
    with pytest.raises(ConfigError, match="trials is -1"):
        measure("valid", trials=-1)


@pytest.mark.slow
def test_this_projects_model_is_tuned_by_keys_of_the_configuration(run, tmp_path):
    pytest.importorskip("optuna")
    config, base = run
    said = []

    def measure(trials):
        return bench.bench(
            config, base=base, folder=tmp_path, models=["ssrec_tf"], trials=trials,
            own_space={"train.id_dropout": Range(0.0, 0.9)}, tell=said.append,
        )  # fmt: skip

    report = measure(2)
    kept = json.loads((tmp_path / "parameters.json").read_text())["models"]["ssrec_tf"]
    # Of retrieval, which the run is for, what is best is told by its ranking.
    assert report.figure("ssrec_tf", "recall@10").value == pytest.approx(kept["value"], abs=1e-6)
    tried = [line for line in said if line.startswith("try")]
    assert len(tried) == 2
    assert tried[0] == f"try ssrec_tf with {{'train.id_dropout': {config.train.id_dropout}}}"
    left = {path.name.partition("-")[0] for path in (tmp_path / "tuning" / "work").iterdir()}
    assert left == {"examples", "pretrain"}  # pretrained once, for all trials
    said.clear()
    measure(2)
    assert not [line for line in said if line.startswith(("try", "fit"))]


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
    assert cli.main([*command, "--tune", "2"]) == 0
    assert "budget: 2 trials a model" in (tmp_path / "toy" / "valid" / "table.txt").read_text()
    assert cli.main(["bench", str(path), "--models", "nothing"]) == 2
    assert "no model 'nothing'" in capsys.readouterr().err
