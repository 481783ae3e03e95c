"""Whole or not at all: what stands on disk after success, failure and a killed process."""

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ssrec_tf import storage
from ssrec_tf.errors import StorageError


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def fail_with(code: int):
    def fail(*_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    return fail


def test_bytes_and_text_are_written_whole_with_parents(tmp_path):
    storage.atomic_write_bytes(tmp_path / "a" / "b", b"\x00\r\n")
    storage.atomic_write_text(tmp_path / "a" / "c", "é\n")
    assert (tmp_path / "a" / "b").read_bytes() == b"\x00\r\n"
    assert (tmp_path / "a" / "c").read_bytes() == b"\xc3\xa9\n"
    assert names(tmp_path / "a") == ["b", "c"]


def test_written_files_get_the_permissions_of_an_ordinary_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    storage.atomic_write_bytes(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_full_disk_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, monkeypatch, step):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    monkeypatch.setattr(storage.os, step, fail_with(errno.ENOSPC))
    with pytest.raises(StorageError, match=r"cannot write .*file: the disk is full .*free some"):
        storage.atomic_write_bytes(target, b"new")
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.EACCES, "change the permissions, or choose another folder"),
        (errno.EROFS, "change the permissions, or choose another folder"),
        (errno.EDQUOT, "free some space"),
        (errno.EIO, "check the path and the disk"),
    ],
)
def test_errors_name_the_path_and_the_remedy_in_one_line(tmp_path, monkeypatch, code, remedy):
    monkeypatch.setattr(storage.os, "fsync", fail_with(code))
    with pytest.raises(StorageError) as caught:
        storage.atomic_write_bytes(tmp_path / "file", b"")
    assert str(tmp_path / "file") in str(caught.value)
    assert remedy in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_in_the_place_of_a_folder_is_explained(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="a file stands where a folder should be"):
        storage.atomic_write_bytes(tmp_path / "file" / "below", b"")


def test_folder_appears_only_when_the_block_ends(tmp_path):
    target = tmp_path / "deep" / "version"
    with storage.atomic_folder(target) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "x").write_text("1")
        assert not target.exists()
        assert folder.parent == target.parent
        assert folder.name.startswith(".")
    assert (target / "sub" / "x").read_text() == "1"
    assert names(tmp_path / "deep") == ["version"]


def test_folder_is_gone_after_an_error_of_the_block(tmp_path):
    def write() -> None:
        with storage.atomic_folder(tmp_path / "version") as folder:
            (folder / "x").write_text("1")
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        write()
    assert names(tmp_path) == []


def test_existing_folder_is_refused_or_replaced(tmp_path):
    target = tmp_path / "version"
    target.mkdir()
    (target / "old").write_text("1")
    with pytest.raises(StorageError, match="exists already"), storage.atomic_folder(target):
        pass
    with storage.atomic_folder(target, replace=True) as folder:
        (folder / "new").write_text("2")
    assert names(target) == ["new"]
    assert names(tmp_path) == ["version"]


def test_a_file_in_the_way_is_replaced_by_the_folder(tmp_path):
    (tmp_path / "version").write_text("1")
    with storage.atomic_folder(tmp_path / "version", replace=True):
        pass
    assert (tmp_path / "version").is_dir()
    assert names(tmp_path) == ["version"]


def test_full_disk_inside_the_block_becomes_a_storage_error(tmp_path):
    def write() -> None:
        with storage.atomic_folder(tmp_path / "version"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match=r"version: the disk is full"):
        write()
    assert names(tmp_path) == []


def test_os_errors_of_other_origin_pass_through_the_block(tmp_path):
    with pytest.raises(ConnectionResetError), storage.atomic_folder(tmp_path / "version"):
        raise ConnectionResetError(errno.ECONNRESET, "reset")


def test_os_errors_below_the_temporary_folder_name_the_target(tmp_path):
    def write() -> None:
        with storage.atomic_folder(tmp_path / "version") as folder:
            (folder / "absent" / "x").write_text("1")

    with pytest.raises(StorageError, match=r"cannot write .*/version: "):
        write()


def test_killed_process_leaves_no_target_and_leftovers_can_be_removed(tmp_path):
    script = (
        "import os, signal, sys\n"
        "from ssrec_tf.storage import atomic_folder\n"
        "with atomic_folder(sys.argv[1]) as folder:\n"
        "    (folder / 'x').write_text('1')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(storage.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "version")], cwd=root, check=False
    )
    assert done.returncode == -9
    assert not (tmp_path / "version").exists()
    (tmp_path / ".file.tmp-00").write_text("half")
    (tmp_path / "kept").write_text("mine")
    removed = storage.remove_leftovers(tmp_path)
    assert len(removed) == 2
    assert names(tmp_path) == ["kept"]


def test_file_digest_equals_hashlib(tmp_path):
    data = bytes(range(256)) * 9000  # over two chunks
    (tmp_path / "x").write_bytes(data)
    assert storage.sha256_file(tmp_path / "x") == hashlib.sha256(data).hexdigest()
    with pytest.raises(StorageError, match=r"cannot read .*absent: no such file: check the path"):
        storage.sha256_file(tmp_path / "absent")


def test_folder_digest_sees_names_and_contents_only(tmp_path):
    def build(name: str, files: dict[str, str]) -> str:
        for path, text in files.items():
            target = tmp_path / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return storage.sha256_folder(tmp_path / name)

    base = build("base", {"a": "1", "b/c": "2"})
    assert build("same", {"b/c": "2", "a": "1"}) == base
    others = [{"a": "1", "b/c": "3"}, {"a": "1", "b/d": "2"}, {"a": "1"}, {"a": "1", "c": "2"}]
    digests = {build(f"other{i}", files) for i, files in enumerate(others)}
    assert len(digests | {base}) == 5
    with pytest.raises(StorageError, match="is not a folder"):
        storage.sha256_folder(tmp_path / "absent")


def test_code_version_sees_a_change_and_a_new_name(tmp_path):
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "b.txt").write_text("1")
    before = storage.code_version(tmp_path, ("*.py",))
    (tmp_path / "b.txt").write_text("2")
    assert storage.code_version(tmp_path, ("*.py", "a.py")) == before
    (tmp_path / "a.py").write_text("2")
    changed = storage.code_version(tmp_path, ("*.py",))
    (tmp_path / "a.py").rename(tmp_path / "c.py")
    assert len({before, changed, storage.code_version(tmp_path, ("*.py",))}) == 3
