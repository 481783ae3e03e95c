"""Runs components one after the other in this process; what is unchanged is not run again."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.artifacts import Artifact, find, fingerprint, publish
from ssrec_tf import storage
from ssrec_tf.errors import StorageError

SOURCES = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Context:
    """What an executor is given.

    Attributes:
        config: the whole run's configuration.
        inputs: folders of the components it reads, by component name.
        output: an empty folder to fill.
        work: a folder that survives a kill of this very execution.
        base: what relative paths of the configuration start from.
    """

    config: Any
    inputs: Mapping[str, Path]
    output: Path
    work: Path
    base: Path


@dataclass(frozen=True)
class Component:
    """A step: what runs, what it reads, and what its result depends on.

    Attributes:
        name: TFX's name of it.
        executor: a plain function of a `Context`.
        inputs: names of the components it reads.
        settings: the JSON-serialisable share of the configuration that counts.
        code: glob patterns of the sources that count, from the checkout's root.
        outside: digest of what it reads beside its inputs: files of the configuration.
        always: run it every time (its effect lies outside its folder).
    """

    name: str
    executor: Callable[[Context], None]
    inputs: tuple[str, ...] = ()
    settings: Callable[[Any], Any] = lambda config: None
    code: tuple[str, ...] = ()
    outside: Callable[[Any, Path], str] = lambda config, base: ""
    always: bool = False


@dataclass(frozen=True)
class Run:
    """A finished run: artifacts by component, and which of them were made now."""

    artifacts: Mapping[str, Artifact]
    made: tuple[str, ...] = field(default=())


def run(
    components: tuple[Component, ...],
    config: Any,
    *,
    root: Path,
    base: Path,
    tell: Callable[[str], None] = print,
) -> Run:
    """Run what is out of date, in the order given.

    Args:
        components: each behind the ones it reads.
        config: handed to the executors.
        root: holds the artifacts.
        base: what relative paths of the configuration start from.
        tell: called with a line for every component.

    Raises:
        StorageError: another run holds `root`, or it cannot be written.
        SsrecError: an executor's own error.
    """
    artifacts: dict[str, Artifact] = {}
    made = []
    with _only_run(root):
        for number, component in enumerate(components, start=1):
            label = f"[{number}/{len(components)}] {component.name}"
            folder, inputs = place(component, artifacts, config, root=root, base=base)
            artifact = None if component.always else find(folder)
            if artifact is None:
                tell(f"{label} ...")
                began = time.monotonic()
                artifact = _execute(component, folder, inputs, config, base)
                made.append(component.name)
                tell(f"{label} done in {time.monotonic() - began:.1f} s")
            else:
                tell(f"{label} unchanged")
                # A kill between publishing and tidying up leaves the checkpoints.
                shutil.rmtree(_work(folder), ignore_errors=True)
            artifacts[component.name] = artifact
    return Run(artifacts, tuple(made))


def place(
    component: Component,
    artifacts: Mapping[str, Artifact],
    config: Any,
    *,
    root: Path,
    base: Path,
) -> tuple[Path, dict[str, Artifact]]:
    """Where a component's artifact belongs, and what it reads."""
    inputs = {name: artifacts[name] for name in component.inputs}
    code = storage.code_version(SOURCES, component.code)
    settings = [component.settings(config), component.outside(config, base)]
    name = fingerprint(component.name, inputs, settings, code)
    return root / component.name / name, inputs


def _execute(
    component: Component, folder: Path, inputs: Mapping[str, Artifact], config: Any, base: Path
) -> Artifact:
    def make(output: Path, kept: Path) -> None:
        folders = {name: artifact.folder for name, artifact in inputs.items()}
        component.executor(Context(config, folders, output, kept, base))

    notes = {
        "component": component.name,
        "fingerprint": folder.name,
        "inputs": {name: artifact.folder.name for name, artifact in inputs.items()},
        "settings": component.settings(config),
        "code": storage.code_version(SOURCES, component.code),
    }
    if component.always:
        shutil.rmtree(folder, ignore_errors=True)
    return publish(folder, _work(folder), make, notes)


def _work(folder: Path) -> Path:
    return folder.parent / f"work-{folder.name}"


@contextmanager
def _only_run(root: Path) -> Iterator[None]:
    """Hold `root` for this process; the kernel lets go of it however the process ends."""
    lock = root / "running.pid"
    with storage.storage_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        file = open(lock, "a+", encoding="utf-8")  # noqa: SIM115 closed below
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StorageError(
                f"{root} is in use by process {file.read() or '(starting)'}; wait for it, "
                "or stop it and run again"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
        # Not unlinked: who opened it meanwhile would hold a file that nobody else sees.
        file.truncate(0)
