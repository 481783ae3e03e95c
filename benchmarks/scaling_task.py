"""One size of one task, in a process of its own: `python -m benchmarks.scaling_task TASK FOLDER`.

The last line printed is JSON: seconds of the task alone, without Python's start,
and the peak of the process in bytes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.measuring import peak_memory
from benchmarks.synthetic import DATA, write_log
from ssrec_tf.config import SplitConfig, TextConfig

TEXT = TextConfig(item_template="{title}[. {genres}][. {year:10}]", vocabulary_size=8000)


def generate(folder: Path, rows: int) -> dict[str, float]:
    """Write the synthetic log."""
    folder.mkdir(parents=True, exist_ok=True)
    write_log(folder, rows)
    return {}


def ingest(folder: Path) -> dict[str, float]:
    """Read and validate the tables."""
    from ssrec_tf.tables import read_tables

    start = time.perf_counter(), time.process_time()
    tables = read_tables(DATA, base=folder)
    return {**_since(start), "rows": len(tables.interactions)}


def examples(folder: Path) -> dict[str, float]:
    """Render, tokenize by words of the texts, and write sharded records; ingest is not timed."""
    from ssrec_tf.examples import write_examples
    from ssrec_tf.splits import make_split
    from ssrec_tf.tables import read_tables
    from ssrec_tf.text_table import TextTable

    tables = read_tables(DATA, base=folder)
    split = make_split(tables, SplitConfig())
    start = time.perf_counter(), time.process_time()
    text = TextTable.build(tables, split, TEXT)
    middle = _since(start)
    write_examples(tables, split, folder / "examples")
    return {**_since(start), "text_seconds": middle["cpu"], "items": len(text.item_ids)}


def epoch(folder: Path) -> dict[str, float]:
    """Draw one epoch of training batches from the records."""
    import numpy as np

    from ssrec_tf.batching import BatchConfig, train_batches
    from ssrec_tf.examples import read_info

    sizes, targets = BatchConfig(32, 20, 64, past_only=False), 0
    info = read_info(folder / "examples")["train"]
    start = time.perf_counter(), time.process_time()
    for _, batch in train_batches(folder / "examples", sizes, seed=1):
        targets += int(np.count_nonzero(batch["target_items"].numpy()))
        # Of each log a tenth to half are targets: an epoch has been seen when so many were.
        if targets >= 0.3 * info.interactions:
            break
    return {**_since(start), "targets": targets}


def _since(start: tuple[float, float]) -> dict[str, float]:
    return {"wall": time.perf_counter() - start[0], "cpu": time.process_time() - start[1]}


Task = Callable[..., dict[str, float]]
TASKS: dict[str, Task] = {
    "generate": generate,
    "ingest": ingest,
    "examples": examples,
    "epoch": epoch,
}

if __name__ == "__main__":
    name, where, *more = sys.argv[1:]
    made = TASKS[name](Path(where), *map(int, more))
    print(json.dumps({**made, "peak": peak_memory()}))
