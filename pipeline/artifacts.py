"""Artifacts: folders with a manifest, found again by what went into them.

An artifact lies at `<root>/<Component>/<fingerprint>/`. The fingerprint is a SHA-256 over
the component's name, its inputs' contents, its share of the configuration and the code it
depends on: what is unchanged is found, and not made again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssrec_tf import storage

MANIFEST = "manifest.json"
DIGITS = 16


@dataclass(frozen=True)
class Artifact:
    """A component's published output: the folder and its manifest."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of what the folder holds, the manifest left out."""
        return str(self.manifest["digest"])


def fingerprint(component: str, inputs: Mapping[str, Artifact], settings: Any, code: str) -> str:
    """Name what a run of a component depends on: 16 hexadecimal digits.

    Args:
        component: its name.
        inputs: artifacts by name; their content counts, not their place.
        settings: JSON-serialisable share of the configuration.
        code: digest of `storage.code_version`.
    """
    body = {
        "component": component,
        "inputs": {name: artifact.digest for name, artifact in inputs.items()},
        "settings": settings,
        "code": code,
    }
    text = json.dumps(body, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def find(folder: Path) -> Artifact | None:
    """Open a published artifact; nothing where none was published."""
    try:
        return Artifact(folder, json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def publish(
    folder: Path, work: Path, make: Callable[[Path, Path], None], notes: Mapping[str, Any]
) -> Artifact:
    """Make an artifact and show it, whole or not at all.

    Args:
        folder: where it will be; must not exist.
        work: a folder that survives a kill, for checkpoints; removed once published.
        make: fills the first folder it is given; may keep what it needs in the second.
        notes: said in the manifest.
    """
    started = time.time()
    storage.remove_leftovers(folder.parent)
    with storage.atomic_folder(folder) as staged:
        with storage.storage_errors(work):
            work.mkdir(parents=True, exist_ok=True)
        make(staged, work)
        manifest = {
            **notes,
            "digest": storage.sha256_folder(staged),
            "outputs": _outputs(staged),
            "started": started,
            "finished": time.time(),
            "seconds": round(time.time() - started, 3),
        }
        text = json.dumps(manifest, indent=2, sort_keys=True)
        (staged / MANIFEST).write_text(text, encoding="utf-8")
    shutil.rmtree(work, ignore_errors=True)
    return Artifact(folder, manifest)


def _outputs(folder: Path) -> dict[str, str]:
    """SHA-256 of every file, by its name within the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): storage.sha256_file(path) for path in files}
