"""A signed list of a version's files, checked before any of them is read by TensorFlow.

`assets.extra/manifest.json` holds every file's size and SHA-256, and an Ed25519 signature (RFC
8032). The same files and key give the same bytes, so signing twice changes nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import stat
from pathlib import Path, PurePosixPath
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from serving.errors import InvalidArgument, NotFound, Untrusted
from serving.server_configs import atomic_write

FILE = "assets.extra/manifest.json"
_MAX_MANIFEST = 4 * 1024 * 1024
_CHUNK = 1 << 20


def new_keys(private: Path, public: Path) -> None:
    """Write a fresh pair: the private key for who publishes, the public one for who serves.

    Raises:
        InvalidArgument: a file exists already, or cannot be written.
    """
    for path in (private, public):
        if path.exists():
            raise InvalidArgument(f"{path} exists already; a key is never overwritten")
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    shown = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    atomic_write(private, secret, mode=0o600)
    atomic_write(public, shown)


def sign(folder: Path, key: Path) -> int:
    """Write the manifest of a version's folder; how many files it lists.

    Raises:
        NotFound: no such folder or key.
        Untrusted: the folder holds something else than plain files and folders.
    """
    private = _load(key, "private")
    files = _files(folder)
    files.pop(FILE, None)
    body = {name: _describe(folder / name) for name in sorted(files)}
    signature = private.sign(_canonical(body))
    (folder / FILE).parent.mkdir(exist_ok=True)
    atomic_write(folder / FILE, _document(body, signature))
    return len(body)


def verify(folder: Path, key: Path) -> int:
    """Refuse a version that is not, byte for byte, what was signed; how many files it has.

    Raises:
        NotFound: no such folder or key.
        Untrusted: says what differs, or what could not be read, since somebody writes there, say.
    """
    public = _load(key, "public")
    try:
        return _compare(folder, public)
    except OSError as error:
        raise Untrusted(
            f"{error.filename or folder} cannot be read: {error.strerror}; if the version is "
            "still being written, try again once it is whole"
        ) from None


def admit(source: Path, target: Path, key: Path, *, gate: Any = None) -> None:
    """Copy a version to where a server looks, if it is what was signed.

    The copy is what is verified, under a name that no server reads, and then renamed: nobody can
    change it in between who cannot write to `target` itself.

    Args:
        source: the version's folder.
        target: the folder to be, whose name is the version.
        key: the public key.
        gate: called with the copy; raises what else speaks against it.

    Raises:
        InvalidArgument: `target` exists, or cannot be written.
        Untrusted: it is not what was signed.
    """
    if target.exists():
        raise InvalidArgument(f"{target} exists already; versions are never overwritten")
    staged = target.with_name(f".{target.name}.tmp-{os.urandom(8).hex()}")
    try:
        _files(source)  # nothing is followed out of the folder
        shutil.copytree(source, staged, symlinks=True)
        verify(staged, key)
        if gate is not None:
            gate(staged)
        os.rename(staged, target)
    except OSError as error:
        raise InvalidArgument(f"{target} cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _compare(folder: Path, public: Ed25519PublicKey) -> int:
    """How many files a version has, all of them as they were signed."""
    files = _files(folder)
    if FILE not in files:
        raise Untrusted(f"{folder} has no {FILE}; sign it with `python -m serving sign`")
    if files[FILE] > _MAX_MANIFEST:
        raise Untrusted(f"{folder}/{FILE} is larger than {_MAX_MANIFEST} bytes")
    listed = _signed(folder / FILE, public)
    files.pop(FILE)
    for name in sorted(set(files) ^ set(listed)):
        what = "is not in the manifest" if name in files else "is missing"
        raise Untrusted(f"{folder}/{name} {what}; publish the version again")
    for name, size in files.items():
        if size != listed[name]["size"] or _describe(folder / name) != listed[name]:
            raise Untrusted(f"{folder}/{name} is not what was signed; publish the version again")
    return len(files)


def _signed(path: Path, public: Ed25519PublicKey) -> dict[str, Any]:
    """The list of files, once its signature holds and it could not be read in another way."""
    raw = path.read_bytes()
    try:
        document = json.loads(raw)
        body, signature = document["files"], base64.b64decode(document["signature"])
        public.verify(signature, _canonical(body))
        if _document(body, signature) != raw:
            raise ValueError
        for name, entry in body.items():
            parts = PurePosixPath(name).parts
            if name.startswith("/") or ".." in parts or "\\" in name or not parts:
                raise ValueError
            if set(entry) != {"sha256", "size"}:
                raise ValueError
    except (InvalidSignature, KeyError, TypeError, AttributeError, ValueError, RecursionError):
        raise Untrusted(f"{path} is not signed by this key; publish the version again") from None
    listed: dict[str, Any] = body
    return listed


def _files(folder: Path) -> dict[str, int]:
    """Size of every file below a folder, by its relative name.

    Raises:
        NotFound: it is no folder.
        Untrusted: it holds a link, a device or the like, which may lead out of it.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise NotFound(f"{folder} is no folder; give the folder of one version")
    found = {}
    for base, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(base, name)
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                continue
            # A second name of a file elsewhere is a way to change it from there.
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                raise Untrusted(f"{path} is a link or no plain file; publish the version again")
            found[path.relative_to(folder).as_posix()] = status.st_size
    return found


def _describe(path: Path) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return {"sha256": digest.hexdigest(), "size": size}


def _canonical(body: Any) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _document(body: Any, signature: bytes) -> bytes:
    shown = {"files": body, "signature": base64.b64encode(signature).decode()}
    return json.dumps(shown, sort_keys=True, indent=1).encode()


def _load(path: Path, kind: str) -> Any:
    wanted = Ed25519PrivateKey if kind == "private" else Ed25519PublicKey
    try:
        raw = path.read_bytes()
        key = (
            serialization.load_pem_private_key(raw, None)
            if kind == "private"
            else serialization.load_pem_public_key(raw)
        )
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise NotFound(f"{path} holds no {kind} key; make a pair with `serving keys`") from None
    if not isinstance(key, wanted):
        raise NotFound(f"{path} holds another kind of key than Ed25519")
    return key
