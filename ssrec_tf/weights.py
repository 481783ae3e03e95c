"""Weights of a model as one compressed NumPy file, in the order of its variables."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from ssrec_tf import storage
from ssrec_tf.errors import DataError


def save(model: Any, path: Path) -> None:
    """Write all variables of a built model."""
    buffer = io.BytesIO()
    named = {f"{i:04d}": variable.numpy() for i, variable in enumerate(model.variables)}
    np.savez_compressed(buffer, **named)
    storage.atomic_write_bytes(path, buffer.getvalue())


def load(model: Any, path: Path) -> None:
    """Read them back into a model built the same way.

    Raises:
        DataError: the file holds other variables than the model.
    """
    with np.load(path) as arrays:
        names = sorted(arrays.files)
        if len(names) != len(model.variables):
            raise DataError(
                f"{path} holds {len(names)} variables but the model {len(model.variables)}; "
                "it was written by another configuration"
            )
        for name, variable in zip(names, model.variables, strict=True):
            if arrays[name].shape != tuple(variable.shape):
                raise DataError(
                    f"{path}: variable {name} is {arrays[name].shape} but the model's "
                    f"{variable.path} is {tuple(variable.shape)}"
                )
            variable.assign(arrays[name])
