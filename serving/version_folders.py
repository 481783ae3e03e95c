"""Which folders are versions; without TensorFlow, so that a wrong path is told at once."""

from __future__ import annotations

import re
from pathlib import Path


def list_versions(folder: Path) -> list[int]:
    """Numbers of the version folders; a half-written one has another name."""
    if not folder.is_dir():
        return []
    names = [path.name for path in folder.iterdir() if path.is_dir()]
    # int64, and one name a number: 007 would be looked for as 7.
    return [int(name) for name in names if re.fullmatch(r"0|[1-9][0-9]{0,17}", name)]
