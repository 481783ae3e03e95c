"""Turns, clocks and processes."""

import subprocess
import sys

import pytest

from benchmarks.measuring import Run, Worker, cpu_seconds, interleave, run_alone, timed

ECHO = """
import sys
from benchmarks.measuring import serve
def work(loops):
    sum(i * i for i in range(loops))
    return loops
print("noise before an answer")
serve({"work": work, "twice": lambda x: 2 * x}, measured=["work"])
"""


def test_alternatives_take_turns_and_warm_up_counts_for_nothing():
    order = []

    def named(name):
        def run():
            order.append(name)
            return Run(len(order), 1.0, 1.0)

        return run

    found = interleave({"a": named("a"), "b": named("b")}, rounds=2)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert [run.units for run in found["a"]] == [4, 5]
    assert [run.units for run in found["b"]] == [3, 6]


def test_work_is_counted_and_waiting_is_not():
    import time

    slept = timed(lambda: time.sleep(0.2) or 3)()
    assert slept.units == 3
    assert slept.wall >= 0.2 > 10 * slept.cpu


def test_children_that_ended_are_counted():
    before = cpu_seconds()
    busy = "import time; s = time.process_time()\nwhile time.process_time() - s < 0.3: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    assert cpu_seconds() - before >= 0.3


def test_a_worker_measures_itself():
    with Worker([sys.executable, "-c", ECHO]) as worker:
        assert worker.call("twice", x=21) == 42
        run = worker.alternative("work", loops=100_000)()
        assert run.units == 100_000
        assert run.cpu > 0
        with pytest.raises(RuntimeError, match="before it answered"):
            worker.call("missing")


def test_a_process_alone_has_its_own_peak():
    held = bytearray(200_000_000)  # by the process that starts the others
    report = "from benchmarks.measuring import peak_memory; print('noise'); print(peak_memory())"
    task = f"x = b'1' * 60_000_000; {report}"
    small, large = (
        run_alone([sys.executable, "-c", report]),
        run_alone([sys.executable, "-c", task]),
    )
    assert 50_000_000 < large.output - small.output < 70_000_000
    assert small.output < len(held)
    with pytest.raises(RuntimeError, match="failed"):
        run_alone([sys.executable, "-c", "raise SystemExit(3)"])
