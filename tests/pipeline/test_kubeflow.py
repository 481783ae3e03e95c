"""The same components as Kubeflow's: compiled whole, and run as processes."""

import os
from pathlib import Path

import pytest
import yaml

pytest.importorskip("kfp", reason="the extra `kfp` is not installed")

from pipeline import kubeflow
from pipeline.components import components
from ssrec_tf import table_folder
from ssrec_tf.errors import ConfigError


def compiled(path, accelerator):
    output = path.parent / "out" / "pipeline.yaml"
    wanted = kubeflow.ACCELERATORS[accelerator]
    kubeflow.compile_pipeline(path, output, accelerator=wanted)
    return next(yaml.safe_load_all(output.read_text()))


def tasks(spec):
    return {task["taskInfo"]["name"]: task for task in spec["root"]["dag"]["tasks"].values()}


def test_the_yaml_holds_every_component_behind_the_ones_it_reads(small_run):
    found = tasks(compiled(small_run, "none"))
    keys = {task["componentRef"]["name"][len("comp-") :]: name for name, task in found.items()}
    assert set(found) == {component.name for component in components()}
    for component in components():
        behind = found[component.name].get("dependentTasks", [])
        assert {keys[key] for key in behind} == set(component.inputs)
    assert found["Pusher"].get("cachingOptions", {}) == {}
    assert found["Trainer"]["cachingOptions"]["enableCache"] is True


@pytest.mark.parametrize(
    ("asked", "kind", "count"),
    [("gpu", "nvidia.com/gpu", "1"), ("tpu", "cloud-tpus.google.com/v3", "8")],
)
def test_only_training_asks_for_accelerators(small_run, asked, kind, count):
    executors = compiled(small_run, asked)["deploymentSpec"]["executors"]
    found = {}
    for name, executor in executors.items():
        resources = executor["container"].get("resources", {})
        if "accelerator" in resources:
            found[name] = resources["accelerator"]
    assert set(found) == {"exec-pretrainer", "exec-trainer"}
    for wanted in found.values():
        assert wanted["resourceType"] == kind
        assert wanted["resourceCount"] == count


def test_a_changed_file_changes_the_parameters(small_run):
    def parameter():
        inputs = tasks(compiled(small_run, "none"))["ExampleGen"]["inputs"]["parameters"]
        return inputs["data"]["runtimeValue"]["constant"], inputs["code"]["runtimeValue"][
            "constant"
        ]

    before = parameter()
    with (small_run.parent / "log.csv").open("a") as file:
        file.write("u1,f1,5,99999\n")
    after = parameter()
    assert before[0] != after[0]
    assert before[1] == after[1]
    assert len(before[1]) == 64


def test_an_unknown_last_component_is_named(small_run):
    with pytest.raises(ConfigError, match="'Pushr'"):
        kubeflow.build_pipeline(small_run, last="Pushr")


@pytest.mark.slow
def test_a_local_run_gives_what_the_executors_give(small_run, tmp_path, monkeypatch):
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    kubeflow.run_locally(small_run, tmp_path / "kfp", last="ExampleValidator")
    saved = [path.parent for path in (tmp_path / "kfp").rglob("tables.json")]
    assert len(saved) == 1
    tables, split = table_folder.load(saved[0])
    assert len(tables.interactions) == 600
    assert len(split.train) == 480
    for name in ("statistics.json", "anomalies.json"):
        assert len(list((tmp_path / "kfp").rglob(name))) == 1


@pytest.mark.slow
def test_a_local_rerun_is_cached_until_a_file_changes(small_run, tmp_path, monkeypatch):
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    sizes = []
    for rows in ("", "", "u1,f1,5,99999\n"):
        with (small_run.parent / "log.csv").open("a") as file:
            file.write(rows)
        kubeflow.run_locally(small_run, tmp_path / "kfp", last="ExampleGen")
        found = {
            path
            for path in (tmp_path / "kfp").rglob("tables.json")
            if ".kfp_cache" not in str(path)
        }
        sizes.append(sorted(len(table_folder.load(path.parent)[0].interactions) for path in found))
    assert sizes == [[600], [600], [600, 601]]
