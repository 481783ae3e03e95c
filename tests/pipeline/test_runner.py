"""What is unchanged is not run again; a kill at any moment changes nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.runner import Component, run
from ssrec_tf.errors import DataError, StorageError

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def contents(root):
    """Every published file but the manifests, with its bytes."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name not in ("manifest.json", "running.pid", "resumed")
    }


def start(root):
    return subprocess.Popen(
        [sys.executable, str(HERE / "fake_run.py"), str(root)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def writer(name, inputs=(), calls=None, **rest):
    def executor(context):
        calls.append(name)
        read = "".join((folder / "x").read_text() for folder in context.inputs.values())
        (context.output / "x").write_text(f"{read}{name}{context.config}")

    return Component(name, executor, inputs, **rest)


def test_only_what_changed_runs_again(tmp_path):
    calls, lines = [], []
    chain = (
        writer("A", calls=calls, settings=lambda config: config % 2),
        writer("B", ("A",), calls),
        writer("C", ("B",), calls, always=True),
        writer("D", calls=calls, settings=lambda config: config),
    )

    def once(config):
        calls.clear()
        finished = run(chain, config, root=tmp_path, base=tmp_path, tell=lines.append)
        assert list(finished.made) == calls
        return calls.copy()

    assert once(1) == ["A", "B", "C", "D"]
    lines.clear()
    assert once(1) == ["C"]
    assert lines[:2] == ["[1/4] A unchanged", "[2/4] B unchanged"]
    assert once(3) == ["C", "D"]
    assert once(2) == ["A", "B", "C", "D"]
    assert once(1) == ["C"]


def test_a_changed_file_of_the_user_is_read_again(tmp_path):
    calls = []
    log = tmp_path / "log.csv"
    log.write_text("1")
    gen = writer("Gen", calls=calls, outside=lambda config, base: (base / "log.csv").read_text())
    for text, runs in (("1", 1), ("1", 1), ("2", 2)):
        log.write_text(text)
        run((gen,), 0, root=tmp_path / "runs", base=tmp_path, tell=lambda line: None)
        assert len(calls) == runs


def test_an_error_keeps_what_came_before_it(tmp_path):
    calls = []

    def fail(context):
        raise DataError("row 3")

    chain = (writer("A", calls=calls), Component("Bad", fail, ("A",)))
    for _ in range(2):
        with pytest.raises(DataError, match="row 3"):
            run(chain, 0, root=tmp_path, base=tmp_path, tell=lambda line: None)
    assert calls == ["A"]


def test_two_runs_at_once_are_refused_by_the_holders_id(tmp_path):
    def again(context):
        code = "import sys; from pathlib import Path; from pipeline.runner import run\n"
        code += "run((), 0, root=Path(sys.argv[1]), base=Path())"
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
        (context.output / "said").write_text(done.stderr)

    finished = run((Component("A", again),), 0, root=tmp_path, base=tmp_path)
    said = (finished.artifacts["A"].folder / "said").read_text()
    assert StorageError.__name__ in said
    assert f"in use by process {os.getpid()}" in said


def test_the_lock_of_a_dead_process_holds_nobody(tmp_path):
    (tmp_path / "running.pid").write_text(str(os.getpid()))
    assert run((), 0, root=tmp_path, base=tmp_path).made == ()


def test_checkpoints_left_by_a_kill_after_publishing_are_removed(tmp_path):
    chain = (writer("A", calls=[]),)
    folder = run(chain, 0, root=tmp_path, base=tmp_path).artifacts["A"].folder
    (folder.parent / f"work-{folder.name}").mkdir()
    run(chain, 0, root=tmp_path, base=tmp_path)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.slow
def test_kills_at_random_moments_end_in_the_same_bytes(tmp_path):
    process = start(tmp_path / "whole")
    lines = len(process.stdout.readlines())
    assert process.wait() == 0
    assert lines > 30
    expected = contents(tmp_path / "whole")
    assert len(expected) == 11
    draw = np.random.default_rng(5)
    killed = 0
    root = tmp_path / "killed"
    for _ in range(20):
        process = start(root)
        for _ in range(draw.integers(1, lines)):
            process.stdout.readline()
        time.sleep(draw.uniform(0, 0.002))
        process.send_signal(signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            killed += 1
            continue
        assert contents(root) == expected
        root = tmp_path / f"killed{killed}"
    assert killed >= 5
    assert start(root).wait() == 0
    assert contents(root) == expected
    assert list(tmp_path.glob("killed*/resumed"))
