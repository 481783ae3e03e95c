import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving.__main__ import main
from serving.client import GrpcTransport
from serving.up import free_port

ROOT = Path(__file__).resolve().parents[2]

# Stands where tensorflow_model_server would: writes its arguments, waits for SIGTERM.
RECORDER = """#!{python}
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
open({path!r}, "w").write("\\n".join(sys.argv[1:]))
signal.pause()
"""


def start(folder, *options, env=None):
    return subprocess.Popen(
        [sys.executable, "-m", "serving", "up", str(folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
    )


def script(path, text):
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.slow
def test_the_stand_in_says_what_it_is_serves_and_stops(toy):
    port, rest_port = free_port(), free_port()
    server = start(toy, "--port", str(port), "--rest-port", str(rest_port), "--name", "films")
    try:
        assert "stand-in, not TensorFlow Serving" in server.stdout.readline()
        assert f"REST http://127.0.0.1:{rest_port}/v1/models/films" in server.stdout.readline()
        client = GrpcTransport(f"127.0.0.1:{port}", "films")
        import numpy as np

        answer = client.predict("embed", {"text": np.array([b"Heat"], dtype=object)})
        assert answer["vector"].tolist() == [[4.0, 4.25]]
        client.close()
        server.send_signal(signal.SIGTERM)
        out, error = server.communicate(timeout=30)
    finally:
        server.kill()
    assert server.returncode == 0
    assert "Traceback" not in out + error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_real_server_gets_its_flags_and_the_signal(toy, tmp_path, number):
    said = tmp_path / "arguments"
    binary = script(
        tmp_path / "tensorflow_model_server",
        RECORDER.format(python=sys.executable, path=str(said)),
    )
    port, rest_port = free_port(), free_port()
    server = start(
        toy,
        *("--port", str(port), "--rest-port", str(rest_port), "--name", "films"),
        *("--batching", "batching.config", "--ssl", "/etc/ssl.config"),
        env={"TF_MODEL_SERVER": binary},
    )
    try:
        until = time.monotonic() + 40
        while not (said.exists() and said.read_text()) and time.monotonic() < until:
            time.sleep(0.05)
        assert said.read_text().split("\n") == [
            f"--port={port}",
            f"--rest_api_port={rest_port}",
            "--model_name=films",
            f"--model_base_path={toy}",
            "--enable_batching",
            f"--batching_parameters_file={ROOT / 'batching.config'}",
            "--ssl_config_file=/etc/ssl.config",
        ]
        server.send_signal(number)
        out, error = server.communicate(timeout=20)
    finally:
        server.kill()
    assert server.returncode == 0
    assert "Traceback" not in error
    assert out == ""  # no word of a stand-in


def test_the_binary_on_the_path_is_taken(toy, tmp_path, monkeypatch):
    script(tmp_path / "tensorflow_model_server", "#!/bin/sh\nexit 7\n")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("TF_MODEL_SERVER", raising=False)
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        ports = ["--port", str(free_port()), "--rest-port", str(free_port())]
        assert main(["up", str(toy), *ports]) == 3  # a server that ends by itself is a fault
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_a_binary_that_cannot_be_run(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TF_MODEL_SERVER", str(tmp_path / "gone"))
    ports = ["--port", str(free_port()), "--rest-port", str(free_port())]
    assert main(["up", str(toy), *ports]) == 2
    assert "gone cannot be run (No such file or directory)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda base: base / "missing", "missing is no folder"),
        (lambda base: base, "holds no version; put a SavedModel at"),
    ],
)
def test_a_folder_without_a_version(tmp_path, capsys, make, message):
    (tmp_path / "latest").mkdir()
    assert main(["up", str(make(tmp_path))]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("option", ["--port", "--rest-port"])
def test_a_taken_port(toy, monkeypatch, capsys, option):
    monkeypatch.delenv("TF_MODEL_SERVER", raising=False)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        ports = {"--port": free_port(), "--rest-port": free_port()}
        ports[option] = holder.getsockname()[1]
        flat = [str(part) for pair in ports.items() for part in pair]
        assert main(["up", str(toy), *flat]) == 2
    error = capsys.readouterr().err
    assert error == f"error: port {ports[option]} is taken; give another one with {option}\n"


def test_a_port_that_is_none(toy, monkeypatch, capsys):
    monkeypatch.delenv("TF_MODEL_SERVER", raising=False)
    assert main(["up", str(toy), "--port", "70000"]) == 2
    assert "--port=70000 is no port" in capsys.readouterr().err


def test_a_wrong_folder_is_told_by_the_process_without_loading_tensorflow(tmp_path):
    code = (
        "import sys\n"
        "from serving.__main__ import main\n"
        f"code = main(['up', {str(tmp_path / 'gone')!r}])\n"
        "print('tensorflow' in sys.modules)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=30
    )
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
