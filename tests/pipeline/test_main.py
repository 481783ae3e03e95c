"""The command line: what it says and which code it returns."""

import json
from dataclasses import replace

import pytest

from pipeline import __main__ as command
from pipeline.components import components, execute
from pipeline.runner import SOURCES
from ssrec_tf.config import load_config, to_dict
from ssrec_tf.errors import GateError


def fake_components(blessed):
    """The real chain with executors that write only what the command line reads."""

    def executor(context):
        (context.output / "table.txt").write_text("rmse 0.9")
        (context.output / "push.json").write_text(json.dumps({"target": "served/x", "version": 3}))

    def refuse(context):
        raise GateError("not pushed: rmse 0.9 is over 0.8")

    chain = [replace(each, executor=executor) for each in components()]
    if not blessed:
        chain[-1] = replace(chain[-1], executor=refuse)
    return lambda: tuple(chain)


@pytest.fixture
def runs(tmp_path):
    return ["--runs", str(tmp_path / "runs")]


def test_run_ends_with_the_table_the_report_and_the_next_command(
    small_run, runs, monkeypatch, capsys
):
    monkeypatch.setattr(command, "components", fake_components(blessed=True))
    assert command.main(["run", str(small_run), *runs]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "rmse 0.9" in lines
    assert lines[-1].startswith("next: ")
    assert lines[-1].endswith("python -m serving up served/x")
    assert any(line.startswith("report: ") and line.endswith("report.html") for line in lines)
    assert command.main(["status", str(small_run), *runs]) == 0
    assert capsys.readouterr().out.count("up to date") == 9
    assert command.main(["show", str(small_run), *runs]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["component"] for each in shown] == [each.name for each in components()]


def test_a_key_is_set_and_a_run_ends_early(small_run, runs, monkeypatch, capsys):
    monkeypatch.setattr(command, "components", fake_components(blessed=True))
    assert command.main(["run", str(small_run), *runs, "--until", "Trainer"]) == 0
    assert command.main(["status", str(small_run), *runs]) == 0
    assert capsys.readouterr().out.count("up to date") == 6
    change = ["--set", "train.width=32"]
    assert command.main(["status", str(small_run), *runs, *change]) == 0
    assert capsys.readouterr().out.count("up to date") == 5  # the Trainer and what follows
    assert command.main(["run", str(small_run), *runs, "--set", "train.widht=32"]) == 2
    assert "unknown key train.widht" in capsys.readouterr().err
    assert command.main(["compile", str(small_run), *change]) == 2
    assert "compile takes no --set" in capsys.readouterr().err


def test_a_model_that_is_not_blessed_shows_its_figures_and_returns_1(
    small_run, runs, monkeypatch, capsys
):
    monkeypatch.setattr(command, "components", fake_components(blessed=False))
    assert command.main(["run", str(small_run), *runs]) == 1
    said = capsys.readouterr()
    assert "rmse 0.9" in said.out
    assert said.err == "error: not pushed: rmse 0.9 is over 0.8\n"


def test_status_before_a_run(small_run, runs, capsys):
    assert command.main(["status", str(small_run), *runs]) == 0
    assert capsys.readouterr().out.count("to run") == 9
    assert command.main(["show", str(small_run), *runs]) == 0
    assert capsys.readouterr().out == ""


def test_bad_input_is_one_line_and_2(small_run, runs, capsys):
    small_run.write_text(small_run.read_text().replace("split:", "splitt:"))
    assert command.main(["run", str(small_run), *runs]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "splitt" in said


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt(), 130), (ValueError("x"), 3)])
def test_an_interruption_and_a_fault_are_one_line(
    small_run, runs, monkeypatch, capsys, raised, code
):
    def stop(*given, **named):
        raise raised

    monkeypatch.setattr(command, "run", stop)
    assert command.main(["run", str(small_run), *runs]) == code
    assert capsys.readouterr().err.count("\n") == 1


def test_execute_runs_one_component_for_another_orchestrator(small_run, tmp_path):
    body = {"config": to_dict(load_config(small_run)), "base": str(small_run.parent)}
    execute("ExampleGen", json.dumps(body), {}, str(tmp_path / "deep" / "output"))
    assert (tmp_path / "deep" / "output" / "tables.json").exists()


def test_every_module_of_the_library_counts_for_some_component():
    """A module no pattern names could change without anything being run again."""
    named = {path for each in components() for glob in each.code for path in SOURCES.glob(glob)}
    # Ways to say and to store things, not what is said; and what no component runs.
    plumbing = {"__init__", "cli", "errors", "storage"}
    plumbing |= {"bench", "bench_models", "bench_page", "bench_results", "bench_tuning"}
    plumbing |= {"bench_variants", "nearest"}
    plumbing |= {"ablation", "ablation_page"}
    missing = {
        path.relative_to(SOURCES).as_posix()
        for path in (SOURCES / "ssrec_tf").rglob("*.py")
        if path not in named and path.stem not in plumbing
    }
    assert missing == set()
