"""What a gateway needs beside the graph: the catalogue, and what training's requests looked like.

Both travel in the SavedModel's `assets.extra`. A user's data does not: who they are and what they
did comes with the request.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from ssrec_tf import rendering
from ssrec_tf.config import TextConfig
from ssrec_tf.splits import Split
from ssrec_tf.tables import Tables

CATALOGUE = "catalogue.jsonl"
TRAFFIC = "traffic.json"
_LENGTHS = tuple(float(2**power) for power in range(11))


def serving_assets(tables: Tables, split: Split, config: TextConfig) -> dict[str, bytes]:
    """File name to content, for `exporting.export`."""
    traffic = json.dumps(traffic_statistics(tables, split, config), indent=2)
    return {CATALOGUE: catalogue(tables, config).encode(), TRAFFIC: traffic.encode()}


def catalogue(tables: Tables, config: TextConfig) -> str:
    r"""Every item as a line of JSON: `{"id", "text", "pieces": [[field, text], ...]}`.

    `text` is the item's name in raw strings; the pieces, joined, are what the encoder reads of
    it. A piece's field is null for what the template always writes.
    """
    pieces = rendering.item_pieces(tables, config)
    names = rendering.unique_names(rendering.join_pieces(pieces, tables.items.index))
    fields = [piece.field for piece in pieces]
    lines = []
    for (item, name), *texts in zip(names.items(), *(piece.texts for piece in pieces), strict=True):
        parts = [[field, str(text)] for field, text in zip(fields, texts, strict=True)]
        row = {"id": item, "text": name, "pieces": [part for part in parts if part[1]]}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(lines)


def traffic_statistics(tables: Tables, split: Split, config: TextConfig) -> dict[str, Any]:
    """How train rows are spread: what a server's requests are compared with.

    Each train row is one request: its own item and rating are the newest event, and what its
    user did before it is the history. `edges` cut the values, `shares` are those of
    the [edges + 1] bins: below the first edge, up to the next one, and so on.
    """
    frame = tables.interactions.loc[split.train]
    if "time" in frame:
        frame = frame.sort_values("time", kind="stable")
    texts = rendering.render_items(tables, config).str.len()
    features = {
        "text_length": _spread(frame["item"].map(texts).to_numpy(float), _quantiles(texts)),
        "history_length": _spread(frame.groupby("user").cumcount().to_numpy(float) + 1, _LENGTHS),
        "unknown": {"edges": [0.5], "shares": [1.0, 0.0]},
    }
    if "rating" in frame:
        ratings = frame["rating"].to_numpy(float)
        features["rating"] = _spread(np.nan_to_num(ratings, nan=0.0), _rating_edges(tables))
    return {"rows": len(frame), "features": features}


def _spread(values: np.ndarray, edges: tuple[float, ...]) -> dict[str, Any]:
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    shares = counts / max(len(values), 1)
    return {"edges": list(edges), "shares": [round(float(share), 6) for share in shares]}


def _quantiles(lengths: pd.Series) -> tuple[float, ...]:
    return tuple(sorted({float(lengths.quantile(share / 10)) for share in range(1, 10)}))


def _rating_edges(tables: Tables) -> tuple[float, ...]:
    """Between every two ratings; 0, which is no rating, lies below the first edge."""
    low, high = tables.rating_scale or (0.0, 1.0)
    half = tables.rating_step / 2
    count = min(round((high - low) / tables.rating_step) + 1, 20)
    return tuple(float(edge) for edge in np.linspace(low - half, high - half, count))
