"""The PyTorch processes that training is compared with, and what they share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.command import other_python
from benchmarks.measuring import Alternative, Worker

# Threads that spin while they wait would be counted as work: no CPU-second of it is.
_QUIET = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "TOKENIZERS_PARALLELISM": "false"}


class TorchSide(AbstractContextManager["TorchSide"]):
    """A process of the classic loop, one of the best, and where asked one that is compiled."""

    def __init__(self, names: Sequence[str] = ("classic", "best")) -> None:
        """Start one for each of `NAMES` that is named; none has loaded anything."""
        command: list[str | Path] = [other_python(), "-m", "benchmarks.torch_training"]
        self.workers = {name: Worker(command, _QUIET) for name in names}

    def load(
        self, folder: Path, steps: Path, learning_rate: float, micro_batch: int | None = None
    ) -> None:
        """Let all load the same weights and the same steps.

        With `micro_batch` batches are of its size and collated now, not while a clock runs.
        """
        for name, worker in self.workers.items():
            worker.call(
                "load",
                folder=str(folder),
                steps=str(steps),
                best=name != "classic",
                compiled=name == "compiled",
                learning_rate=learning_rate,
                micro_batch=micro_batch,
            )

    def alternatives(self, steps: int) -> dict[str, Alternative]:
        """All, making `steps` updates a run."""
        return {
            NAMES[name]: worker.alternative("train", steps=steps)
            for name, worker in self.workers.items()
        }

    def curve(self, name: str) -> list[float]:
        """Losses of each step so far; `name` one of `NAMES`."""
        return [float(loss) for loss in self.workers[name].call("curve")]

    def versions(self) -> str:
        """What the processes run on."""
        found = self.workers["best"].call("versions")
        return ", ".join(f"{name} {value}" for name, value in found.items())

    def fresh_folder(
        self,
        folder: Path,
        words: list[str],
        width: int = 64,
        layers: int = 2,
        dropout: float = 0.1,
    ) -> Path:
        """Write a BERT with fresh weights, small unless told."""
        self.workers["best"].call(
            "make_folder",
            folder=str(folder),
            words=words,
            width=width,
            layers=layers,
            dropout=dropout,
        )
        return folder

    def __exit__(self, *error: object) -> None:
        for worker in self.workers.values():
            worker.__exit__(None, None, None)


NAMES = {
    "classic": "PyTorch, classic",
    "best": "PyTorch, best",
    "compiled": "PyTorch, best, compiled",
}
