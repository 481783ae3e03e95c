"""The SavedModel: raw strings in, core TensorFlow ops only, checked before it is shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from ssrec_tf import storage
from ssrec_tf.errors import ExportError
from ssrec_tf.recommenders import Recommender
from ssrec_tf.serving_graph import ServingGraph
from ssrec_tf.warmup import WARMUP, write_warmup

TOLERANCE = 1e-5

_ODD_TEXTS = (
    *("", " ", "\x00", "\n\n", "user: ", "rated 9: ", "[MASK] [SEP] [ITEM]"),
    *("\U0001f3ac" * 50, "z" * 50_000, "long words " * 5_000, "café, İstanbul", "电影", "فيلم"),
    "an item that no catalogue has",
)


def export(
    model: Recommender,
    folder: Path,
    *,
    max_history: int,
    card: Mapping[str, Any],
    extra: Mapping[str, bytes] | None = None,
) -> ServingGraph:
    """Write a SavedModel, whole or not at all.

    Beside the graph: `assets.extra/vocabulary/`, `statistics.json`, the warm-up requests and
    `model_card.json`, which names the signatures.

    Args:
        model: trained.
        folder: must not exist.
        max_history: events of a behaviour that are read, the newest.
        card: what the model card says beyond the signatures.
        extra: more files of `assets.extra`, by name; see `serving_assets`.

    Returns:
        The graph, to compare with.

    Raises:
        ExportError: the graph holds an op that is not TensorFlow's own.
        StorageError: the folder cannot be written.
    """
    graph = ServingGraph(model, max_history=max_history)
    signatures = graph.signatures()
    with storage.atomic_folder(folder) as staged:
        tf.saved_model.save(graph, str(staged), signatures=signatures)
        assets = staged / "assets.extra"
        model.text.vocabulary.save(assets / "vocabulary")
        (assets / "statistics.json").write_text(json.dumps(model.statistics.to_dict(), indent=2))
        body = {**card, "signatures": _describe(signatures), "max_history": max_history}
        (assets / "model_card.json").write_text(json.dumps(body, indent=2, ensure_ascii=False))
        write_warmup(assets / WARMUP, signatures, model.text.item_texts[:100] or ("",))
        for name, content in (extra or {}).items():
            (assets / name).write_bytes(content)
        check_ops(staged)
    return graph


def check_ops(folder: Path) -> set[str]:
    """Name every op of a SavedModel, and refuse one that TensorFlow's core lacks.

    Raises:
        ExportError: names the foreign ops.
    """
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    ops: set[str] = set()
    functions: set[str] = set()
    for meta in saved.meta_graphs:
        ops |= {node.op for node in meta.graph_def.node}
        for function in meta.graph_def.library.function:
            ops |= {node.op for node in function.node_def}
            functions.add(function.signature.name)
    foreign = ops - functions - _core_ops()
    if foreign:
        raise ExportError(
            f"{folder}: the graph holds ops that TensorFlow Serving lacks: "
            f"{', '.join(sorted(foreign))}; replace them by core ops"
        )
    return ops


def with_odd_pairs(
    graph: ServingGraph,
    behaviours: list[str],
    items: list[str],
    expected: Mapping[str, np.ndarray],
) -> tuple[list[str], list[str], dict[str, np.ndarray]]:
    """Put pairs that no log holds before the given ones, for `check_scores`.

    They are empty, huge, of many scripts, or name items that no catalogue has. What is
    expected of them, the Keras model says before it is saved.
    """
    odd = [
        pair
        for text in _ODD_TEXTS
        for pair in (
            (f"user: {text}\nrated 4: {text}\n{text}", text),
            (behaviours[0], text),
            (text, items[0]),
        )
    ]
    odd_behaviours, odd_items = [list(side) for side in zip(*odd, strict=True)]
    scores = tf.function(graph.score, autograph=False)(
        tf.constant(odd_behaviours), tf.constant(odd_items)
    )
    joined = {
        name: np.concatenate([scores[name].numpy(), values]) for name, values in expected.items()
    }
    return odd_behaviours + behaviours, odd_items + items, joined


def check_scores(
    folder: Path, behaviours: list[str], items: list[str], expected: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Score raw strings by the SavedModel as others load it, and compare with Keras.

    Three ways: `tf.saved_model.load` in a process that imports nothing but tensorflow,
    in batches of 64; the same, one by one, on the first 64; and a v1 session, the way
    of TensorFlow Serving.

    Args:
        folder: a SavedModel.
        behaviours: [n] rendered behaviours.
        items: [n] item texts.
        expected: `rating` and `click_probability` float32 [n], by the Keras model.

    Returns:
        The largest difference by way.

    Raises:
        ExportError: a difference above 1e-5 of the value's size (at least 1).
    """
    worst = {}
    with tempfile.TemporaryDirectory() as scratch:
        request = Path(scratch) / "request.json"
        request.write_text(json.dumps({"behaviours": behaviours, "items": items}))
        script = Path(__file__).with_name("score_saved_model.py")
        _clean_process([str(script), str(folder), str(request), scratch], "")
        for way in ("function", "one_by_one", "session"):
            with np.load(Path(scratch) / f"{way}.npz") as got:
                worst[way] = max(
                    float(np.max(_relative(got[name], expected[name][: len(got[name])])))
                    for name in ("rating", "click_probability")
                )
    for way, difference in worst.items():
        if not difference <= TOLERANCE:
            raise ExportError(
                f"{folder}: scores by {way} differ from Keras by {difference:.2e}, more than "
                f"{TOLERANCE:.0e}; training and serving have drifted apart"
            )
    return worst


def _relative(got: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(got - expected) / np.maximum(1.0, np.abs(expected)))


def _describe(signatures: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs and outputs of each signature, as the model card shows them."""

    def show(specs: Mapping[str, Any]) -> dict[str, str]:
        return {name: f"{spec.dtype.name} {spec.shape}" for name, spec in sorted(specs.items())}

    return {
        name: {
            "inputs": show(function.structured_input_signature[1] or _by_name(function)),
            "outputs": show(function.structured_outputs),
        }
        for name, function in signatures.items()
    }


def _by_name(function: Any) -> dict[str, Any]:
    return {spec.name: spec for spec in function.structured_input_signature[0]}


@cache
def _core_ops() -> frozenset[str]:
    """Names of TensorFlow's own ops; asked once, for it takes seconds.

    A process that imports TensorFlow alone knows the core ops and no others.
    """
    code = (
        "from tensorflow.core.framework.op_def_pb2 import OpList;"
        "from tensorflow.python.client import pywrap_tf_session as s;"
        "known = OpList.FromString(s.TF_GetBuffer(s.TF_GetAllOpList()));"
        "print(*[op.name for op in known.op])"
    )
    return frozenset(_clean_process(["-c", code], "").split())


def _clean_process(arguments: list[str], stdin: str) -> str:
    """Run Python anew, without this project on its path; return what it printed."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-I", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ExportError(f"loading the SavedModel in a process of its own failed: {last}")
    return done.stdout
