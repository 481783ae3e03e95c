"""`ssrec`: what it prints, and one line with exit code 2 for what is wrong."""

import json
import sys

import pytest
import tensorflow as tf

from ssrec_tf.cli import guarded, main
from ssrec_tf.errors import GateError


@pytest.fixture
def config(tmp_path):
    rows = ["user,item,stars", *(f"u{n % 5},i{n % 7},{1 + n % 5}" for n in range(35))]
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    path = tmp_path / "run.yaml"
    path.write_text(
        "name: mine\n"
        "data:\n"
        "  interactions: {path: log.csv, columns: {user: user, item: item, rating: stars}}\n"
        "  rating_scale: [1, 5]\n"
    )
    return path


@pytest.fixture
def saved_model(tmp_path):
    module = tf.Module()

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "behaviour"),
            tf.TensorSpec([None], tf.string, "item"),
        ]
    )
    def score(behaviour, item):
        lines = tf.strings.split(behaviour, "\n").row_lengths()
        long = tf.strings.length(item)
        return {
            "rating": tf.cast(long, tf.float32),
            "click_probability": tf.cast(lines, tf.float32),
        }

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "behaviour"),
            tf.TensorSpec([None], tf.int32, "k"),
        ]
    )
    def recommend(behaviour, k):
        items = tf.as_string(tf.range(k[0]))[None, :]
        return {"items": items, "scores": tf.cast(tf.range(k[0]), tf.float32)[None, :]}

    signatures = {"serving_default": score, "recommend": recommend}
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=signatures)
    return tmp_path / "1"


def test_data_says_what_was_read(config, capsys):
    assert main(["data", str(config)]) == 0
    out = capsys.readouterr().out
    assert "35 interactions, 5 users" in out
    assert "7 items" in out
    assert "train 27, valid 4, test 4" in out


def test_a_missing_column_is_one_line_and_exit_2(config, capsys):
    config.write_text(config.read_text().replace("rating: stars", "rating: points"))
    assert main(["data", str(config)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "points" in err


def test_score_prints_a_line_an_item(saved_model, capsys):
    code = main(["score", str(saved_model), "--behaviour", r"a\nb", "four", "sixsix"])
    assert code == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        {"item": "four", "rating": 4.0, "click_probability": 2.0},
        {"item": "sixsix", "rating": 6.0, "click_probability": 2.0},
    ]


def test_recommend_reads_stdin(saved_model, capsys, monkeypatch, tmp_path):
    text = tmp_path / "behaviour.txt"
    text.write_text("seen: x")
    with text.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert main(["recommend", str(saved_model), "--behaviour", "-", "-k", "2"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{"item": "0", "score": 0.0}, {"item": "1", "score": 1.0}]


def test_a_folder_without_a_model_is_named(tmp_path, capsys):
    assert main(["recommend", str(tmp_path), "--behaviour", "x"]) == 2
    assert "holds no saved_model.pb" in capsys.readouterr().err


def test_exit_codes(capsys):
    def stop(error):
        def command():
            raise error

        return guarded(command)

    assert stop(GateError("too low")) == 1
    assert stop(KeyboardInterrupt()) == 130
    assert stop(ValueError("odd")) == 3
    err = capsys.readouterr().err
    assert "error: too low" in err
    assert "fault: ValueError: odd; trace in" in err
    assert "Traceback" not in err


def test_a_full_disk_met_by_tensorflow_is_no_fault_of_ours(capsys):
    def command():
        raise tf.errors.ResourceExhaustedError(None, None, "runs/x; No space left on device")

    assert guarded(command) == 2
    assert capsys.readouterr().err.startswith("error: the disk is full: free some space; ")
