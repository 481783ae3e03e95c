"""Wheels of the package registry as carriers of data: it can be reached where little else can."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from ssrec_tf.errors import NetworkError

_TIMEOUT = 300  # seconds


def download(requirement: str) -> bytes:
    """Return a wheel, without what it depends on: `pip download --no-deps`.

    Args:
        requirement: as pip takes it, say "recbole==1.2.1".

    Raises:
        NetworkError: pip found none, or gave no answer in time.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
        command += ["--disable-pip-version-check", "--retries", "1", "--dest", folder, requirement]
        with tqdm(total=1, unit="file", desc=f"pip download {requirement}") as bar:
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=_TIMEOUT, check=False
                )
            except subprocess.TimeoutExpired as error:
                raise NetworkError(f"pip gave no answer in {_TIMEOUT} s") from error
            bar.update(int(done.returncode == 0))
        wheels = sorted(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            lines = done.stderr.strip().splitlines() or ["no wheel"]
            raise NetworkError(f"pip download {requirement}: {lines[-1]}")
        return wheels[0].read_bytes()
