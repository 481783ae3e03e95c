"""The subcommands around versions, keys and settings: `python -m serving COMMAND --help`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """Add the subcommands; each sets `run`, a function of the parsed arguments."""
    _add_releases(commands)
    _add_trust(commands)
    configs = commands.add_parser("configs", help="write TensorFlow Serving's settings files")
    configs.add_argument("out", type=Path, help="folder of the files")
    configs.add_argument("--name", default="ssrec")
    configs.add_argument("--base-path", default="/models/ssrec", help="as the server sees it")
    configs.add_argument("--stable", type=int, help="version; without, the largest is served")
    configs.add_argument("--canary", type=int)
    configs.add_argument("--threads", type=int, default=2, help="of batching")
    configs.add_argument("--batch-sizes", default="1,4,16,64")
    for name in ("certificate", "key", "ca"):
        configs.add_argument(f"--{name}", type=Path, help="PEM, for ssl.config")
    configs.set_defaults(run=_configs)


def _add_releases(commands: Any) -> None:
    for name, text in (
        ("release", "make a version what users get, another one what some of them do"),
        ("rollback", "go back: drop the canary, else to the version before the stable one"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("folder", type=Path, help="holds the versions")
        command.add_argument("--config", type=Path, required=True, help="models.config")
        command.add_argument("--name", default="ssrec", help="of the model")
        command.add_argument("--base-path", help="the folder as the server sees it")
        command.add_argument("--server", help="HOST:PORT of gRPC, to be told at once")
        for file in ("ca", "certificate", "key"):
            command.add_argument(f"--{file}", type=Path, help="PEM, for TLS to the server")
        if name == "release":
            command.add_argument("--stable", type=int, required=True)
            command.add_argument("--canary", type=int)
        else:
            command.add_argument("--to", type=int, help="a version")
        command.set_defaults(run=_release if name == "release" else _rollback)


def _add_trust(commands: Any) -> None:
    keys = commands.add_parser("keys", help="make a pair of keys that versions are signed with")
    keys.add_argument("private", type=Path)
    keys.add_argument("public", type=Path)
    keys.set_defaults(run=_keys)
    sign = commands.add_parser("sign", help="write a version's signed manifest")
    sign.add_argument("folder", type=Path, help="of one version")
    sign.add_argument("--key", type=Path, required=True, help="private key")
    sign.set_defaults(run=_sign)
    verify = commands.add_parser("verify", help="is a version what was signed?")
    verify.add_argument("folder", type=Path, help="of one version")
    verify.add_argument("--key", type=Path, required=True, help="public key")
    verify.set_defaults(run=_verify)
    admit = commands.add_parser("admit", help="verify a copy, then show it to the server")
    admit.add_argument("source", type=Path, help="a version's folder")
    admit.add_argument("target", type=Path, help="the folder to be: FOLDER/VERSION")
    admit.add_argument("--key", type=Path, required=True, help="public key")
    admit.set_defaults(run=_admit)
    key = commands.add_parser("key", help="make an API key, and the line that lets it in")
    key.add_argument("name", help="of who has it; it stands in logs")
    key.set_defaults(run=_key)


def _releases(parsed: argparse.Namespace) -> Any:
    from serving.releases import Releases
    from serving.wire import load_credentials

    secure = parsed.ca and load_credentials(parsed.ca, parsed.certificate, parsed.key)
    return Releases(
        parsed.config,
        parsed.folder,
        name=parsed.name,
        base_path=parsed.base_path,
        server=parsed.server,
        credentials=secure or None,
    )


def _release(parsed: argparse.Namespace) -> int:
    return _told(_releases(parsed).release(parsed.stable, parsed.canary))


def _rollback(parsed: argparse.Namespace) -> int:
    return _told(_releases(parsed).rollback(parsed.to))


def _told(release: Any) -> int:
    print(json.dumps({"versions": list(release.versions), "labels": dict(release.labels)}))
    return 0


def _keys(parsed: argparse.Namespace) -> int:
    from serving.manifest import new_keys

    new_keys(parsed.private, parsed.public)
    print(f"wrote {parsed.private} (keep it where versions are made) and {parsed.public}")
    return 0


def _sign(parsed: argparse.Namespace) -> int:
    from serving.manifest import sign

    print(f"signed {sign(parsed.folder, parsed.key)} files of {parsed.folder}")
    return 0


def _verify(parsed: argparse.Namespace) -> int:
    from serving.graph_gate import check_graph
    from serving.manifest import verify

    files, kinds = verify(parsed.folder, parsed.key), check_graph(parsed.folder)
    print(f"{parsed.folder}: {files} files as signed, {kinds} kinds of ops, all allowed")
    return 0


def _admit(parsed: argparse.Namespace) -> int:
    from serving.graph_gate import check_graph
    from serving.manifest import admit

    admit(parsed.source, parsed.target, parsed.key, gate=check_graph)
    print(f"{parsed.target} is there")
    return 0


def _key(parsed: argparse.Namespace) -> int:
    from serving.gateway_auth import new_key

    key, line = new_key(parsed.name)
    print(f"key, shown this once: {key}\nline for the file of keys: {line}")
    return 0


def _configs(parsed: argparse.Namespace) -> int:
    from serving import server_configs
    from serving.errors import InvalidArgument
    from serving.releases import CANARY, STABLE

    try:
        sizes = [int(size) for size in parsed.batch_sizes.split(",")]
    except ValueError:
        raise InvalidArgument(f"--batch-sizes={parsed.batch_sizes}: give 1,4,16") from None
    given = {STABLE: parsed.stable, CANARY: parsed.canary}
    labels = {label: version for label, version in given.items() if version is not None}
    release = server_configs.Release(tuple(sorted({*labels.values()})), labels)
    try:
        parsed.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArgument(f"{parsed.out} cannot be made: {error.strerror}") from None
    models = server_configs.models_message(parsed.name, parsed.base_path, release)
    files = {
        "models.config": models,
        "batching.config": server_configs.batching_message(sizes, parsed.threads),
        "monitoring.config": server_configs.monitoring_message(),
    }
    if parsed.certificate and parsed.key and parsed.ca:
        files["ssl.config"] = server_configs.ssl_message(parsed.certificate, parsed.key, parsed.ca)
    for name, body in files.items():
        server_configs.write(parsed.out / name, body, secret=name == "ssl.config")
    print(f"wrote {', '.join(files)} to {parsed.out}")
    return 0
