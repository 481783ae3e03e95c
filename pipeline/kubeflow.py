"""The same components on Kubeflow Pipelines or Vertex AI (extra `kfp`).

Kubeflow's cache looks at parameters and at where inputs lie, neither at what files hold nor
at our code: so every step is given a fingerprint of the data and one of the code.
"""
# No `from __future__ import annotations`: kfp reads the annotations themselves.

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp import compiler, dsl, local
from kfp.dsl import Artifact, Input, Output

from pipeline.components import components
from pipeline.data import fingerprint, wordings_fingerprint
from pipeline.runner import SOURCES
from ssrec_tf import storage
from ssrec_tf.config import load_config, to_dict
from ssrec_tf.errors import ConfigError

IMAGE = "ssrec-tf:latest"
_TRAINED = ("Pretrainer", "Trainer")
_step = dsl.component(base_image=IMAGE, install_kfp_package=False)


@dataclass(frozen=True)
class Accelerator:
    """What the two training steps ask the cluster for."""

    kind: str
    count: int


ACCELERATORS: Mapping[str, Accelerator | None] = {
    "none": None,
    "gpu": Accelerator("nvidia.com/gpu", 1),
    "tpu": Accelerator("cloud-tpus.google.com/v3", 8),
}


@_step
def example_gen(settings: str, data: str, code: str, output: Output[Artifact]) -> None:
    """Kubeflow's ExampleGen."""
    from pipeline.components import execute

    execute("ExampleGen", settings, {}, output.path)


@_step
def statistics_gen(
    settings: str, data: str, code: str, examples: Input[Artifact], output: Output[Artifact]
) -> None:
    """Kubeflow's StatisticsGen."""
    from pipeline.components import execute

    execute("StatisticsGen", settings, {"ExampleGen": examples.path}, output.path)


@_step
def example_validator(
    settings: str,
    data: str,
    code: str,
    examples: Input[Artifact],
    statistics: Input[Artifact],
    output: Output[Artifact],
) -> None:
    """Kubeflow's ExampleValidator."""
    from pipeline.components import execute

    inputs = {"ExampleGen": examples.path, "StatisticsGen": statistics.path}
    execute("ExampleValidator", settings, inputs, output.path)


@_step
def transform(
    settings: str,
    data: str,
    code: str,
    examples: Input[Artifact],
    anomalies: Input[Artifact],
    output: Output[Artifact],
) -> None:
    """Kubeflow's Transform."""
    from pipeline.components import execute

    inputs = {"ExampleGen": examples.path, "ExampleValidator": anomalies.path}
    execute("Transform", settings, inputs, output.path)


@_step
def pretrainer(
    settings: str,
    data: str,
    code: str,
    examples: Input[Artifact],
    transformed: Input[Artifact],
    output: Output[Artifact],
) -> None:
    """Kubeflow's Pretrainer."""
    from pipeline.components import execute

    inputs = {"ExampleGen": examples.path, "Transform": transformed.path}
    execute("Pretrainer", settings, inputs, output.path)


@_step
def trainer(
    settings: str,
    data: str,
    code: str,
    examples: Input[Artifact],
    transformed: Input[Artifact],
    pretrained: Input[Artifact],
    output: Output[Artifact],
) -> None:
    """Kubeflow's Trainer."""
    from pipeline.components import execute

    inputs = {"ExampleGen": examples.path, "Transform": transformed.path}
    execute("Trainer", settings, {**inputs, "Pretrainer": pretrained.path}, output.path)


@_step
def evaluator(
    settings: str,
    data: str,
    code: str,
    examples: Input[Artifact],
    transformed: Input[Artifact],
    pretrained: Input[Artifact],
    trained: Input[Artifact],
    output: Output[Artifact],
) -> None:
    """Kubeflow's Evaluator."""
    from pipeline.components import execute

    inputs = {"ExampleGen": examples.path, "Transform": transformed.path}
    inputs.update({"Pretrainer": pretrained.path, "Trainer": trained.path})
    execute("Evaluator", settings, inputs, output.path)


@_step
def infra_validator(
    settings: str, data: str, code: str, trained: Input[Artifact], output: Output[Artifact]
) -> None:
    """Kubeflow's InfraValidator."""
    from pipeline.components import execute

    execute("InfraValidator", settings, {"Trainer": trained.path}, output.path)


@_step
def pusher(
    settings: str,
    data: str,
    code: str,
    trained: Input[Artifact],
    evaluation: Input[Artifact],
    infra: Input[Artifact],
    output: Output[Artifact],
) -> None:
    """Kubeflow's Pusher."""
    from pipeline.components import execute

    inputs = {"Trainer": trained.path, "Evaluator": evaluation.path, "InfraValidator": infra.path}
    execute("Pusher", settings, inputs, output.path)


# Component -> its step and, in order, the step's names for what the component reads.
STEPS: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "ExampleGen": (example_gen, ()),
    "StatisticsGen": (statistics_gen, ("examples",)),
    "ExampleValidator": (example_validator, ("examples", "statistics")),
    "Transform": (transform, ("examples", "anomalies")),
    "Pretrainer": (pretrainer, ("examples", "transformed")),
    "Trainer": (trainer, ("examples", "transformed", "pretrained")),
    "Evaluator": (evaluator, ("examples", "transformed", "pretrained", "trained")),
    "InfraValidator": (infra_validator, ("trained",)),
    "Pusher": (pusher, ("trained", "evaluation", "infra")),
}


def build_pipeline(
    path: Path, *, accelerator: Accelerator | None = None, last: str = "Pusher"
) -> Callable[[], Any]:
    """Make the Kubeflow pipeline of a configuration.

    Args:
        path: YAML of a run.
        accelerator: what Pretrainer and Trainer ask for; none for CPUs.
        last: name of the last component.

    Raises:
        ConfigError: `last` is no component.
    """
    if last not in STEPS:
        raise ConfigError(f"no component {last!r}: give one of {', '.join(STEPS)}")
    config = load_config(path)
    base = path.resolve().parent
    settings = json.dumps({"config": to_dict(config), "base": str(base)}, sort_keys=True)
    data = fingerprint(config, base) + wordings_fingerprint(config, base)

    @dsl.pipeline(name=config.name)  # type: ignore[untyped-decorator, unused-ignore]
    def pipeline() -> None:
        outputs: dict[str, Any] = {}
        for component in components():
            step, names = STEPS[component.name]
            code = storage.code_version(SOURCES, component.code)
            inputs = dict(zip(names, (outputs[i] for i in component.inputs), strict=True))
            task = step(settings=settings, data=data, code=code, **inputs)
            task.set_display_name(component.name)
            if component.always:
                task.set_caching_options(False)
            if accelerator is not None and component.name in _TRAINED:
                task.set_accelerator_type(accelerator.kind)
                task.set_accelerator_limit(accelerator.count)
            outputs[component.name] = task.outputs["output"]
            if component.name == last:
                break

    return pipeline  # type: ignore[no-any-return, unused-ignore]


def compile_pipeline(path: Path, output: Path, *, accelerator: Accelerator | None = None) -> None:
    """Write the pipeline of a configuration as Kubeflow's YAML."""
    built = build_pipeline(path, accelerator=accelerator)
    with storage.storage_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        compiler.Compiler().compile(built, str(output))


def run_locally(path: Path, root: Path, *, last: str = "Pusher") -> Any:
    """Run the Kubeflow steps as processes of this machine and this environment."""
    built = build_pipeline(path, last=last)
    runner = local.SubprocessRunner(use_venv=False)
    local.init(runner=runner, pipeline_root=str(root), enable_caching=True)
    return built()
