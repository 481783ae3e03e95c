"""Publishing under kill -9 and in a crowd: `python -m benchmarks.serving_publishing` prints JSON.

A publisher is killed at a random moment again and again; whatever stands in the folder after
that must be whole. Then many publish at once, and each must have a version of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.serving_setup import ROOT, save_toy
from ssrec_tf import storage

# Fed a line a model: one start of Python serves many pushes, so that a kill hits a push.
_PUBLISHER = """
import sys
from pathlib import Path
from pipeline.publishing import push
print("ready", flush=True)
for line in sys.stdin:
    model, target = line.split("\\t")
    print(*push(Path(model), Path(target.strip())), flush=True)
"""


class _Publisher:
    """A process that pushes what it is told to."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PUBLISHER],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        if self.read().strip() != "ready":
            raise RuntimeError("the publisher did not start")

    def tell(self, model: Path, target: Path) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(f"{model}\t{target}\n")
            self._process.stdin.flush()

    def read(self) -> str:
        return self._process.stdout.readline() if self._process.stdout else ""

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()

    def finish(self) -> list[str]:
        """What it says of all that it was told, once it has done it."""
        return self._process.communicate()[0].splitlines()


def _variants(model: Path, count: int, scratch: Path) -> list[Path]:
    """Copies that differ by a file, so that each is worth a version."""
    made = []
    for place in range(count):
        copy = scratch / f"model-{place}"
        shutil.copytree(model, copy)
        (copy / "assets.extra" / "number.txt").write_text(str(place))
        made.append(copy)
    return made


def _versions(target: Path) -> list[Path]:
    return [path for path in target.iterdir() if path.name.isdigit()] if target.is_dir() else []


def _kill(models: list[Path], target: Path, kills: int, seed: int) -> dict[str, Any]:
    rng, partial = random.Random(seed), 0  # noqa: S311 - moments, not secrets
    whole = {storage.sha256_folder(model) for model in models}
    publisher = _Publisher()
    began = time.perf_counter()
    publisher.tell(models[0], target)
    publisher.read()
    seconds = max(time.perf_counter() - began, 0.01)
    for turn in range(kills):
        publisher.tell(models[1 + turn % (len(models) - 1)], target)
        time.sleep(rng.uniform(0, 1.3 * seconds))
        publisher.kill()
        partial += sum(storage.sha256_folder(version) not in whole for version in _versions(target))
        for version in sorted(_versions(target), key=lambda path: int(path.name))[:-2]:
            shutil.rmtree(version)
        publisher = _Publisher()
    publisher.tell(models[0], target)
    publisher.read()
    publisher.kill()
    left = [path.name for path in target.iterdir() if not path.name.isdigit()]
    return {"kills": kills, "partial": partial, "left_over_after_next_push": left}


def _crowd(models: list[Path], target: Path) -> dict[str, Any]:
    """All at once, four processes at a time being in the middle of it."""
    publishers = [_Publisher() for _ in range(4)]
    for place, model in enumerate(models):
        publishers[place % 4].tell(model, target)
    answers = [line.split() for publisher in publishers for line in publisher.finish()]
    digests = {storage.sha256_folder(version) for version in _versions(target)}
    return {
        "publishers": len(models),
        "versions": len(_versions(target)),
        "distinct": len(digests),
        "all_pushed": sorted(int(v) for v, _ in answers) == list(range(1, len(models) + 1)),
    }


def measure(kills: int, publishers: int, seed: int) -> dict[str, Any]:
    """Kill publishers, then let many publish at once."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        model = save_toy(scratch, 1)
        models = _variants(model, publishers, scratch)
        return {
            **_kill(models[:10], scratch / "killed", kills, seed),
            **_crowd(models, scratch / "crowd"),
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--publishers", type=int, default=50)
    parser.add_argument("--seed", type=int, default=3)
    parsed = parser.parse_args()
    print(json.dumps(measure(parsed.kills, parsed.publishers, parsed.seed)))
