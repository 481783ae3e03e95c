"""`python -m pipeline run|status|show|compile CONFIG [--set KEY=VALUE] [--until NAME]`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

from pipeline.artifacts import Artifact, find
from pipeline.components import components
from pipeline.runner import place, run
from ssrec_tf.cli import guarded
from ssrec_tf.config import RunConfig, load_config
from ssrec_tf.errors import ConfigError, GateError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; see the module's docstring."""
    parser = argparse.ArgumentParser("python -m pipeline", description=__doc__)
    parser.add_argument("command", choices=["run", "status", "show", "compile"])
    parser.add_argument("config", type=Path, help="YAML of a run, say configs/movielens-100k.yaml")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where artifacts lie")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a key of the configuration, say train.item_text=words; may be repeated",
    )
    names = [component.name for component in components()]
    parser.add_argument("--until", choices=names, help="the last component that run runs")
    parser.add_argument(
        "output", type=Path, nargs="?", default=Path("pipeline.yaml"), help="of compile"
    )
    parser.add_argument(
        "--accelerator", choices=["none", "gpu", "tpu"], default="none", help="of compile"
    )
    parsed = parser.parse_args(arguments)
    commands = {"run": _run, "status": _status, "show": _show, "compile": _compile}
    return guarded(lambda: commands[parsed.command](parsed))


def _run(parsed: argparse.Namespace) -> None:
    """Run what is out of date, then say what came out and what to type next."""
    config = load_config(parsed.config, parsed.set)
    base = parsed.config.resolve().parent
    wanted = components()
    if config.devices.strategy != "one":  # before TensorFlow has run anything
        from ssrec_tf.replicas import make_strategy

        make_strategy(config.devices.strategy)
    if parsed.until:
        last = [component.name for component in wanted].index(parsed.until)
        run(wanted[: last + 1], config, root=parsed.runs / config.name, base=base)
        return
    try:
        finished = run(wanted, config, root=parsed.runs / config.name, base=base)
    except GateError:
        evaluated = _published(parsed)["Evaluator"]
        if evaluated is not None:  # what was measured is of most use when it is not enough
            print(f"\n{(evaluated.folder / 'table.txt').read_text()}")
            print(f"\nreport: {evaluated.folder / 'report.html'}", flush=True)
        raise
    report = finished.artifacts["Evaluator"].folder
    push = json.loads((finished.artifacts["Pusher"].folder / "push.json").read_text())
    print()
    print((report / "table.txt").read_text())
    print(f"\nreport: {report / 'report.html'}")
    print(f"model:  {push['target']}/{push['version']}")
    here = Path(sys.executable).parent  # as one would type it, activated or not
    bin_folder = f"{os.path.relpath(here)}/" if here.is_relative_to(Path.cwd()) else ""
    print(f"curves: {bin_folder}tensorboard --logdir {parsed.runs / config.name}")
    print(f"next:   {bin_folder}python -m serving up {push['target']}")


def _published(parsed: argparse.Namespace) -> dict[str, Artifact | None]:
    """Every component's current artifact; nothing for those that would be run."""
    config: RunConfig = load_config(parsed.config, parsed.set)
    found: dict[str, Artifact] = {}
    state: dict[str, Artifact | None] = {}
    for component in components():
        artifact = None
        if all(name in found for name in component.inputs):
            root, base = parsed.runs / config.name, parsed.config.resolve().parent
            artifact = find(place(component, found, config, root=root, base=base)[0])
        state[component.name] = artifact
        if artifact is not None:
            found[component.name] = artifact
    return state


def _status(parsed: argparse.Namespace) -> None:
    """Say for each component whether it is up to date."""
    for name, artifact in _published(parsed).items():
        if artifact is None:
            print(f"{name:<17} to run")
        else:
            print(f"{name:<17} up to date  {artifact.manifest['seconds']:>7} s  {artifact.folder}")


def _show(parsed: argparse.Namespace) -> None:
    """Print the manifests of the current artifacts, one JSON object a line."""
    for artifact in _published(parsed).values():
        if artifact is not None:
            print(json.dumps({"folder": str(artifact.folder), **artifact.manifest}))


def _compile(parsed: argparse.Namespace) -> None:
    """Write the pipeline as Kubeflow's YAML (extra `kfp`)."""
    if parsed.set or parsed.until:
        raise ConfigError("compile takes no --set and no --until: write it into the configuration")
    try:
        from pipeline.kubeflow import ACCELERATORS, compile_pipeline
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the package {error.name} is missing: pip install 'ssrec-tf[kfp]'"
        ) from error
    wanted = ACCELERATORS[parsed.accelerator]
    compile_pipeline(parsed.config, parsed.output, accelerator=wanted)
    print(f"written: {parsed.output}")


if __name__ == "__main__":
    sys.exit(main())
