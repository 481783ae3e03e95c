import importlib.util
from types import SimpleNamespace

import pytest

from serving import c_library
from serving.errors import NotFound


@pytest.fixture
def fresh():
    c_library.load_library.cache_clear()
    yield
    c_library.load_library.cache_clear()


def test_the_declared_string_size_is_the_librarys():
    # A TF_TString on the stack of the library: write 22 bytes (kept inside) and read them back.
    import ctypes

    library = c_library.load_library()
    room = ctypes.create_string_buffer(b"\xee" * (c_library.TSTRING_BYTES + 8))
    at = ctypes.addressof(room)
    library.TF_StringInit(at)
    library.TF_StringCopy(at, b"s" * 22, 22)
    assert library.TF_StringGetSize(at) == 22
    data = library.TF_StringGetDataPointer(at)
    assert at <= data < at + c_library.TSTRING_BYTES
    assert ctypes.string_at(data, 22) == b"s" * 22
    assert room.raw[c_library.TSTRING_BYTES :][:8] == b"\xee" * 8  # nothing beyond was touched
    library.TF_StringDealloc(at)


@pytest.mark.parametrize("spec", [None, SimpleNamespace(origin=None)])
def test_without_tensorflow(fresh, monkeypatch, spec):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(NotFound, match="tensorflow is not installed"):
        c_library.load_library()


def test_without_the_library(fresh, monkeypatch, tmp_path):
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(NotFound, match=r"libtensorflow_cc\.so\.2 is missing"):
        c_library.load_library()
