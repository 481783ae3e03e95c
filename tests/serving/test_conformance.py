"""The suite that is asked of either server, run on another process and told from the stand-in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The binary's flags, answered by our own server in a process of its own.
BINARY = """#!{python}
import os, sys
flags = dict(flag[2:].split("=") for flag in sys.argv[1:])
os.environ.pop("TF_MODEL_SERVER")
sys.path.insert(0, {root!r})
from serving.__main__ import main
ports = ["--port", flags["port"], "--rest-port", flags["rest_api_port"]]
sys.exit(main(["up", flags["model_base_path"], "--name", flags["model_name"], *ports]))
"""


@pytest.mark.slow
def test_the_server_that_is_named_is_the_one_asked(tmp_path):
    binary = tmp_path / "tensorflow_model_server"
    binary.write_text(BINARY.format(python=sys.executable, root=str(ROOT)))
    binary.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/serving", "-m", "conformance"],
        cwd=ROOT,
        env={**os.environ, "TF_MODEL_SERVER": str(binary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert f"model server: {binary}" in done.stdout
    assert "asks the stand-in itself" not in done.stdout  # skipped, and not told one by one
    assert " skipped, " in done.stdout
