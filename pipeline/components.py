"""The pipeline: TFX's components in order, what each reads and what it depends on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import data, evaluating, modelling, publishing
from pipeline.runner import Component, Context
from ssrec_tf.config import RunConfig, from_dict, to_dict

_TABLES = (
    "pipeline/data.py",
    "ssrec_tf/personal_data.py",
    "ssrec_tf/table*.py",
    "ssrec_tf/datasets.py",
    "ssrec_tf/wheels.py",
    "ssrec_tf/splits.py",
    "ssrec_tf/leakage.py",
    "ssrec_tf/config*.py",
)
_TEXT = (
    "ssrec_tf/published.py",
    "ssrec_tf/text_table.py",
    "ssrec_tf/rendering.py",
    "ssrec_tf/rewording.py",
    "ssrec_tf/personal_data.py",
    "ssrec_tf/vocabulary.py",
    "ssrec_tf/characters.py",
    "ssrec_tf/tokenization.py",
    "ssrec_tf/examples.py",
)
_ENCODER = (
    "pipeline/modelling.py",
    "ssrec_tf/batching.py",
    "ssrec_tf/philox.py",
    "ssrec_tf/masking.py",
    "ssrec_tf/sequences.py",
    "ssrec_tf/backbones.py",
    "ssrec_tf/xlnet.py",
    "ssrec_tf/encoders.py",
    "ssrec_tf/encoder_tuning.py",
    "ssrec_tf/augmentation.py",
    "ssrec_tf/adversarial.py",
    "ssrec_tf/objectives/*.py",
    "ssrec_tf/optimizers.py",
    "ssrec_tf/precision.py",
    "ssrec_tf/replicas.py",
    "ssrec_tf/train_state.py",
    "ssrec_tf/training.py",
    "ssrec_tf/learning.py",
    "ssrec_tf/weights.py",
    "ssrec_tf/tensorboard.py",
)
_HEADS = (
    "ssrec_tf/recommenders/*.py",
    "ssrec_tf/balancing.py",
    "ssrec_tf/biases.py",
    "ssrec_tf/cooccurrence.py",
    "ssrec_tf/popularity.py",
    "ssrec_tf/settling.py",
    "ssrec_tf/ensembling.py",
    "ssrec_tf/distillation.py",
    "ssrec_tf/statistics.py",
    "ssrec_tf/scoring.py",
    "ssrec_tf/serving_graph.py",
    "ssrec_tf/warmup.py",
    "ssrec_tf/serving_assets.py",
    "ssrec_tf/retrieval_index.py",
    "ssrec_tf/exporting.py",
    "ssrec_tf/score_saved_model.py",
)
_EVALUATION = (
    "pipeline/evaluating.py",
    "ssrec_tf/evaluation*.py",
    "ssrec_tf/figures.py",
    "ssrec_tf/measuring.py",
    "ssrec_tf/gate.py",
    "ssrec_tf/*metrics.py",
    "ssrec_tf/bootstrap.py",
    "ssrec_tf/protocol.py",
    "ssrec_tf/report*.py",
    "ssrec_tf/baselines/*.py",
    "ssrec_tf/search_space.py",
)


def components() -> tuple[Component, ...]:
    """All components, each behind the ones it reads."""
    return (
        Component(
            "ExampleGen",
            data.example_gen,
            settings=_share("data", "split", "text.mask_personal_data"),
            code=_TABLES,
            outside=data.fingerprint,
        ),
        Component("StatisticsGen", data.statistics_gen, ("ExampleGen",), code=_TABLES),
        Component(
            "ExampleValidator",
            data.example_validator,
            ("ExampleGen", "StatisticsGen"),
            code=_TABLES,
        ),
        Component(
            "Transform",
            data.transform,
            ("ExampleGen", "ExampleValidator"),
            settings=_share("text", "train.max_targets"),
            code=(*_TABLES, *_TEXT),
            outside=data.wordings_fingerprint,
        ),
        Component(
            "Pretrainer",
            modelling.pretrainer,
            ("ExampleGen", "Transform"),
            settings=_share("encoder", "pretrain"),
            code=_ENCODER,
        ),
        Component(
            "Trainer",
            modelling.trainer,
            ("ExampleGen", "Transform", "Pretrainer"),
            settings=_share("name", "encoder", "pretrain.loop.seed", "train"),
            # The SavedModel holds the renderer's and the tokenizer's graph.
            code=(*_TEXT, *_ENCODER, *_HEADS),
        ),
        Component(
            "Evaluator",
            evaluating.evaluator,
            ("ExampleGen", "Transform", "Pretrainer", "Trainer"),
            settings=_share("encoder", "pretrain.loop.seed", "train", "evaluate"),
            code=(*_TEXT, *_ENCODER, *_HEADS, *_EVALUATION),
        ),
        Component(
            "InfraValidator",
            publishing.infra_validator,
            ("Trainer",),
            code=("pipeline/publishing.py", "serving/*.py"),
        ),
        Component(
            "Pusher",
            publishing.pusher,
            ("Trainer", "Evaluator", "InfraValidator"),
            settings=_share("serve"),
            code=("pipeline/publishing.py",),
            always=True,
        ),
    )


def execute(name: str, settings: str, inputs: Mapping[str, str], output: str) -> None:
    """Run one executor for another orchestrator.

    Args:
        name: of the component.
        settings: JSON with `config`, the configuration as `to_dict` gives it, and `base`,
            the folder its relative paths start from.
        inputs: folders by component.
        output: the folder to make and fill.
    """
    given = json.loads(settings)
    component = next(each for each in components() if each.name == name)
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    work = folder.parent / f"work-{folder.name}"
    work.mkdir(exist_ok=True)
    folders = {key: Path(path) for key, path in inputs.items()}
    config, base = from_dict(given["config"]), Path(given["base"])
    component.executor(Context(config, folders, folder, work, base))


def _share(*keys: str) -> Any:
    """Pick dotted keys of a configuration, as plain values."""

    def pick(config: RunConfig) -> dict[str, Any]:
        picked: dict[str, Any] = {}
        for key in keys:
            value: Any = to_dict(config)
            for part in key.split("."):
                value = value[part]
            picked[key] = value
        return picked

    return pick
