"""Fine-tuning as it is usually written, in PyTorch: a `Worker` in an environment of its own.

It imports nothing of the project but `measuring.serve`. Two ways, on the same pairs and from
the same weights:

* classic: a `Dataset` that tokenizes in `__getitem__`, padded to 128, float32;
* best: texts tokenized before, sorted by length into batches of like length, each padded to its
  longest, bfloat16 autocast where the processor has it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from benchmarks.measuring import serve

LENGTH, MICRO_BATCH = 128, 16
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Pairs(Dataset[dict[str, Any]]):
    """Pairs of texts with a label, tokenized when they are asked for."""

    def __init__(self, tokenizer: Any, rows: Sequence[Sequence[Any]]) -> None:
        """`rows` are (behaviour, item, label)."""
        self.tokenizer, self.rows = tokenizer, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        behaviour, item, label = self.rows[index]
        made = self.tokenizer(
            behaviour,
            item,
            truncation="only_first",
            max_length=LENGTH,
            padding="max_length",
            return_tensors="pt",
        )
        return {**{name: ids[0] for name, ids in made.items()}, "labels": torch.tensor(label)}


class Trainer:
    """One model, its optimizer and the steps of pairs it is trained on."""

    def __init__(self) -> None:
        """Nothing is loaded yet."""
        self.losses: list[float] = []

    def load(
        self,
        folder: str,
        steps: str,
        best: bool,
        learning_rate: float,
        micro_batch: int | None = None,
        compiled: bool = False,
    ) -> None:
        """Load a Hugging Face BERT folder and steps of (behaviour, item, label) rows.

        With `micro_batch` every batch is made now, padded as it would be later.
        """
        torch.manual_seed(0)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, truncation_side="left")
        model: Any = BertForSequenceClassification.from_pretrained(folder, num_labels=1)
        self.model = model.to(DEVICE)
        # Heads start at nothing on both sides, or curves would differ by what was drawn.
        torch.nn.init.zeros_(self.model.classifier.weight)
        self.model.train()
        if compiled:
            self.model.compile(dynamic=True)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=learning_rate)
        self.steps, self.best, self.next = json.loads(Path(steps).read_text()), best, 0
        self.made: list[list[dict[str, Any]]] = []
        if best or micro_batch:  # before any clock runs, as pre-tokenizing once would be
            self.tokens = [self._tokenized(rows) for rows in self.steps]
        if micro_batch:
            self.made = [list(self._padded(tokens, micro_batch)) for tokens in self.tokens]

    def _tokenized(self, rows: Sequence[Sequence[Any]]) -> list[tuple[dict[str, Any], float]]:
        texts, items, labels = zip(*rows, strict=True)
        made = self.tokenizer(list(texts), list(items), truncation="only_first", max_length=LENGTH)
        columns = [dict(zip(made, row, strict=True)) for row in zip(*made.values(), strict=True)]
        return sorted(zip(columns, labels, strict=True), key=lambda row: len(row[0]["input_ids"]))

    def _batches(self, number: int) -> Iterator[dict[str, Any]]:
        if self.made:
            yield from self.made[number]
        elif self.best:
            yield from self._padded(self.tokens[number], MICRO_BATCH)
        else:
            pairs = Pairs(self.tokenizer, self.steps[number])
            yield from DataLoader(pairs, batch_size=MICRO_BATCH)

    def _padded(
        self, tokens: Sequence[tuple[dict[str, Any], float]], size: int
    ) -> Iterator[dict[str, Any]]:
        how: dict[str, Any] = {} if self.best else {"padding": "max_length", "max_length": LENGTH}
        for start in range(0, len(tokens), size):
            some = tokens[start : start + size]
            padded = self.tokenizer.pad([row for row, _ in some], return_tensors="pt", **how)
            yield {**padded, "labels": torch.tensor([label for _, label in some])}

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        # Without instructions for it bfloat16 is emulated, and slower.
        fast = self.best and (DEVICE == "cuda" or _has_bfloat16())
        return torch.autocast(DEVICE, torch.bfloat16) if fast else contextlib.nullcontext()

    def train(self, steps: int) -> int:
        """Make updates, each of all pairs of a step in batches of 16; give the pairs."""
        pairs = 0
        for _ in range(steps):
            rows = len(self.steps[self.next % len(self.steps)])
            total = torch.zeros([], device=DEVICE)
            for made in self._batches(self.next % len(self.steps)):
                batch = {name: values.to(DEVICE) for name, values in made.items()}
                labels = batch.pop("labels").float()
                with self._precision():
                    found = self.model(**batch).logits[:, 0].float()
                loss = ((found - labels) ** 2).sum() / rows
                loss.backward()
                total += loss.detach()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.losses.append(total.item())
            pairs, self.next = pairs + rows, self.next + 1
        return pairs

    def read(self, steps: int) -> int:
        """Only make the batches; give the pairs."""
        for number in range(steps):
            for _ in self._batches(number % len(self.steps)):
                pass
        return sum(len(self.steps[number % len(self.steps)]) for number in range(steps))

    def curve(self) -> list[float]:
        """Give the mean squared error of each step so far."""
        return self.losses

    def squared_error(self, rows: str) -> float:
        """Score (behaviour, item, label) rows of a file; give their mean squared error."""
        self.model.eval()
        tokens, total = self._tokenized(json.loads(Path(rows).read_text())), 0.0
        with torch.inference_mode(), self._precision():
            for start in range(0, len(tokens), 64):
                some = tokens[start : start + 64]
                padded = self.tokenizer.pad([row for row, _ in some], return_tensors="pt")
                labels = torch.tensor([label for _, label in some])
                found = self.model(**padded.to(DEVICE)).logits[:, 0].float().cpu()
                total += float(((found - labels) ** 2).sum())
        self.model.train()
        return total / len(tokens)


def make_folder(
    folder: str, words: Sequence[str], width: int, layers: int, dropout: float = 0.1
) -> None:
    """Write a small BERT with fresh weights, and its vocabulary, as Hugging Face does."""
    torch.manual_seed(1)
    sizes: dict[str, Any] = {
        "vocab_size": len(words),
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, width // 32),
        "intermediate_size": 4 * width,
        "num_labels": 1,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
    }
    BertForSequenceClassification(BertConfig(**sizes)).save_pretrained(folder)
    (Path(folder) / "vocab.txt").write_text("\n".join(words) + "\n")
    (Path(folder) / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": True, "tokenizer_class": "BertTokenizer"})
    )


def versions() -> dict[str, Any]:
    """Versions, threads, and whether bfloat16 is computed in hardware."""
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": DEVICE,
        "bfloat16": DEVICE == "cuda" or _has_bfloat16(),
    }


def _has_bfloat16() -> bool:
    if not torch.backends.mkldnn.is_available():
        return False
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


if __name__ == "__main__":
    trainer = Trainer()
    serve(
        {
            "load": trainer.load,
            "train": trainer.train,
            "read": trainer.read,
            "curve": trainer.curve,
            "squared_error": trainer.squared_error,
            "make_folder": make_folder,
            "versions": versions,
        },
        measured=["train", "read"],
    )
