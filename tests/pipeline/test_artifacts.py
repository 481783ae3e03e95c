"""Artifacts are found by what went into them, and are whole or absent."""

import hashlib
import json

import pytest

from pipeline.artifacts import Artifact, find, fingerprint, publish
from ssrec_tf.errors import StorageError


def artifact(folder, digest):
    return Artifact(folder, {"digest": digest})


def test_fingerprint_follows_contents_settings_and_code_but_not_places(tmp_path):
    one = fingerprint("A", {"x": artifact(tmp_path / "1", "d")}, {"k": 1}, "c")
    assert len(one) == 16
    assert one == fingerprint("A", {"x": artifact(tmp_path / "2", "d")}, {"k": 1}, "c")
    others = {
        fingerprint("B", {"x": artifact(tmp_path, "d")}, {"k": 1}, "c"),
        fingerprint("A", {"x": artifact(tmp_path, "e")}, {"k": 1}, "c"),
        fingerprint("A", {"y": artifact(tmp_path, "d")}, {"k": 1}, "c"),
        fingerprint("A", {"x": artifact(tmp_path, "d")}, {"k": 2}, "c"),
        fingerprint("A", {"x": artifact(tmp_path, "d")}, {"k": 1}, "d"),
    }
    assert len(others | {one}) == 6


def test_manifest_names_every_file_with_its_sha256(tmp_path):
    def make(output, work):
        (output / "sub").mkdir()
        (output / "sub" / "x").write_bytes(b"abc")
        (work / "checkpoint").write_text("half")

    made = publish(tmp_path / "A" / "f", tmp_path / "A" / "work-f", make, {"component": "A"})
    assert made.manifest["outputs"] == {"sub/x": hashlib.sha256(b"abc").hexdigest()}
    assert made.manifest["component"] == "A"
    assert made.manifest["started"] <= made.manifest["finished"]
    assert not (tmp_path / "A" / "work-f").exists()
    found = find(tmp_path / "A" / "f")
    assert found.digest == made.digest
    assert json.loads((found.folder / "manifest.json").read_text()) == made.manifest


def test_a_failed_artifact_is_absent_and_its_checkpoints_stay(tmp_path):
    def make(output, work):
        (output / "x").write_text("half")
        (work / "checkpoint").write_text("step 7")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        publish(tmp_path / "f", tmp_path / "work-f", make, {})
    assert find(tmp_path / "f") is None
    assert [path.name for path in tmp_path.iterdir()] == ["work-f"]
    assert (tmp_path / "work-f" / "checkpoint").read_text() == "step 7"


def test_a_file_where_the_folder_should_be_is_named(tmp_path):
    (tmp_path / "A").write_text("")
    with pytest.raises(StorageError, match="A"):
        publish(tmp_path / "A" / "f", tmp_path / "A" / "w", lambda output, work: None, {})
