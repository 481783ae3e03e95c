import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from serving import check as checking
from serving.__main__ import main
from serving.errors import ServingError


def run(folder, capsys):
    code = main(["check", str(folder)])
    captured = capsys.readouterr()
    return code, json.loads(captured.out.splitlines()[-1]), captured.err


@pytest.fixture(autouse=True)
def no_real_server(monkeypatch):
    monkeypatch.delenv("TF_MODEL_SERVER", raising=False)


@pytest.fixture
def small(tmp_path, make_toy):
    """A version with one signature, and a card that says so."""
    make_toy(tmp_path / "1", names=["embed"])
    (tmp_path / "1" / "assets.extra").mkdir()
    card = tmp_path / "1" / "assets.extra" / "model_card.json"
    card.write_text(json.dumps({"signatures": ["embed"]}))
    return tmp_path


def test_asks_every_signature_every_way(toy, capsys):
    code, body, _ = run(toy, capsys)
    assert code == 0
    assert body["ok"] is True
    assert body["server"] == "stand-in"
    assert body["signatures"] == ["embed", "rank", "recommend", "serving_default"]
    # One graph on one machine: whatever differs was lost on the way.
    assert set(body["differences"]) == {*body["signatures"], "c_api"}
    # REST writes a float32's shortest form: for 5003.25 / 8, within half its last digit.
    assert body["differences"]["c_api"] == 0.0
    assert max(body["differences"].values()) < 1e-4


def test_asks_only_what_the_card_names(small, capsys):
    code, body, _ = run(small, capsys)
    assert (code, body["signatures"]) == (0, ["embed"])


def test_a_missing_signature_is_no(small, capsys):
    (small / "1" / "assets.extra" / "model_card.json").unlink()
    code, body, error = run(small, capsys)
    assert code == 1
    assert body["ok"] is False
    assert "serving_default" in body["error"]
    assert error.splitlines()[-1] == f"error: {body['error']}"


def test_a_card_that_is_no_json(small, capsys):
    (small / "1" / "assets.extra" / "model_card.json").write_text("{")
    code, body, _ = run(small, capsys)
    assert code == 1
    assert "model_card.json is no JSON" in body["error"]


def test_another_answer_over_rest_is_no(small, capsys, monkeypatch):
    honest = checking.RestTransport.predict

    def skewed(self, signature, inputs):
        return {key: value * 1.001 for key, value in honest(self, signature, inputs).items()}

    monkeypatch.setattr(checking.RestTransport, "predict", skewed)
    code, body, _ = run(small, capsys)
    assert code == 1
    assert "embed: vector differs by 3.2e-03 between two ways of asking" in body["error"]


def test_another_answer_through_the_c_api_is_no(toy, capsys, monkeypatch):
    def other(folder, request):
        import numpy as np

        count = len(request["item"])
        return {"rating": np.zeros(count), "click_probability": np.zeros(count)}

    monkeypatch.setattr(checking, "_through_c_api", other)
    code, body, _ = run(toy, capsys)
    assert code == 1
    assert "serving_default" in body["error"]


def test_a_model_that_cannot_be_loaded_is_no(tmp_path, capsys):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"half")
    code, body, _ = run(tmp_path, capsys)
    assert code == 1
    assert "cannot be loaded" in body["error"]


def test_no_folder_is_bad_input(tmp_path, capsys):
    assert main(["check", str(tmp_path / "gone")]) == 2
    assert "gone is no folder" in capsys.readouterr().err


def program(path, text):
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return str(path)


def test_a_real_server_that_dies_is_no(toy, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TF_MODEL_SERVER", program(tmp_path / "server", "raise SystemExit(4)"))
    code, body, _ = run(toy, capsys)
    assert code == 1
    assert "server ended with exit code 4" in body["error"]


def test_a_real_server_that_never_answers_is_no(toy, tmp_path, capsys, monkeypatch):
    path = program(tmp_path / "server", "import time\ntime.sleep(60)")
    monkeypatch.setenv("TF_MODEL_SERVER", path)
    monkeypatch.setattr(checking, "START_SECONDS", 0.3)
    code, body, _ = run(toy, capsys)
    assert code == 1
    assert "served no version within 0.3 s" in body["error"]


@pytest.fixture
def other_process(tmp_path):
    """The binary's flags, answered by our own server in another process."""
    text = (
        "import os, sys\n"
        "flags = dict(a[2:].split('=') for a in sys.argv[1:])\n"
        "os.environ.pop('TF_MODEL_SERVER')\n"
        f"sys.path.insert(0, {str(checking.__file__).rsplit('/', 2)[0]!r})\n"
        "from serving.__main__ import main\n"
        "sys.exit(main(['up', flags['model_base_path'], '--port', flags['port'], '--rest-port',"
        " flags['rest_api_port'], '--name', flags['model_name']]))\n"
    )
    return program(tmp_path / "tensorflow_model_server", text)


@pytest.mark.slow
def test_the_real_server_is_asked_where_there_is_one(toy, capsys, monkeypatch, other_process):
    monkeypatch.setenv("TF_MODEL_SERVER", other_process)
    code, body, _ = run(toy, capsys)
    assert code == 0
    assert body["server"] == "tensorflow_model_server"


@pytest.mark.slow
def test_the_suite_asks_the_server_that_is_named(other_process):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/serving", "-m", "conformance"],
        cwd=Path(checking.__file__).parents[1],
        env={**os.environ, "TF_MODEL_SERVER": other_process},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert f"model server: {other_process}" in done.stdout
    assert " skipped, " in done.stdout  # what only the stand-in can be asked


@pytest.mark.parametrize("text", ['{"signatures": ["score"]}', "[]", '{"signatures": {}}'])
def test_a_card_that_names_nothing_to_ask_is_no(small, capsys, text):
    (small / "1" / "assets.extra" / "model_card.json").write_text(text)
    code, body, error = run(small, capsys)
    assert (code, body["ok"]) == (1, False)
    assert "names none of" in error


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        (np.ones(2), np.ones((1, 2)), "has shape"),
        (np.ones(2), np.float64([1, 1.1]), "differs by 1.0e-01"),
        (np.full(2, np.nan), np.full(2, np.nan), "not finite"),
    ],
)
def test_answers_that_do_not_agree(left, right, message):
    with pytest.raises(ServingError, match=message):
        checking._difference("embed", {"vector": left}, {"": right})


def test_a_signature_whose_graph_fails_is_no(tmp_path, capsys):
    class Failing(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def embed(self, text):
            tf.debugging.assert_equal(tf.size(text), 99, message="only 99 texts")
            return {"vector": tf.zeros([99, 2])}

    model = Failing()
    tf.saved_model.save(model, str(tmp_path / "1"), signatures={"embed": model.embed})
    (tmp_path / "1" / "assets.extra").mkdir()
    card = tmp_path / "1" / "assets.extra" / "model_card.json"
    card.write_text(json.dumps({"signatures": ["embed"]}))
    code, body, error = run(tmp_path, capsys)
    assert (code, body["ok"]) == (1, False)
    assert "only 99 texts" in body["error"]
    assert "Traceback" not in error
