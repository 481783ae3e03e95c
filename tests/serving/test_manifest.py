"""A version that differs by a bit from what was signed is refused, before TensorFlow reads it."""

import json
import os
import random
import shutil

import pytest

from serving.errors import InvalidArgument, NotFound, Untrusted
from serving.manifest import FILE, admit, new_keys, sign, verify


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    new_keys(folder / "private.pem", folder / "public.pem")
    return folder / "private.pem", folder / "public.pem"


@pytest.fixture(scope="module")
def signed(toy_model, keys, tmp_path_factory):
    folder = tmp_path_factory.mktemp("signed") / "1"
    shutil.copytree(toy_model, folder)
    sign(folder, keys[0])
    return folder


@pytest.fixture
def copy(signed, tmp_path):
    return shutil.copytree(signed, tmp_path / "1")


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_was_signed_passes_and_signing_again_changes_nothing(copy, keys):
    before = (copy / FILE).read_bytes()
    assert verify(copy, keys[1]) == len(files(copy)) - 1
    assert sign(copy, keys[0]) == len(files(copy)) - 1
    assert (copy / FILE).read_bytes() == before
    assert os.stat(keys[0]).st_mode & 0o077 == 0


def test_a_hundred_of_a_hundred_byte_flips(copy, keys):
    rng, refused = random.Random(11), 0
    for _ in range(100):
        path = rng.choice([path for path in files(copy) if path.stat().st_size])
        body = bytearray(path.read_bytes())
        place = rng.randrange(len(body))
        whole = bytes(body)
        body[place] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(body))
        try:
            verify(copy, keys[1])
        except Untrusted:
            refused += 1
        path.write_bytes(whole)
    assert refused == 100
    assert verify(copy, keys[1])


def test_every_bit_of_the_manifest_counts(copy, keys):
    path = copy / FILE
    whole = path.read_bytes()
    for place in range(len(whole)):
        body = bytearray(whole)
        body[place] ^= 1
        path.write_bytes(bytes(body))
        with pytest.raises(Untrusted):
            verify(copy, keys[1])


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "more.txt").write_text("x"),
        lambda folder: (folder / "assets.extra" / "more").write_text(""),
        lambda folder: (folder / "saved_model.pb").unlink(),
        lambda folder: (folder / FILE).unlink(),
        lambda folder: (folder / "link").symlink_to("saved_model.pb"),
        lambda folder: (folder / "link").symlink_to("/etc", target_is_directory=True),
        lambda folder: os.link(folder / "saved_model.pb", folder / "twin"),
        lambda folder: os.mkfifo(folder / "pipe"),
        lambda folder: (folder / FILE).write_bytes(b"[" * 100_000),
        lambda folder: (folder / FILE).write_text("{}"),
        lambda folder: (folder / "saved_model.pb").rename(folder / "saved_model.pbtxt"),
    ],
)
def test_what_is_added_missing_or_no_file(copy, keys, change):
    change(copy)
    with pytest.raises(Untrusted):
        verify(copy, keys[1])


def test_a_symlink_in_the_place_of_a_file(copy, keys, tmp_path):
    target = tmp_path / "elsewhere"
    (copy / "saved_model.pb").rename(target)
    (copy / "saved_model.pb").symlink_to(target)
    with pytest.raises(Untrusted, match="is a link"):
        verify(copy, keys[1])


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../b", "..\\evil"])
def test_paths_that_lead_out_even_when_signed(copy, keys, name):
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from serving import manifest

    body = json.loads((copy / FILE).read_text())["files"]
    body[name] = {"sha256": "0" * 64, "size": 0}
    key = load_pem_private_key(keys[0].read_bytes(), None)
    signature = key.sign(json.dumps(body, sort_keys=True, separators=(",", ":")).encode())
    (copy / FILE).write_bytes(manifest._document(body, signature))
    with pytest.raises(Untrusted):
        verify(copy, keys[1])


def test_another_key_does_not_pass(copy, tmp_path):
    new_keys(tmp_path / "a", tmp_path / "b")
    with pytest.raises(Untrusted, match="not signed by this key"):
        verify(copy, tmp_path / "b")
    with pytest.raises(InvalidArgument, match="never overwritten"):
        new_keys(tmp_path / "a", tmp_path / "c")


def test_keys_and_folders_that_are_none(copy, keys, tmp_path):
    (tmp_path / "noise").write_text("x")
    for key in (tmp_path / "none", tmp_path / "noise", keys[0]):
        with pytest.raises(NotFound):
            verify(copy, key)
    with pytest.raises(NotFound):
        sign(copy, keys[1])
    with pytest.raises(NotFound, match="is no folder"):
        verify(tmp_path / "none", keys[1])


def test_a_version_is_admitted_whole_or_not_at_all(copy, keys, tmp_path):
    served = tmp_path / "served"
    served.mkdir()
    admit(copy, served / "7", keys[1])
    assert verify(served / "7", keys[1])
    with pytest.raises(InvalidArgument, match="exists already"):
        admit(copy, served / "7", keys[1])
    (copy / "saved_model.pb").write_bytes(b"other")
    with pytest.raises(Untrusted):
        admit(copy, served / "8", keys[1])
    (copy / "link").symlink_to("/etc")
    with pytest.raises(Untrusted):
        admit(copy, served / "8", keys[1])

    def closed(folder):
        raise Untrusted("gate")

    with pytest.raises(Untrusted, match="gate"):
        admit(served / "7", served / "9", keys[1], gate=closed)
    assert [path.name for path in served.iterdir()] == ["7"]


def test_a_file_that_goes_while_it_is_checked(copy, keys, monkeypatch):
    seen = os.walk

    def walk(folder):
        for base, folders, names in seen(folder):
            yield base, folders, [*names, "fingerprint.pb.tmp"]  # listed, and renamed since

    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(Untrusted, match=r"fingerprint\.pb\.tmp cannot be read.*once it is whole"):
        verify(copy, keys[1])
