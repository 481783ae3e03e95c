"""Example generation: interactions a CPU-second, beside `datasets.map` and a fast tokenizer."""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.command import main, other_python
from benchmarks.measuring import Worker, interleave, timed
from benchmarks.results import Comparison, Fact, Result, Wanted, rates
from benchmarks.scaling_task import TEXT
from benchmarks.synthetic import DATA, write_log
from ssrec_tf.config import SplitConfig, TextConfig
from ssrec_tf.examples import write_examples
from ssrec_tf.splits import Split, make_split
from ssrec_tf.tables import Tables, read_tables
from ssrec_tf.text_table import TextTable

OURS, OTHER = "ours", "datasets.map"


def measure(quick: bool) -> Result:
    """Time both on the same rows; theirs on fewer, which makes no difference to a rate."""
    rows, theirs, rounds = (5_000, 1_000, 2) if quick else (1_000_000, 10_000, 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_log(folder, rows)
        tables = read_tables(DATA, base=folder)
        split = make_split(tables, SplitConfig())
        text = with_vocabulary(tables, split, folder / "bert")
        joined(folder).to_parquet(folder / "joined.parquet")
        maker = Maker(tables, split, text, folder)
        command: list[str | Path] = [other_python(), "-m", "benchmarks.hf_examples"]
        with Worker(command, {"TOKENIZERS_PARALLELISM": "false"}) as worker:
            worker.call(
                "load",
                rows=str(folder / "joined.parquet"),
                vocabulary=str(folder / "bert"),
                width=text.max_item_tokens,
            )
            sides = {OURS: timed(maker.make), OTHER: worker.alternative("map", count=theirs)}
            runs = interleave(sides, rounds=rounds)
            expected = worker.call("first")
        same = all(
            [token for token in ours.tolist() if token] == other
            for ours, other in zip(maker.tokens, expected, strict=False)
        )
    ours = rates(runs[OURS], "cpu")
    return Result(
        name="examples",
        title="Example generation",
        text=f"""
A synthetic log of {rows:,} rows. *{OURS}*: texts rendered and tokenized once each, records written
to sharded TFRecord, and the token ids of every interaction's item gathered from the token table.
*{OTHER}*: `datasets.map(batched=True)` that renders each row's item and tokenizes it with
`BertTokenizerFast` of the same vocabulary, on the first {theirs:,} rows, in one process.
Neither learns the vocabulary; rows are joined with items for it before the clock starts.""",
        unit="interactions",
        runs=runs,
        comparisons=[Comparison(OURS, OTHER, Wanted(at_least=10))],
        facts=[
            Fact(
                "interactions a CPU-second",
                float(np.median(ours)),
                "",
                Wanted(at_least=50_000),
                min(ours),
                max(ours),
            )
        ],
        checks={f"token ids of the first {len(expected):,} interactions": bool(expected) and same},
    )


class Maker:
    """Makes the examples of a log anew at every call."""

    def __init__(self, tables: Tables, split: Split, text: TextConfig, folder: Path) -> None:
        """Keep what to make them of; write below `folder`."""
        self.tables, self.split, self.text, self.folder = tables, split, text, folder
        self.tokens = np.zeros([0, 0], np.int32)
        self._numbers = itertools.count()

    def make(self) -> int:
        """Make them; give the interactions."""
        table = TextTable.build(self.tables, self.split, self.text)
        write_examples(self.tables, self.split, self.folder / f"examples-{next(self._numbers)}")
        log = self.tables.interactions
        refs = 1 + self.tables.items.index.get_indexer(pd.Index(log["item"]))
        self.tokens = table.item_tokens[refs]  # [rows, item width]
        return len(log)


def with_vocabulary(tables: Tables, split: Split, folder: Path) -> TextConfig:
    """Learn word pieces of the texts and write them as a folder both sides read."""
    learnt = TextTable.build(tables, split, replace(TEXT, vocabulary_size=2000)).vocabulary
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(learnt.words) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    )
    return replace(TEXT, huggingface=str(folder))


def joined(folder: Path) -> pd.DataFrame:
    """The log with each row's item beside it."""
    log, items = (pd.read_parquet(folder / f"{name}.parquet") for name in ("log", "items"))
    return log.merge(items, on="item", how="left", sort=False)


if __name__ == "__main__":
    sys.exit(main(measure))
