"""The audit's exit code and words, with advisories that a module in pip-audit's place tells."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOUND = {"name": "a", "version": "1", "vulns": []}
FLAWED = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        (json.dumps({"dependencies": [SOUND, UNKNOWN]}), 0, "audited 1 of 2"),
        (json.dumps({"dependencies": [SOUND, FLAWED]}), 1, "b 2: CVE-1, mended in 3"),
        ("", 0, "not audited: nobody there"),
    ],
)
def test_the_audit(tmp_path, said, code, words):
    fake = f"import sys\nprint({said!r})\nprint('nobody there', file=sys.stderr)\nsys.exit(1)\n"
    (tmp_path / "pip_audit.py").write_text(fake)
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "audit.py")],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, "")
    assert words in done.stdout
