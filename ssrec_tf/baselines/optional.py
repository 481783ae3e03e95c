"""Libraries that only the comparison with other models needs."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

from ssrec_tf.errors import ConfigError


def library(module: str) -> ModuleType:
    """Import a library of the extra `bench`.

    Raises:
        ConfigError: It is not installed, or cannot be imported.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs, about each other
            return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{module} cannot be imported ({error}): pip install 'ssrec-tf[bench]'"
        ) from error
