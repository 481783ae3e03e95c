"""A version is whole, pushed once, and only when blessed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import publishing
from pipeline.publishing import infra_validator, push, pusher
from pipeline.runner import Context
from ssrec_tf.config import DataConfig, RunConfig, ServeConfig
from ssrec_tf.errors import ExportError, GateError, StorageError


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "trainer" / "saved_model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "data").write_bytes(b"weights")
    return folder


def context(tmp_path, failures=()):
    evaluation, output, work = (tmp_path / name for name in ("evaluation", "output", "work"))
    for folder in (evaluation, output, work):
        folder.mkdir(exist_ok=True)
    body = {"blessed": not failures, "failures": list(failures)}
    (evaluation / "blessing.json").write_text(json.dumps(body))
    config = RunConfig("r", DataConfig("movielens-100k"), serve=ServeConfig("served/ssrec"))
    inputs = {"Trainer": tmp_path / "trainer", "Evaluator": evaluation}
    return Context(config, inputs, output, work, tmp_path)


def test_the_same_model_is_pushed_once_and_a_new_one_is_the_next_version(model, tmp_path):
    target = tmp_path / "served"
    assert push(model, target) == (1, True)
    assert push(model, target) == (1, False)
    (target / "9").mkdir()
    (target / "notes").mkdir()
    (model / "saved_model.pb").write_bytes(b"better")
    assert push(model, target) == (10, True)
    assert (target / "10" / "saved_model.pb").read_bytes() == b"better"
    assert (target / "10" / "variables" / "data").read_bytes() == b"weights"
    assert (target / "1" / "saved_model.pb").read_bytes() == b"graph"
    assert sorted(path.name for path in target.iterdir()) == ["1", "10", "9", "notes"]


def test_what_a_killed_push_left_is_cleared_and_never_counted(model, tmp_path):
    target = tmp_path / "served"
    (target / ".1.tmp-0123456789abcdef").mkdir(parents=True)
    assert push(model, target) == (1, True)
    assert [path.name for path in target.iterdir()] == ["1"]


def test_a_copy_that_differs_is_never_a_version(model, tmp_path, monkeypatch):
    def damaged(source, staged, dirs_exist_ok):
        (Path(staged) / "saved_model.pb").write_bytes(b"gra")

    monkeypatch.setattr(publishing.shutil, "copytree", damaged)
    with pytest.raises(ExportError, match="differs"):
        push(model, tmp_path / "served")
    assert list((tmp_path / "served").iterdir()) == []


def test_pushers_at_once_give_whole_versions(model, tmp_path):
    code = (
        "import sys; from pathlib import Path; from pipeline.publishing import push\n"
        "print(push(Path(sys.argv[1]), Path(sys.argv[2])))"
    )
    root = Path(__file__).parents[2]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(model), str(tmp_path / "served")],
            env={**os.environ, "PYTHONPATH": str(root)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = sorted(process.communicate()[0].strip() for process in processes)
    assert said == ["(1, False)", "(1, False)", "(1, True)"]


def test_a_target_that_is_a_file_is_named(model, tmp_path):
    (tmp_path / "served").write_text("")
    with pytest.raises(StorageError, match="served"):
        push(model, tmp_path / "served")


def test_pusher_says_the_same_whether_or_not_it_pushed(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = context(tmp_path)
    pusher(given)
    first = (given.output / "push.json").read_bytes()
    pusher(given)
    assert (given.output / "push.json").read_bytes() == first
    assert json.loads(first) == {"target": "served/ssrec", "version": 1}
    assert (tmp_path / "served/ssrec/1/saved_model.pb").exists()


def test_a_model_that_is_not_blessed_is_not_pushed(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GateError, match=r"rmse 1\.2 over"):
        pusher(context(tmp_path, ["rmse 1.2 over 0.9"]))
    assert not (tmp_path / "served").exists()


def serving(tmp_path, monkeypatch, body):
    """Stand in for the serving package with a module of one `check`."""
    (tmp_path / "sources" / "serving").mkdir(parents=True)
    (tmp_path / "sources" / "serving" / "__main__.py").write_text(body)
    monkeypatch.setattr(publishing, "SOURCES", tmp_path / "sources")


def test_infra_validator_keeps_the_answer(model, tmp_path, monkeypatch):
    body = (
        "import json, pathlib, sys\n"
        "assert sys.argv[1] == 'check'\n"
        "graph = pathlib.Path(sys.argv[2], '1', 'saved_model.pb').read_text()\n"
        "print('up'); print(json.dumps({'signatures': ['rank'], 'graph': graph}))"
    )
    serving(tmp_path, monkeypatch, body)
    given = context(tmp_path)
    infra_validator(given)
    kept = json.loads((given.output / "infra.json").read_text())
    assert kept == {"signatures": ["rank"], "graph": "graph"}


def test_infra_validator_passes_on_the_refusal(model, tmp_path, monkeypatch):
    serving(tmp_path, monkeypatch, "import sys; sys.exit('no signature rank')")
    with pytest.raises(ExportError, match="no signature rank"):
        infra_validator(context(tmp_path))


def test_infra_validator_does_not_wait_for_ever(model, tmp_path, monkeypatch):
    serving(tmp_path, monkeypatch, "import time; time.sleep(60)")
    monkeypatch.setattr(publishing, "_LIMIT_SECONDS", 0.3)
    with pytest.raises(ExportError, match=r"within 0\.3 s"):
        infra_validator(context(tmp_path))


@pytest.mark.slow
def test_a_model_is_signed_where_a_key_is_named_and_pushed_once(model, tmp_path, monkeypatch):
    from serving.manifest import new_keys, verify

    monkeypatch.chdir(tmp_path)
    new_keys(tmp_path / "private", tmp_path / "public")
    monkeypatch.setenv("SSREC_SIGNING_KEY", "private")
    given = context(tmp_path)
    pusher(given)
    pusher(given)
    assert [path.name for path in (tmp_path / "served/ssrec").iterdir()] == ["1"]
    assert verify(tmp_path / "served/ssrec/1", tmp_path / "public") > 0
    assert not (model / "assets.extra/manifest.json").exists()  # the artifact stays as it is
    monkeypatch.setenv("SSREC_SIGNING_KEY", "nowhere")
    with pytest.raises(ExportError, match=r"cannot be signed: error: .*nowhere"):
        pusher(given)
