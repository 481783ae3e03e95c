"""Example generation as it is usually written: `datasets.map` and a fast tokenizer; a `Worker`."""

from __future__ import annotations

import tempfile
from typing import Any

import pandas as pd
from datasets import Dataset, disable_progress_bars
from transformers import AutoTokenizer

from benchmarks.measuring import serve


class Mapper:
    """Rows of a log joined with their items, rendered and tokenized by `map`."""

    def load(self, rows: str, vocabulary: str, width: int) -> None:
        """Read joined rows (Parquet) and a tokenizer's folder; cut texts at `width` tokens."""
        disable_progress_bars()
        self.rows = Dataset.from_pandas(pd.read_parquet(rows), preserve_index=False)
        self.tokenizer = AutoTokenizer.from_pretrained(vocabulary)
        self.width, self.made = width, self.rows

    def _batch(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        columns = zip(rows["title"], rows["genres"], rows["year"], strict=True)
        texts = [
            f"{title}. {', '.join(genres.split('|'))}. {int(year) // 10 * 10}"
            for title, genres, year in columns
        ]
        made = self.tokenizer(
            texts, add_special_tokens=False, truncation=True, max_length=self.width
        )
        return {"ids": made["input_ids"]}

    def map(self, count: int) -> int:
        """Map the first rows; give how many."""
        some = self.rows.select(range(count))
        with tempfile.TemporaryDirectory() as folder:
            made = some.map(
                self._batch,
                batched=True,
                load_from_cache_file=False,
                cache_file_name=f"{folder}/made.arrow",
            )
            self.made = made.select(range(min(2000, count))).with_format(None)
            self.ids = list(self.made["ids"])
        return count

    def first(self) -> list[list[int]]:
        """Give the first ids of the last `map`."""
        return self.ids


if __name__ == "__main__":
    mapper = Mapper()
    serve({"load": mapper.load, "map": mapper.map, "first": mapper.first}, measured=["map"])
