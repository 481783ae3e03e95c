"""`python -m serving`: a model server, its check, and the gateway in front of it."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from serving.commands import add
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
    up.add_argument("--config", type=Path, help="models.config: versions and labels")
    up.add_argument("--key", type=Path, help="public key: load only what it signed")
    up.add_argument("--batching", type=Path, help="batching.config: run together what meets")
    up.add_argument("--ssl", type=Path, help="ssl.config: gRPC over TLS")
    check = commands.add_parser("check", help="ask a served model everything once")
    check.add_argument("folder", type=Path)
    gateway = commands.add_parser("gateway", help="answer over HTTP in front of a model server")
    gateway.add_argument("settings", type=Path, help="YAML; see docs/serving.md")
    for command, work in ((up, _up), (check, _check), (gateway, _gateway)):
        command.set_defaults(run=work)
    add(commands)
    parsed = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = parsed.run
    try:
        return run(parsed)
    except ServingError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _up(parsed: argparse.Namespace) -> int:
    check_folder(parsed.folder)
    binary = real_server()
    kind = "tensorflow_model_server" if binary else "stand-in"
    files = {name: getattr(parsed, name) for name in ("config", "key", "batching", "ssl")}
    endpoint = Endpoint(parsed.port, parsed.rest_port, parsed.name, kind, **files)
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


if __name__ == "__main__":
    sys.exit(main())
