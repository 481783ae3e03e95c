"""`python -m serving`: a model server, its check, and the gateway in front of it."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from serving.errors import CheckFailed, ServingError
from serving.up import Endpoint, check_folder, real_server, serve_real, serve_stand_in


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors are one line on stderr."""
    parser = argparse.ArgumentParser("python -m serving", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    up = commands.add_parser("up", help="serve a folder of versions")
    up.add_argument("folder", type=Path, help="holds versions 1, 2, ..., say served/ssrec")
    up.add_argument("--port", type=int, default=8500, help="of gRPC")
    up.add_argument("--rest-port", type=int, default=8501, help="of REST")
    up.add_argument("--name", default="ssrec", help="of the model in requests")
    check = commands.add_parser("check", help="ask a served model everything once")
    check.add_argument("folder", type=Path)
    gateway = commands.add_parser("gateway", help="answer over HTTP in front of a model server")
    gateway.add_argument("settings", type=Path, help="YAML; see docs/serving.md")
    key = commands.add_parser("key", help="make an API key, and the line that lets it in")
    key.add_argument("name", help="of who has it; it stands in logs")
    parsed = parser.parse_args(arguments)
    run = {"up": _up, "check": _check, "gateway": _gateway, "key": _key}[parsed.command]
    try:
        return run(parsed)
    except ServingError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _up(parsed: argparse.Namespace) -> int:
    check_folder(parsed.folder)
    binary = real_server()
    kind = "tensorflow_model_server" if binary else "stand-in"
    endpoint = Endpoint(parsed.port, parsed.rest_port, parsed.name, kind)
    if binary:
        return serve_real(binary, parsed.folder, endpoint)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    serve_stand_in(parsed.folder, endpoint, stop)
    return 0


def _check(parsed: argparse.Namespace) -> int:
    from serving.check import check

    check_folder(parsed.folder)
    try:
        print(json.dumps({"ok": True, **check(parsed.folder)}))
    except ServingError as error:
        print(json.dumps({"ok": False, "error": str(error)}))
        raise CheckFailed(str(error)) from None
    return 0


def _gateway(parsed: argparse.Namespace) -> int:
    from serving.gateway_settings import load_settings

    settings = load_settings(parsed.settings)
    from serving.gateway import run

    return run(settings)


def _key(parsed: argparse.Namespace) -> int:
    from serving.gateway_auth import new_key

    key, line = new_key(parsed.name)
    print(f"key, shown this once: {key}\nline for the file of keys: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
