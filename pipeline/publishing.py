"""Executors behind the evaluation: InfraValidator and Pusher."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.progress import stages
from pipeline.runner import SOURCES, Context
from ssrec_tf import storage
from ssrec_tf.errors import ExportError, GateError

_LIMIT_SECONDS = 300


def infra_validator(context: Context) -> None:
    """Start a server on the model, send requests to every signature, keep its answer."""
    served = context.work / "served"
    shutil.rmtree(served, ignore_errors=True)
    shutil.copytree(context.inputs["Trainer"] / "saved_model", served / "1")
    with stages("ask a server", 1) as begin:
        begin("gRPC, REST and the C API")
        body = _ask(served)
    (context.output / "infra.json").write_text(json.dumps(body, indent=2))
    print(f"    asked by gRPC and REST: {', '.join(sorted(body.get('signatures', body)))}")


def _ask(served: Path) -> dict[str, Any]:
    try:
        done = _serving("check", str(served.resolve()))
    except subprocess.TimeoutExpired:
        raise ExportError(f"the server did not answer within {_LIMIT_SECONDS} s") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise ExportError(f"the server refused the model: {last}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def _serving(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `serving`, which nothing here imports."""
    return subprocess.run(
        [sys.executable, "-m", "serving", *arguments],
        capture_output=True,
        text=True,
        timeout=_LIMIT_SECONDS,
        cwd=SOURCES,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        check=False,
    )


def pusher(context: Context) -> None:
    """Show a blessed model as the next version; the same model is not shown twice.

    Raises:
        GateError: the model was not blessed.
    """
    blessing = json.loads((context.inputs["Evaluator"] / "blessing.json").read_text())
    if not blessing["blessed"]:
        raise GateError(f"not pushed: {'; '.join(blessing['failures'])}")
    target = Path.cwd() / context.config.serve.push_to
    model = _signed(context.inputs["Trainer"] / "saved_model", context.work)
    version, pushed = push(model, target)
    # Whether it was pushed just now is left out: a rerun after a kill writes the same.
    body = {"target": context.config.serve.push_to, "version": version}
    (context.output / "push.json").write_text(json.dumps(body, indent=2))
    print(f"    version {version} {'pushed' if pushed else 'is there already'}")


def _signed(model: Path, work: Path) -> Path:
    """A copy with a signed manifest where $SSREC_SIGNING_KEY names a private key, else the model.

    The same model and key give the same bytes: a signed model is not pushed twice, either.
    """
    key = os.environ.get("SSREC_SIGNING_KEY")
    if not key:
        return model
    copy = work / "signed"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(model, copy)
    done = _serving("sign", str(copy), "--key", str(Path(key).resolve()))
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise ExportError(f"the model cannot be signed: {last}; see $SSREC_SIGNING_KEY")
    return copy


def push(model: Path, target: Path) -> tuple[int, bool]:
    """Copy a SavedModel to `<target>/<next version>/`: staged, verified, renamed.

    A target is held while it is pushed to: two pushers at once end as two versions.

    Returns:
        The version, and whether it was pushed now.

    Raises:
        ExportError: the copy differs from the model.
        StorageError: the target cannot be written.
    """
    digest = storage.sha256_folder(model)
    with _held(target):
        storage.remove_leftovers(target)
        latest = max(_versions(target), default=0)
        if latest and storage.sha256_folder(target / str(latest)) == digest:
            return latest, False
        with storage.atomic_folder(target / str(latest + 1)) as staged:
            shutil.copytree(model, staged, dirs_exist_ok=True)
            if storage.sha256_folder(staged) != digest:
                raise ExportError(f"the copy at {staged} differs from {model}; push again")
    return latest + 1, True


@contextmanager
def _held(target: Path) -> Iterator[None]:
    """Lock the folder itself: no file beside the versions for a server to trip over."""
    with storage.storage_errors(target):
        target.mkdir(parents=True, exist_ok=True)
        handle = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _versions(target: Path) -> list[int]:
    if not target.is_dir():
        return []
    return [int(path.name) for path in target.iterdir() if re.fullmatch(r"\d+", path.name)]
