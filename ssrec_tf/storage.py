"""Durable writes: a temporary name beside the target, fsync, rename.

After a crash at any point the target is either the old version or the new one,
whole. What is left of an unfinished write has a name that `remove_leftovers`
knows.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ssrec_tf.errors import StorageError

_CHUNK = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


def atomic_write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees the old file or the new one, whole.

    Args:
        path: The file; missing parent folders are made.
        data: Its whole content.

    Raises:
        StorageError: The folder cannot be written, or the disk is full.
    """
    path = Path(path)
    temporary = _temporary_name(path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def atomic_write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, line ends as they are; see `atomic_write_bytes`."""
    atomic_write_bytes(path, text.encode("utf-8"))


@contextmanager
def atomic_folder(path: str | Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block ends without an error.

    Everything in it is fsync'ed first. After an error it is removed, and `path`
    is as before.

    Args:
        path: The folder to be; missing parents are made.
        replace: Whether an existing `path` is put aside and deleted. A crash
            between the two renames can leave no `path`, never a half one.

    Yields:
        A new, empty folder beside `path`, on the same file system.

    Raises:
        StorageError: `path` exists and `replace` is false, the parent cannot be
            written, or the disk is full.
    """
    path = Path(path)
    if path.exists() and not replace:
        raise StorageError(f"{path} exists already: remove it, or write to another folder")
    temporary = _temporary_name(path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    try:
        with _errors_under(temporary, path):
            yield temporary
        with storage_errors(path):
            _sync_tree(temporary)
            _put_in_place(temporary, path, replace=replace)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: str | Path) -> tuple[Path, ...]:
    """Delete what unfinished writes of killed processes left in `folder`.

    Args:
        folder: Its own entries are looked at, not those further down. No other
            process may be writing there.

    Returns:
        The paths removed, sorted.
    """
    found = tuple(sorted(Path(folder).glob(".*.tmp-*")))
    for path in found:
        with storage_errors(path):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    return found


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with storage_errors(path, "read"), open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_folder(path: str | Path) -> str:
    """Return the SHA-256 of all files below a folder: their relative names and contents.

    Times, permissions and empty folders do not count; the order of listing does not
    either.
    """
    root = Path(path)
    if not root.is_dir():
        raise StorageError(f"cannot read {root}: it is not a folder")
    digest = hashlib.sha256()
    with storage_errors(root, "read"):
        files = [file for file in root.rglob("*") if file.is_file()]
    for name, file in sorted((file.relative_to(root).as_posix(), file) for file in files):
        # The length in front keeps "a" + "bc" apart from "ab" + "c".
        encoded = os.fsencode(name)
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
        digest.update(bytes.fromhex(sha256_file(file)))
    return digest.hexdigest()


def code_version(root: Path, patterns: Sequence[str]) -> str:
    """SHA-256 over the source files that match, in the order of their names."""
    files = sorted({path for pattern in patterns for path in root.glob(pattern)})
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(bytes.fromhex(sha256_file(path)))
    return digest.hexdigest()


@contextmanager
def storage_errors(path: str | Path, action: str = "write") -> Iterator[None]:
    """Turn an `OSError` of the block into a `StorageError` that names `path` and a remedy."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot {action} {path}: {_explain(error, action)}") from error


@contextmanager
def _errors_under(temporary: Path, path: Path) -> Iterator[None]:
    """Explain the block's storage faults, and leave its other `OSError`s alone."""
    try:
        yield
    except OSError as error:
        inside = error.filename is not None and str(error.filename).startswith(str(temporary))
        if inside or error.errno in _FULL:
            raise StorageError(f"cannot write {path}: {_explain(error, 'write')}") from error
        raise


def _explain(error: OSError, action: str) -> str:
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return f"the disk is full ({reason}): free some space, or choose a folder on another disk"
    if error.errno in _DENIED:
        return f"no permission ({reason}): change the permissions, or choose another folder"
    if error.errno == errno.ENOENT and action == "read":
        return "no such file: check the path"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"a file stands where a folder should be ({reason}): remove it, or choose another"
    return f"{reason}: check the path and the disk"


def _temporary_name(path: Path) -> Path:
    # Hidden, so that a server or a glob that lists versions does not see it; not
    # from `tempfile`, whose files only their owner can read.
    return path.with_name(f".{path.name}.tmp-{secrets.token_hex(8)}")


def _put_in_place(temporary: Path, path: Path, *, replace: bool) -> None:
    if replace and path.exists():
        aside = _temporary_name(path)
        os.rename(path, aside)
        os.rename(temporary, path)
        _sync_folder(path.parent)
        if aside.is_dir():
            shutil.rmtree(aside)
        else:
            aside.unlink()
        return
    os.rename(temporary, path)
    _sync_folder(path.parent)


def _sync_tree(root: Path) -> None:
    for folder, _, names in os.walk(root):
        for name in names:
            _sync(os.path.join(folder, name), os.O_RDONLY)
        _sync_folder(Path(folder))


def _sync_folder(folder: Path) -> None:
    # A rename is durable only when the folder that holds the name is.
    _sync(str(folder), os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: str, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
