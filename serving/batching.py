"""Requests that meet are run together: the stand-in's part of TensorFlow Serving's batching.

Rules and messages are those of the server's `BatchingSession`: a batch is closed when it is
full, when the next request no longer fits, or `batch_timeout_micros` after its first one; it is
filled up to an allowed size with its last request's first row; inputs of unequal shapes are
refused, all of the batch, or padded with each tensor's first element.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from serving.errors import FailedPrecondition, InvalidArgument, Unavailable
from serving.server_configs import read_message
from serving.server_protos import message

Arrays = dict[str, np.ndarray]
Run = Callable[[Arrays], Arrays]


@dataclass(frozen=True)
class BatchingParameters:
    """As in `batching.config`; what a file leaves out is as the server has it."""

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False


def read_parameters(path: Path) -> BatchingParameters:
    """Read `batching.config`.

    Raises:
        NotFound: the file cannot be read.
        InvalidArgument: it is none, or the server would refuse it.
    """
    body = read_message(path, message("BatchingParameters")())
    named = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    given = {name: int(getattr(body, name).value) for name in named if body.HasField(name)}
    found = BatchingParameters(
        allowed_batch_sizes=tuple(body.allowed_batch_sizes),
        pad_variable_length_inputs=body.pad_variable_length_inputs,
        **given,
    )
    sizes, most = found.allowed_batch_sizes, found.max_batch_size
    if sizes and sizes[-1] != most:
        raise InvalidArgument(
            f"{path}: Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
            f"{sizes[-1]}; expected {most}"
        )
    if min(most, found.num_batch_threads, found.max_enqueued_batches) < 1:
        raise InvalidArgument(f"{path}: sizes and threads must be at least 1")
    return found


@dataclass(eq=False)
class _Task:
    """One request: its inputs, its rows, and what came of it."""

    inputs: Arrays
    rows: int
    done: threading.Event = field(default_factory=threading.Event)
    outputs: Arrays = field(default_factory=dict)
    error: Exception | None = None


@dataclass(eq=False)
class _Batch:
    """Requests that are run together, once it is closed or `due`, in seconds of the clock."""

    run: Run
    due: float
    tasks: list[_Task] = field(default_factory=list)
    rows: int = 0
    closed: bool = False


class Batcher:
    """Holds the queues, one for each key, and the threads that run their batches."""

    def __init__(self, parameters: BatchingParameters) -> None:
        """Start the threads."""
        self.parameters = parameters
        self._queues: dict[Hashable, deque[_Batch]] = {}
        self._changed, self._closed = threading.Condition(), False
        self._threads = [
            threading.Thread(target=self._work, daemon=True)
            for _ in range(parameters.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, key: Hashable, inputs: Arrays, run: Run) -> Arrays:
        """Run `inputs` with others of the same key.

        Args:
            key: of what may be run together: a version, and what goes in and comes out.
            inputs: arrays with one first dimension.
            run: of the version; what it raises, each request of the batch raises.

        Raises:
            InvalidArgument: a scalar, first dimensions that differ, or more rows than a batch.
            FailedPrecondition: other shapes than its neighbours', and nothing is padded.
            Unavailable: the queue is full, or the batcher closed.
        """
        task = _Task(inputs, _rows(inputs))
        if task.rows > self.parameters.max_batch_size:
            raise InvalidArgument(
                f"Task size {task.rows} is larger than maximum input batch size "
                f"{self.parameters.max_batch_size}"
            )
        with self._changed:
            self._put(key, task, run)
            self._changed.notify_all()
        task.done.wait()
        if task.error is not None:
            raise task.error
        return task.outputs

    def close(self) -> None:
        """Run what waits, and end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _put(self, key: Hashable, task: _Task, run: Run) -> None:
        most = self.parameters.max_batch_size
        if self._closed:
            raise Unavailable("the server is going down")
        queue = self._queues.setdefault(key, deque())
        if queue and not queue[-1].closed and queue[-1].rows + task.rows > most:
            queue[-1].closed = True
        if not queue or queue[-1].closed:
            if len(queue) >= self.parameters.max_enqueued_batches:
                raise Unavailable(
                    "The batch scheduling queue to which this task was submitted is full; task "
                    f"size is {task.rows}"
                )
            due = time.monotonic() + self.parameters.batch_timeout_micros / 1e6
            queue.append(_Batch(run, due))
        batch = queue[-1]
        batch.tasks.append(task)
        batch.rows += task.rows
        batch.closed = batch.rows >= most

    def _work(self) -> None:
        while True:
            with self._changed:
                batch = self._next()
                while batch is None:
                    if self._closed and not self._queues:
                        return
                    self._changed.wait(self._seconds())
                    batch = self._next()
            self._process(batch)

    def _next(self) -> _Batch | None:
        """Take the batch that has been due for longest; nothing where none is."""
        now = time.monotonic()
        heads = [(queue[0].due, key) for key, queue in self._queues.items() if queue]
        ready = [
            (due, key)
            for due, key in heads
            if self._closed or self._queues[key][0].closed or due <= now
        ]
        if not ready:
            return None
        _, key = min(ready, key=lambda pair: pair[0])
        batch = self._queues[key].popleft()
        if not self._queues[key]:
            del self._queues[key]
        return batch

    def _seconds(self) -> float | None:
        """How long until a batch is due."""
        due = [queue[0].due for queue in self._queues.values()]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _process(self, batch: _Batch) -> None:
        try:
            outputs = batch.run(self._merged(batch))
            self._check(outputs, batch.rows)
            place = 0
            for task in batch.tasks:
                rows = slice(place, place + task.rows)
                task.outputs = {name: value[rows] for name, value in outputs.items()}
                place += task.rows
        except Exception as error:  # each request tells its own caller
            for task in batch.tasks:
                task.error = error
        finally:
            for task in batch.tasks:
                task.done.set()

    def _merged(self, batch: _Batch) -> Arrays:
        fill = self._allowed(batch.rows) - batch.rows
        merged = {}
        for name in batch.tasks[0].inputs:
            parts = [task.inputs[name] for task in batch.tasks]
            if self.parameters.pad_variable_length_inputs:
                parts = _padded(parts)
            elif len({part.shape[1:] for part in parts}) > 1:
                raise FailedPrecondition(
                    f"Tensors with name '{name}' from different tasks have different shapes and "
                    "padding is turned off. Set pad_variable_length_inputs to true, or ensure "
                    "that all tensors with the same name have equal dimensions starting with "
                    "the first dim."
                )
            merged[name] = np.concatenate([*parts, *[parts[-1][:1]] * fill])
        return merged

    def _allowed(self, rows: int) -> int:
        """The least allowed size that holds so many rows."""
        sizes = self.parameters.allowed_batch_sizes
        return next((size for size in sizes if size >= rows), rows)

    def _check(self, outputs: Mapping[str, np.ndarray], rows: int) -> None:
        for value in outputs.values():
            if value.ndim == 0:
                raise FailedPrecondition("Batched output tensor has 0 dimensions")
            if len(value) != self._allowed(rows):
                raise FailedPrecondition(
                    "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                    "dimension sizes of the input tensors"
                )


def _rows(inputs: Arrays) -> int:
    """The first dimension that all inputs share."""
    if any(value.ndim == 0 for value in inputs.values()):
        raise InvalidArgument("Batching Run() input tensors must have at least one dimension")
    sizes = {len(value) for value in inputs.values()}
    if len(sizes) > 1:
        raise InvalidArgument("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop() if sizes else 0


def _padded(parts: list[np.ndarray]) -> list[np.ndarray]:
    """Tensors of one rank, rows of each filled up to the widest with its first element."""
    shape = [max(sizes) for sizes in zip(*(part.shape for part in parts), strict=True)]
    return [_fill(part, [len(part), *shape[1:]]) for part in parts]


def _fill(part: np.ndarray, shape: list[int]) -> np.ndarray:
    if part.size == math.prod(shape):
        return part.reshape(shape)  # [rows, ...]
    if part.size == 0:
        raise InvalidArgument("Got empty tensor in batch of non-empty tensors.")
    wide: Any = np.full(shape, part.flat[0], part.dtype)
    wide[tuple(slice(size) for size in part.shape)] = part
    filled: np.ndarray = wide
    return filled
