"""Executors of the data: ExampleGen, StatisticsGen, ExampleValidator, Transform."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.progress import stages
from pipeline.runner import Context
from ssrec_tf import storage, table_folder
from ssrec_tf.config import RunConfig
from ssrec_tf.errors import DataError
from ssrec_tf.personal_data import hide_in_rejects, hide_in_tables
from ssrec_tf.splits import PARTS, Split
from ssrec_tf.tables import Tables

_TOP_VALUES = 20
_MOST_CATEGORIES = 100  # a column with more distinct values is read as free text


def example_gen(context: Context) -> None:
    """Fetch or read the rows, accept or reject each, split what was accepted."""
    from ssrec_tf.datasets import load_data
    from ssrec_tf.leakage import check_leakage
    from ssrec_tf.splits import make_split

    rejects = context.output / "rejects.jsonl"
    tables = load_data(context.config.data, base=context.base, rejects=rejects)
    split = make_split(tables, context.config.split)
    check_leakage(tables, split)
    if context.config.text.mask_personal_data:
        tables = hide_in_tables(tables)
        hide_in_rejects(rejects)
    table_folder.save(tables, split, context.output)
    sizes = ", ".join(f"{part} {len(getattr(split, part)):,}" for part in PARTS)
    print(f"    {tables.name}: {len(tables.interactions):,} interactions; {sizes}")
    print(f"    split {split.kind}, sha256 {split.digest[:16]}")
    for warning in tables.warnings:
        print(f"    warning: {warning}")


def statistics_gen(context: Context) -> None:
    """Describe the train rows, and the items and users they name."""
    tables, split = table_folder.load(context.inputs["ExampleGen"])
    train = tables.interactions.loc[split.train]
    body = {
        "interactions": _describe_frame(train.drop(columns=["user", "item"])),
        "items": _describe_frame(tables.items.loc[train["item"].unique()]),
        "users": _describe_frame(tables.users.loc[train["user"].unique()]),
        "counts": {
            "interactions": len(train),
            "items": int(train["item"].nunique()),
            "users": int(train["user"].nunique()),
        },
    }
    (context.output / "statistics.json").write_text(json.dumps(body, indent=2))


def example_validator(context: Context) -> None:
    """Compare valid and test rows with the statistics of train; refuse what cannot be used."""
    tables, split = table_folder.load(context.inputs["ExampleGen"])
    path = context.inputs["StatisticsGen"] / "statistics.json"
    anomalies = find_anomalies(tables, split, json.loads(path.read_text()))
    body = json.dumps(anomalies, indent=2, ensure_ascii=False)
    (context.output / "anomalies.json").write_text(body)
    for anomaly in anomalies:
        print(f"    anomaly: {anomaly}")


def transform(context: Context) -> None:
    """Render, train the vocabulary, tokenize each text once, write the examples."""
    from ssrec_tf.examples import write_examples
    from ssrec_tf.leakage import check_leakage
    from ssrec_tf.text_table import TextTable

    tables, split = table_folder.load(context.inputs["ExampleGen"])
    config = context.config
    check_leakage(tables, split, statistic_rows=split.train, vocabulary_rows=split.train)
    with stages("transform", 2) as begin:
        begin("render, train the vocabulary, tokenize")
        text = TextTable.build(tables, split, config.text, base=context.base)
        text.save(context.output / "text")
        begin("write the examples")
        targets = config.train.max_targets
        write_examples(tables, split, context.output / "examples", max_targets=targets)
    print(f"    {text.vocabulary.size:,} tokens, {text.vocabulary.num_items:,} of them items")


def fingerprint(config: RunConfig, base: Path) -> str:
    """SHA-256 of the contents of the user's own files; a public dataset has a fixed one."""
    data = config.data
    tables = [data.interactions, *data.items, *data.users]
    digest = hashlib.sha256((data.dataset or "").encode())
    _digest_files([table.path for table in tables if table], base, digest)
    return digest.hexdigest()


def wordings_fingerprint(config: RunConfig, base: Path) -> str:
    """SHA-256 of the contents of the files that word texts anew."""
    kept, digest = config.text.alternatives, hashlib.sha256()
    _digest_files([path for path in (kept.synonyms, kept.paraphrases) if path], base, digest)
    return digest.hexdigest()


def _digest_files(paths: list[str], base: Path, digest: Any) -> None:
    for each in paths:
        path = base / os.path.expanduser(os.path.expandvars(each))
        # Where there is no file, the component that reads it says so in better words.
        digest.update(storage.sha256_file(path).encode() if path.is_file() else b"missing")


def find_anomalies(tables: Tables, split: Split, statistics: Any) -> list[str]:
    """List what differs from train; an empty train part is an error.

    Raises:
        DataError: there is nothing to train or to evaluate on.
    """
    for part in PARTS:
        if not len(getattr(split, part)):
            raise DataError(
                f"{tables.name}: the {part} part of split {split.kind!r} has 0 of "
                f"{len(tables.interactions)} rows; give more data or another split"
            )
    found = []
    rest = tables.interactions.loc[np.concatenate([split.valid, split.test])]
    for kind, frame in (("item", tables.items), ("user", tables.users)):
        later = frame.loc[rest[kind].unique()]
        for name, seen in statistics[f"{kind}s"].items():
            if seen["missing_share"] > 0.5:
                share = f"{seen['missing_share']:.0%} of the cells are missing"
                found.append(f"{kind}s.{name}: {share}")
            found += _unseen(f"{kind}s.{name}", later[name].dropna(), seen)
    for name in ("rating", "click"):
        if name in rest and name in statistics["interactions"]:
            found += _unseen(name, rest[name].dropna(), statistics["interactions"][name])
            before, now = statistics["interactions"][name]["mean"], float(rest[name].mean())
            spread = max(float(rest[name].std()), 1e-9)
            if abs(now - before) > 0.25 * spread:
                found.append(f"{name}: mean {before:.3f} in train but {now:.3f} after it")
    return found


def _unseen(name: str, later: pd.Series, seen: Any) -> list[str]:
    """Numbers outside train's range, categories that train lacks: a line each."""
    if "min" in seen:
        odd = later[(later < seen["min"]) | (later > seen["max"])].astype(str)
        where = f"outside train's {seen['min']:g} to {seen['max']:g}"
    elif "values" in seen:
        parts = _parts(later)
        odd, where = parts[~parts.isin(seen["values"])].drop_duplicates(), "that train never had"
    else:
        return []
    return [f"{name}: {len(odd)} values {where}, first {odd.iloc[0]!r}"] if len(odd) else []


def _parts(column: pd.Series) -> pd.Series:
    """One value a category: a cell may hold several, joined by ', '."""
    return column.dropna().astype(str).str.split(", ").explode()


def _describe_frame(frame: pd.DataFrame) -> dict[str, Any]:
    return {str(name): _describe(frame[name]) for name in frame.columns}


def _describe(column: pd.Series) -> dict[str, Any]:
    """Missing share, then moments of a number or the commonest values of a text."""
    body: dict[str, Any] = {"missing_share": float(column.isna().mean()) if len(column) else 0.0}
    if pd.api.types.is_numeric_dtype(column):
        for name in ("mean", "std", "min", "max"):
            body[name] = float(getattr(column, name)())
    else:
        counts = column.dropna().value_counts()
        body["distinct"] = len(counts)
        values = sorted(_parts(column).unique())
        if len(values) <= _MOST_CATEGORIES:
            body["values"] = values
        body["top"] = {str(k): int(v) for k, v in counts.head(_TOP_VALUES).items()}
    return body
