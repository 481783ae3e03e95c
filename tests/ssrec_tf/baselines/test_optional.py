import pytest

from ssrec_tf.baselines.optional import library
from ssrec_tf.errors import ConfigError


def test_a_library_that_is_there():
    assert library("json").loads("1") == 1


def test_a_library_that_is_missing_is_named_with_the_extra():
    with pytest.raises(ConfigError, match=r"no_such_library.*pip install 'ssrec-tf\[bench\]'"):
        library("no_such_library.part")
