"""The data's executors, on a small log of one's own."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline import data
from pipeline.components import components
from pipeline.runner import Context, run
from ssrec_tf import table_folder
from ssrec_tf.config import from_dict, load_config
from ssrec_tf.errors import DataError
from ssrec_tf.splits import Split
from ssrec_tf.tables import Tables


def first(path, root, count, tell=print):
    return run(components()[:count], load_config(path), root=root, base=path.parent, tell=tell)


def test_example_gen_keeps_every_row_and_the_rejects(small_run, tmp_path, capsys):
    with (small_run.parent / "log.csv").open("a") as file:
        file.write("u1,f1,9,99999\n")  # outside the scale
    folder = first(small_run, tmp_path / "runs", 1).artifacts["ExampleGen"].folder
    tables, split = table_folder.load(folder)
    assert len(tables.interactions) == 600
    rows = np.concatenate([split.train, split.valid, split.test])
    assert sorted(rows) == list(range(600))
    (reject,) = (json.loads(line) for line in (folder / "rejects.jsonl").read_text().splitlines())
    assert reject["line"] == 602
    assert "600 interactions; train 480, valid 60, test 60" in capsys.readouterr().out


def test_none_of_a_thousand_planted_secrets_is_stored(small_run, tmp_path):
    digits = [f"{4_155_550_000 + number}" for number in range(500)]
    mails = [f"someone.{number}@example.com" for number in range(500)]
    folder = small_run.parent
    rows = [f"u{n % 500},f{n * 7 % 500},{1 + n % 5},{1000 + n}" for n in range(3000)]
    (folder / "log.csv").write_text("\n".join(["u,i,r,t", *rows, f"u1,f1,{mails[0]},9"]) + "\n")
    films = [f"f{n},The call of +1 {digits[n]}" for n in range(500)]
    (folder / "films.csv").write_text("\n".join(["i,title", *films]) + "\n")
    users = [f"u{n},writes as {mails[n]}" for n in range(500)]
    (folder / "users.csv").write_text("\n".join(["u,note", *users]) + "\n")
    more = "\n  users: [{path: users.csv, columns: {user: u, note: note}}]\n  rating_scale"
    text = small_run.read_text().replace("\n  rating_scale", more)
    told = '"{title}", user_template: "{note}", mask_personal_data: true,'
    text = text.replace('"{title}",', told)
    small_run.write_text(text)
    made = first(small_run, tmp_path / "runs", 4).artifacts
    tables, _ = table_folder.load(made["ExampleGen"].folder)
    assert tables.users["note"].unique().tolist() == ["writes as email"]
    files = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert {".tfrecord", ".parquet", ".jsonl"} <= {path.suffix for path in files}
    stored = b"".join(path.read_bytes() for path in files).decode("latin-1")
    stored += "".join(pd.read_parquet(p).to_csv() for p in files if p.suffix == ".parquet")
    assert [secret for secret in digits + mails if secret in stored] == []


def test_statistics_are_those_of_the_train_rows(small_run, tmp_path):
    made = first(small_run, tmp_path / "runs", 2).artifacts
    found = json.loads((made["StatisticsGen"].folder / "statistics.json").read_text())
    _, split = table_folder.load(made["ExampleGen"].folder)
    log = pd.read_csv(small_run.parent / "log.csv").iloc[split.train]
    assert found["counts"]["interactions"] == 480
    assert found["counts"]["items"] == log["i"].nunique()
    assert found["interactions"]["rating"]["mean"] == pytest.approx(log["r"].mean(), abs=1e-6)
    assert found["interactions"]["rating"]["max"] == 5
    assert found["items"]["title"]["distinct"] == log["i"].nunique()
    assert found["items"]["title"]["missing_share"] == 0


def test_two_runs_give_the_same_digests(small_run, tmp_path):
    one = first(small_run, tmp_path / "one", 4).artifacts
    two = first(small_run, tmp_path / "two", 4).artifacts
    assert list(one) == ["ExampleGen", "StatisticsGen", "ExampleValidator", "Transform"]
    for name, artifact in one.items():
        assert artifact.digest == two[name].digest, name
        assert artifact.folder.name == two[name].folder.name


def test_a_row_more_runs_everything_again_and_a_shorter_training_nothing(small_run, tmp_path):
    root = tmp_path / "runs"
    assert first(small_run, root, 3).made == ("ExampleGen", "StatisticsGen", "ExampleValidator")
    assert first(small_run, root, 3).made == ()
    text = small_run.read_text()
    small_run.write_text(f"{text}train: {{loop: {{steps: 5}}}}\n")
    assert first(small_run, root, 3).made == ()
    with (small_run.parent / "log.csv").open("a") as file:
        file.write("u1,f1,5,99999\n")
    assert len(first(small_run, root, 3).made) == 3


def test_a_missing_file_is_named_by_the_reader(small_run, tmp_path):
    (small_run.parent / "films.csv").unlink()
    with pytest.raises(Exception, match=r"films\.csv"):
        first(small_run, tmp_path / "runs", 1)


def test_an_empty_part_and_a_shift_of_ratings_are_found(small_run, tmp_path):
    made = first(small_run, tmp_path / "runs", 2).artifacts
    tables, split = table_folder.load(made["ExampleGen"].folder)
    statistics = json.loads((made["StatisticsGen"].folder / "statistics.json").read_text())
    assert data.find_anomalies(tables, split, statistics) == []
    log = tables.interactions.copy()
    log.loc[split.test, "rating"] = 1.0
    log.loc[split.valid, "rating"] = 1.0
    log.loc[split.test[0], "rating"] = 2.0
    shifted = data.find_anomalies(replace(tables, interactions=log), split, statistics)
    assert [line.split(":")[0] for line in shifted] == ["rating"]
    statistics["items"]["title"]["missing_share"] = 0.75
    (line,) = data.find_anomalies(tables, split, statistics)
    assert line == "items.title: 75% of the cells are missing"
    empty = Split(split.train, split.valid[:0], split.test, "random", split.digest, False)
    with pytest.raises(DataError, match="valid part of split 'random' has 0 of 600"):
        data.find_anomalies(tables, empty, statistics)


def test_what_train_never_had_is_an_anomaly():
    genres = ["drama", "drama, war", "war", "noir, drama"]
    years = [1990.0, 1995.0, 2000.0, 2030.0]
    items = pd.DataFrame({"genre": genres, "year": years}, index=[*"abcd"])
    log = pd.DataFrame({"user": ["u"] * 4, "item": [*"abcd"], "rating": [1.0, 5.0, 3.0, 3.0]})
    tables = Tables("toy", log, items, pd.DataFrame(index=["u"]))
    split = Split(np.array([0, 1]), np.array([2]), np.array([3]), "cold_item", "0", False)
    statistics = {
        "interactions": data._describe_frame(log.loc[[0, 1], ["rating"]]),
        "items": data._describe_frame(items.loc[["a", "b"]]),
        "users": {},
    }
    assert data.find_anomalies(tables, split, statistics) == [
        "items.genre: 1 values that train never had, first 'noir'",
        "items.year: 2 values outside train's 1990 to 1995, first '2000.0'",
    ]
    outside = log.assign(rating=[2.0, 4.0, 3.0, 6.0])
    statistics["interactions"] = data._describe_frame(outside.loc[[0, 1], ["rating"]])
    lines = data.find_anomalies(replace(tables, interactions=outside), split, statistics)
    assert "rating: 1 values outside train's 2 to 4, first '6.0'" in lines


def test_example_validator_prints_and_keeps_what_it_found(small_run, tmp_path, capsys):
    made = first(small_run, tmp_path / "runs", 2).artifacts
    path = made["StatisticsGen"].folder / "statistics.json"
    body = json.loads(path.read_text())
    body["interactions"]["rating"]["mean"] = 0.0
    path.write_text(json.dumps(body))
    inputs = {name: artifact.folder for name, artifact in made.items()}
    output = tmp_path / "output"
    output.mkdir()
    config = load_config(small_run)
    data.example_validator(Context(config, inputs, output, tmp_path, tmp_path))
    (kept,) = json.loads((output / "anomalies.json").read_text())
    assert kept.startswith("rating: mean 0.000 in train")
    assert f"anomaly: {kept}" in capsys.readouterr().out


def test_files_that_word_texts_anew_are_part_of_what_a_run_depends_on(tmp_path):
    base = {"name": "x", "data": {"dataset": "movielens-100k"}}
    plain = from_dict(base)
    worded = from_dict({**base, "text": {"alternatives": {"count": 1, "synonyms": "words.yaml"}}})
    found = [data.wordings_fingerprint(plain, tmp_path)]
    for body in (None, "film: [movie]", "film: [picture]"):
        if body:
            (tmp_path / "words.yaml").write_text(body)
        found.append(data.wordings_fingerprint(worded, tmp_path))
    assert len(set(found)) == 4
    assert data.wordings_fingerprint(plain, tmp_path) == found[0]
    assert data.fingerprint(plain, tmp_path) == data.fingerprint(worded, tmp_path)
