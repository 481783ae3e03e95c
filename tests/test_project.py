"""The repository itself: layout, locks, directions of imports, what no file may hold."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted(path.name for path in ROOT.glob("requirements*.txt"))
LAYOUT = {"ssrec_tf", "pipeline", "serving", "tests", "notebooks", "configs", "docs", "benchmarks"}
FILES = {"pyproject.toml", "README.md", "Makefile", "CONTRIBUTING.md", "LICENSE", *LOCKS}
LONGEST = 320
# Written in two halves, or this file would hold what it looks for.
INDEX_HOSTS = [
    "py" + "pi.org",
    "python" + "hosted.org",
    "registry.npm" + "js",
    "conda." + "anaconda",
]
MACHINE_PATHS = [
    r"/ro" + r"ot/",
    r"/wo" + r"rk/",
    r"/ho" + r"me/\w",
    r"/Us" + r"ers/\w",
    "file:" + "//",
]


def files():
    """Every file git tracks, or would track: build outputs and caches are not the project."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def pins(name):
    """The lock's blocks: a requirement and the lines that continue it."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def found(pattern):
    """`file:line` of every match in the repository's texts."""
    places = []
    for path in files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(pattern, line):
                places.append(f"{path.relative_to(ROOT)}:{number}")
    return places


def test_no_file_names_a_package_index():
    assert found("|".join(map(re.escape, INDEX_HOSTS))) == []


def test_no_file_holds_a_path_of_one_machine():
    assert found(rf"(?<![\w.])(?:{'|'.join(MACHINE_PATHS)})") == []


def test_the_search_itself_finds_what_is_there():
    here = Path(__file__).relative_to(ROOT).as_posix()
    assert any(place.startswith(here) for place in found("test_the_search_itself"))


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_is_exact_and_hashed(name):
    pin = re.compile(
        r"[a-z0-9][a-z0-9._-]*==[\w.+!]+(?: ; [^#\n]+?)?(?:\s+--hash=sha256:[0-9a-f]{64})+\s*"
    )
    assert pins(name)
    assert [line for line in pins(name) if not pin.fullmatch(line)] == []


@pytest.mark.parametrize("name", LOCKS)
def test_no_lock_names_a_place_or_torch(name):
    text = (ROOT / name).read_text()
    assert not re.search(r"[a-z]+://| @ |--\S*(?:index|links|host)", text)
    assert not re.search(r"^(?:torch|nvidia|triton)\b", text, re.MULTILINE)


def test_the_dev_lock_holds_every_pin_of_the_run_lock():
    run = {line.split(" --hash")[0].strip() for line in pins("requirements.txt")}
    dev = {line.split(" --hash")[0].strip() for line in pins("requirements-dev.txt")}
    assert run <= dev


@pytest.mark.parametrize(
    ("package", "locked"),
    [
        ("tensorflow", "2.21."),
        ("keras", "3.15."),
        ("keras-hub", "0.32."),
        ("keras-nlp", "0.32."),
        ("transformers", "5."),
        ("tensorflow-recommenders", "0.7.7"),
        ("tensorflow-serving-api", "2.21."),
        ("pandas", "3."),
    ],
)
def test_the_stack_is_locked_and_installed(package, locked):
    assert [line for line in pins("requirements.txt") if line.startswith(f"{package}=={locked}")]
    assert version(package).startswith(locked)


def test_layout():
    tracked = [path.relative_to(ROOT) for path in files()]
    top = {path.parts[0] for path in tracked}
    folders = {path.parts[0] for path in tracked if len(path.parts) > 1}
    assert {name for name in folders if not name.startswith(".")} == LAYOUT
    assert {name for name in top - folders if not name.startswith(".")} - {"NOTICE"} == FILES
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_tests_mirror_the_code():
    strays = []
    for package in ("ssrec_tf", "pipeline", "serving"):
        for path in (ROOT / "tests" / package).rglob("test_*.py"):
            code = ROOT / path.relative_to(ROOT / "tests").with_name(path.name[len("test_") :])
            if path.name == "test_main.py":
                code = code.with_name("__main__.py")
            if not code.exists() and not code.with_suffix("").is_dir():
                strays.append(path.relative_to(ROOT).as_posix())
    assert strays == []


def test_every_source_file_is_short():
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines())
        for path in files()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] != "tests"
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_notebooks_only_run_commands():
    import nbformat

    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                assert not re.search(
                    r"^\s*(?:import|from|def|class|for|while)\b", cell.source, re.M
                )
                assert cell.outputs == []


def lint_imports(folder):
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=120
    )


def test_imports_point_one_way():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("ssrec_tf.errors", "ssrec_tf.config"),
        ("ssrec_tf.splits", "ssrec_tf.training"),
        ("ssrec_tf.cli", "pipeline"),
        ("serving.wrong", "ssrec_tf"),
        ("serving.wrong", "pipeline"),
    ],
)
def test_the_contracts_catch_a_wrong_import(tmp_path, importer, imported):
    for package in ("ssrec_tf", "pipeline", "serving"):
        shutil.copytree(ROOT / package, tmp_path / package)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / (importer.replace(".", "/") + ".py")).open("a") as module:
        module.write(f"\nimport {imported}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert f"{importer} -> {imported}" in done.stdout
