"""Time named alternatives in turns, so that a disturbance meets all of them alike."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_REPLY = "@reply "


@dataclass(frozen=True)
class Run:
    """One piece of work: how much was done, and what it took.

    Attributes:
        units: of what a rate counts (pairs, examples, requests).
        wall: seconds that passed.
        cpu: seconds of all processors together, in the process and its children.
    """

    units: float
    wall: float
    cpu: float


Alternative = Callable[[], Run]


def timed(work: Callable[[], float]) -> Alternative:
    """Time a function of this process that does some work and returns its units.

    CPU-seconds are those of all threads, and of children that ended meanwhile.
    """

    def run() -> Run:
        wall, cpu = time.perf_counter(), cpu_seconds()
        units = work()
        return Run(float(units), time.perf_counter() - wall, cpu_seconds() - cpu)

    return run


def cpu_seconds() -> float:
    """CPU-seconds so far: of all threads of this process, and of its children that ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def interleave(
    alternatives: Mapping[str, Alternative], *, rounds: int, warm_up: int = 1
) -> dict[str, list[Run]]:
    """Run A B C A B C ...; every second round backwards, so that none is always first.

    Args:
        alternatives: by name.
        rounds: that count.
        warm_up: rounds before these, thrown away: tracing, caches, first touches.

    Returns:
        The counted runs of each, in the order of the rounds.
    """
    found: dict[str, list[Run]] = {name: [] for name in alternatives}
    for number in range(warm_up + rounds):
        names = list(alternatives)[:: 1 if number % 2 == 0 else -1]
        for name in names:
            run = alternatives[name]()
            if number >= warm_up:
                found[name].append(run)
    return found


class Worker:
    """A process that does work when told, say one in another environment.

    Its script calls `serve` with functions by name. It measures itself, so what the pipe
    costs is not counted, and it is idle while others are measured.

    Args:
        command: the program and its arguments, run in the repository's root.
        environment: variables beside those of this process.
    """

    def __init__(
        self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None
    ) -> None:
        """Start the process."""
        self._process = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(self, name: str, **arguments: Any) -> Any:
        """Call a function there and return what it returns, through JSON.

        Raises:
            RuntimeError: the process ended before it replied; its error is on stderr.
        """
        told, replies = self._process.stdin, self._process.stdout
        if told is None or replies is None:  # for the types: both are pipes
            raise RuntimeError("the worker has no pipes")
        told.write(json.dumps([name, arguments]) + "\n")
        told.flush()
        for line in replies:
            if line.startswith(_REPLY):
                return json.loads(line[len(_REPLY) :])
        raise RuntimeError(f"{self._process.args!r} ended before it answered {name!r}: see above")

    def alternative(self, name: str, **arguments: Any) -> Alternative:
        """Let a function there, one of those that `serve` times, be measured."""
        return lambda: Run(**self.call(name, **arguments))

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def serve(work: Mapping[str, Callable[..., Any]], *, measured: Sequence[str]) -> None:
    """Answer a `Worker` until it closes the pipe.

    Args:
        work: functions by name; their arguments and results pass through JSON.
        measured: names of those that return units; their runs are timed.
    """
    for line in sys.stdin:
        name, arguments = json.loads(line)
        if name in measured:
            result: Any = vars(timed(lambda: work[name](**arguments))())  # noqa: B023
        else:
            result = work[name](**arguments)
        print(_REPLY + json.dumps(result), flush=True)


@dataclass(frozen=True)
class Alone:
    """A process that was run to its end: its JSON output, wall and CPU seconds."""

    output: Any
    wall: float
    cpu: float


def peak_memory() -> int:
    """The most bytes this process ever held, since it was started.

    Not `ru_maxrss`: a child begins with the peak of the process that started it.
    """
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError("/proc/self/status holds no VmHWM: measure memory on Linux")
    return int(found.group(1)) * 1024


def run_alone(command: Sequence[str | Path]) -> Alone:
    """Run a process of its own, for seconds and memory that are nobody else's.

    Args:
        command: the program and its arguments; its last line of output is JSON.

    Raises:
        RuntimeError: it failed; its error is on stderr.
    """
    wall = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    lines = process.stdout.read().splitlines() if process.stdout else []
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - wall
    if process.returncode or not lines:
        raise RuntimeError(f"{' '.join(map(str, command))} failed ({process.returncode})")
    return Alone(json.loads(lines[-1]), wall, used.ru_utime + used.ru_stime)
