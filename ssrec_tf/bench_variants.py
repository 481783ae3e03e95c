"""This project's model with some keys set otherwise, benched beside it under a name each.

A file of variants is YAML: a name, and below it the keys as `--set` takes them.

    token dropout:
      train.regularisation.token_dropout: 0.2
    low-rank tuning:
      encoder.tuning: lora
      train.encoder_steps: 100
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ssrec_tf.bench_models import known_models
from ssrec_tf.bench_tuning import Parameters
from ssrec_tf.config_io import read_yaml, show
from ssrec_tf.errors import ConfigError

# A bench's seeds stand behind a slash, its models between commas.
_SEPARATORS = "/,"


def read_variants(path: Path) -> Mapping[str, Parameters]:
    """Read a file of variants: by name, keys of the configuration and their values.

    Args:
        path: of the YAML file.

    Raises:
        StorageError: the file cannot be read.
        ConfigError: it is not YAML, a name is a model's or holds a separator, or no keys
            stand below it.
    """
    found = read_yaml(path)
    if not isinstance(found, Mapping) or not found:
        raise ConfigError(f"{path} holds no variants: give a name, and below it key: value")
    for name, keys in found.items():
        if not isinstance(name, str) or any(mark in name for mark in _SEPARATORS):
            raise ConfigError(f"{path}: {show(name)} names no variant: give a text without , and /")
        if name in known_models():
            raise ConfigError(f"{path}: {name!r} is a model's own name: give another")
        if not isinstance(keys, Mapping) or not keys:
            raise ConfigError(f"{path}: {name!r} changes nothing: give key: value below it")
    return found
