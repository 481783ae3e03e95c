"""`ssrec`: the library's steps from a shell.

Exit codes: 0 done, 1 a quality gate said no, 2 bad input, 3 a fault of ours.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ssrec_tf.errors import InputError, SsrecError

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors are one line on stderr."""
    parsed = _parser().parse_args(arguments)
    parsed.words = sys.argv[1:] if arguments is None else arguments
    command: Callable[[argparse.Namespace], None] = parsed.command
    return guarded(lambda: command(parsed))


def guarded(command: Callable[[], None]) -> int:
    """Run `command` and turn what it raises into a line and an exit code."""
    try:
        command()
    except SsrecError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except Exception as error:  # a fault of ours: keep the trace, show a line
        if "No space left on device" in str(error):  # TensorFlow's writers have errors of their own
            print(f"error: the disk is full: free some space; {error}", file=sys.stderr)
            return InputError.exit_code
        with tempfile.NamedTemporaryFile("w", prefix="ssrec-", suffix=".log", delete=False) as log:
            traceback.print_exc(file=log)
        print(f"fault: {type(error).__name__}: {error}; trace in {log.name}", file=sys.stderr)
        return SsrecError.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("ssrec", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    data = commands.add_parser("data", help="read and validate data, print what is there")
    data.add_argument("config", type=Path, help="YAML of a run")
    data.add_argument("--rejects", type=Path, help="where rejected rows are written")
    data.set_defaults(command=_data)
    compare = commands.add_parser("bench", help="models side by side on one split")
    compare.add_argument("config", type=Path, help="YAML of a run")
    compare.add_argument("--models", default="ssrec_tf,bias", help="names, with commas between")
    compare.add_argument("--part", choices=["valid", "test"], default="valid")
    compare.add_argument("--seeds", type=int, default=1, help="trainings of this project's model")
    compare.add_argument(
        "--tune", type=int, default=0, metavar="N", help="trials a model, on valid"
    )
    compare.add_argument("--against", help="a model to subtract, in pairs of resamples")
    compare.add_argument("--out", type=Path, default=Path("bench"), help="where all of it lies")
    compare.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    compare.add_argument("--splits", help="kinds or kind=other.yaml, with commas between")
    compare.add_argument(
        "--variants", type=Path, metavar="YAML", help="names, and the keys each sets otherwise"
    )
    compare.add_argument("--page", type=Path, help="Markdown of all splits, written whole")
    compare.set_defaults(command=_bench)
    _add_ablate(commands)
    for name, help_text in (
        ("score", "score item texts for a behaviour"),
        ("recommend", "recommend from the catalogue for a behaviour"),
    ):
        command = commands.add_parser(name, help=help_text)
        command.add_argument("model", type=Path, help="a SavedModel, served/ssrec/<version>")
        command.add_argument("--behaviour", required=True, help="lines; read from - for stdin")
        command.set_defaults(command=_score if name == "score" else _recommend)
        if name == "score":
            command.add_argument("items", nargs="+", help="item texts")
        else:
            command.add_argument("-k", type=int, default=10, help="how many")
    return parser


def _add_ablate(commands: Any) -> None:
    ablate = commands.add_parser("ablate", help="what each way of pretraining adds, and when")
    ablate.add_argument("config", type=Path, help="YAML of a run")
    ablate.add_argument("--objectives", default="none,masked_token", help="mixed, or names")
    ablate.add_argument("--splits", default="random", help="kinds, with commas between")
    ablate.add_argument("--shares", default="1", help="of train labels, with commas between")
    ablate.add_argument("--controls", default="", help="scrambled_titles, shuffled_history")
    ablate.add_argument("--part", choices=["valid", "test"], default="valid")
    ablate.add_argument("--seeds", type=int, default=1, help="trainings of every cell")
    ablate.add_argument("--out", type=Path, default=Path("ablation"), help="where all of it lies")
    ablate.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    ablate.set_defaults(command=_ablate)


def _data(parsed: argparse.Namespace) -> None:
    from ssrec_tf.config import load_config
    from ssrec_tf.datasets import load_data
    from ssrec_tf.splits import make_split

    config = load_config(parsed.config)
    tables = load_data(config.data, base=parsed.config.parent, rejects=parsed.rejects)
    split = make_split(tables, config.split)
    print(f"{tables.name}: {len(tables.interactions):,} interactions, {len(tables.users):,} users")
    print(f"{len(tables.items):,} items; attributes: {', '.join(tables.items.columns) or 'none'}")
    sizes = ", ".join(f"{n} {len(getattr(split, n)):,}" for n in ("train", "valid", "test"))
    print(f"split {split.kind} {split.digest[:16]}: {sizes}")


def _bench(parsed: argparse.Namespace) -> None:
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    if parsed.splits or parsed.page:
        _bench_splits(parsed)
        return
    from ssrec_tf.bench import bench, differences, spread
    from ssrec_tf.config import load_config

    config = load_config(parsed.config, parsed.set)
    folder = parsed.out / config.name / parsed.part
    report = bench(
        config,
        base=parsed.config.resolve().parent,
        **_bench_options(parsed, config, folder),
    )
    print(report.table())
    for line in spread(report) + (differences(report, parsed.against) if parsed.against else []):
        print(line)
    print(f"\nreport: {folder / 'report.html'}")


def _bench_splits(parsed: argparse.Namespace) -> None:
    from ssrec_tf.bench_page import bench_splits, split_configs, write_page
    from ssrec_tf.config import load_config

    config = load_config(parsed.config, parsed.set)
    folder = parsed.out / config.name / parsed.part
    kinds = parsed.splits.split(",") if parsed.splits else [config.split.kind]
    results = bench_splits(
        split_configs(parsed.config, kinds, parsed.set),
        **_bench_options(parsed, config, folder),
        against=parsed.against,
    )
    command = shlex.join(["ssrec", *parsed.words])
    for path in filter(None, (folder / "benchmarks.md", parsed.page)):
        write_page(path, results, command=command, against=parsed.against)
        print(f"page: {path}")


def _bench_options(parsed: argparse.Namespace, config: Any, folder: Path) -> dict[str, Any]:
    """What one split and several are benched with alike."""
    from ssrec_tf.bench_variants import read_variants

    first = config.train.loop.seed
    return {
        "folder": folder,
        "models": parsed.models.split(","),
        "variants": read_variants(parsed.variants) if parsed.variants else {},
        "part": parsed.part,
        "seeds": range(first, first + parsed.seeds),
        "trials": parsed.tune,
        "tuned_in": folder.parent / "tuning",
    }


def _ablate(parsed: argparse.Namespace) -> None:
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    from ssrec_tf.ablation import ablate, plan
    from ssrec_tf.ablation_page import write_ablation
    from ssrec_tf.config import load_config

    config = load_config(parsed.config, parsed.set)
    cells = plan(
        objectives=parsed.objectives.split(","),
        splits=parsed.splits.split(","),
        shares=parsed.shares.split(","),
        controls=parsed.controls.split(",") if parsed.controls else [],
        seeds=range(config.train.loop.seed, config.train.loop.seed + parsed.seeds),
    )
    base = parsed.config.resolve().parent
    reports = ablate(config, cells, base=base, folder=parsed.out, part=parsed.part)
    page = write_ablation(parsed.out, reports, command=shlex.join(["ssrec", *parsed.words]))
    print(f"page: {page}")


def _behaviour(parsed: argparse.Namespace) -> str:
    text = sys.stdin.read() if parsed.behaviour == "-" else parsed.behaviour
    return str(text).replace("\\n", "\n")


def _score(parsed: argparse.Namespace) -> None:
    signature = _load(parsed.model)["serving_default"]
    import tensorflow as tf

    count = len(parsed.items)
    out = signature(
        behaviour=tf.constant([_behaviour(parsed)] * count), item=tf.constant(parsed.items)
    )
    for i, item in enumerate(parsed.items):
        row = {name: round(float(value[i]), 4) for name, value in out.items()}
        print(json.dumps({"item": item, **row}, ensure_ascii=False))


def _recommend(parsed: argparse.Namespace) -> None:
    signatures = _load(parsed.model)
    import tensorflow as tf

    out = signatures["recommend"](
        behaviour=tf.constant([_behaviour(parsed)]), k=tf.constant([parsed.k])
    )
    for item, score in zip(out["items"][0].numpy(), out["scores"][0].numpy(), strict=True):
        print(json.dumps({"item": item.decode(), "score": round(float(score), 4)}))


def _load(folder: Path):  # type: ignore[no-untyped-def]
    from ssrec_tf.errors import DataError

    if not (folder / "saved_model.pb").exists():
        raise DataError(f"{folder} holds no saved_model.pb; give a folder served/ssrec/<version>")
    import tensorflow as tf

    model = tf.saved_model.load(str(folder))
    signatures = model.signatures
    signatures["serving_default"]._keep = model  # the variables live as long as their owner
    return signatures


if __name__ == "__main__":
    sys.exit(main())
