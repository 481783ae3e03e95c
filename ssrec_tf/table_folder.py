"""Validated tables and their split as a folder of Parquet files."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ssrec_tf.splits import PARTS, Split
from ssrec_tf.tables import FileCount, Tables

_FRAMES = ("interactions", "items", "users")
_FACTS = ("name", "rating_scale", "rating_step", "click_threshold", "warnings")


def save(tables: Tables, split: Split, folder: Path) -> None:
    """Write three Parquet files, the split's row numbers and what else is known."""
    for name in _FRAMES:
        getattr(tables, name).to_parquet(folder / f"{name}.parquet")
    np.savez(folder / "split.npz", **{part: getattr(split, part) for part in PARTS})
    facts = {name: getattr(tables, name) for name in _FACTS}
    facts["counts"] = [asdict(count) for count in tables.counts]
    body = {
        "tables": facts,
        "split": {"kind": split.kind, "digest": split.digest, "past_only": split.past_only},
    }
    (folder / "tables.json").write_text(json.dumps(body, indent=2, ensure_ascii=False))


def load(folder: Path) -> tuple[Tables, Split]:
    """Read back what `save` wrote."""
    body = json.loads((folder / "tables.json").read_text())
    facts = dict(body["tables"])
    scale = facts.pop("rating_scale")
    counts = tuple(FileCount(**count) for count in facts.pop("counts"))
    frames: dict[str, Any] = {n: pd.read_parquet(folder / f"{n}.parquet") for n in _FRAMES}
    tables = Tables(
        **frames,
        **{**facts, "warnings": tuple(facts["warnings"])},
        rating_scale=tuple(scale) if scale else None,
        counts=counts,
    )
    with np.load(folder / "split.npz") as rows:
        split = Split(**{part: rows[part] for part in PARTS}, **body["split"])
    return tables, split
