"""`python -m benchmarks`: run every benchmark that is out of date, then write the page."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.command import RESULTS
from benchmarks.machine import machine_card
from benchmarks.measuring import ROOT
from benchmarks.page import read_results, write_page
from benchmarks.results import code_of, load


def names() -> list[str]:
    """All benchmarks, by the names of their modules."""
    return sorted(
        path.stem.removeprefix("bench_") for path in (ROOT / "benchmarks").glob("bench_*.py")
    )


def is_current(name: str, folder: Path, *, quick: bool) -> bool:
    """Whether a result is there, of this code, on such a machine, of these sizes."""
    path = folder / f"{name}.json"
    if not path.exists():
        return False
    stored, machine = load(path), machine_card()
    same = all(stored.machine.get(key) == machine[key] for key in ("cpu", "cores"))
    return same and stored.code == code_of(name) and stored.quick == quick


def run(wanted: list[str], folder: Path, *, quick: bool, force: bool) -> list[str]:
    """Run benchmarks one after another, each in its own process; give those that failed."""
    failed = []
    for name in wanted:
        if not force and is_current(name, folder, quick=quick):
            print(f"{name}: measured already; name it by ONLY={name} to measure it again")
            continue
        print(f"{name}: measuring", flush=True)
        options = ["--results", str(folder.resolve()), *(["--quick"] if quick else [])]
        command = [sys.executable, "-m", f"benchmarks.bench_{name}", *options]
        if subprocess.run(command, cwd=ROOT).returncode:
            failed.append(name)
    return failed


def main() -> int:
    """Parse, run, write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", help="names with commas; measured again")
    parser.add_argument("--quick", action="store_true", help="small sizes, for a test of the code")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md")
    parser.add_argument("--page-only", action="store_true", help="measure nothing")
    parsed = parser.parse_args()
    wanted = [name for name in parsed.only.replace(",", " ").split() if name]
    unknown = sorted(set(wanted) - set(names()))
    if unknown:
        print(f"error: no benchmark {unknown[0]!r}: give {', '.join(names())}", file=sys.stderr)
        return 2
    failed = []
    if not parsed.page_only:
        failed = run(wanted or names(), parsed.results, quick=parsed.quick, force=bool(wanted))
    write_page(parsed.page, read_results(parsed.results))
    print(f"page: {parsed.page}")
    if failed:
        print(f"error: failed: {', '.join(failed)}; see above", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
