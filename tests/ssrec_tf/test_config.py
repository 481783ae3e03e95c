"""YAML in, dataclasses out; every fault is one line that names the key and the remedy."""

from dataclasses import replace

import pytest
import yaml

from ssrec_tf.config import (
    DataConfig,
    LoopConfig,
    OptimizerConfig,
    RunConfig,
    TableConfig,
    from_dict,
    load_config,
    to_dict,
)
from ssrec_tf.config_objectives import TaskConfig
from ssrec_tf.errors import ConfigError, StorageError

FULL = """
name: mine
data:
  interactions:
    path: log.csv
    columns: {user: u, item: i, rating: stars}
  items:
    - path: a.jsonl
      columns: {item: id, title: name, tags: tags}
      kinds: {tags: category}
    - path: b.parquet
      columns: {item: id}
  rating_scale: [0.5, 5]
split: {kind: time, valid: 0.2}
pretrain:
  loop: {steps: 5}
  optimizer: {learning_rate: 1e-3}
  objectives: {masked_token: 1, next_text: 0.5}
  tasks: {temperature: 0.2}
text:
evaluate:
  thresholds: {rmse: 1}
"""


def write(tmp_path, text: str):
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_full_file_becomes_nested_dataclasses(tmp_path):
    config = load_config(write(tmp_path, FULL))
    assert config.name == "mine"
    assert config.data.interactions == TableConfig(
        "log.csv", {"user": "u", "item": "i", "rating": "stars"}
    )
    assert [table.path for table in config.data.items] == ["a.jsonl", "b.parquet"]
    assert config.data.items[0].kinds == {"tags": "category"}
    assert config.data.rating_scale == (0.5, 5.0)
    assert isinstance(config.data.rating_scale[1], float)
    assert (config.split.kind, config.split.valid, config.split.test) == ("time", 0.2, 0.1)
    assert config.pretrain.loop == LoopConfig(steps=5)
    assert config.pretrain.optimizer.learning_rate == 0.001
    assert config.pretrain.objectives == {"masked_token": 1.0, "next_text": 0.5}
    assert config.pretrain.tasks == TaskConfig(temperature=0.2)
    assert config.text.vocabulary_size == 8000
    assert config.evaluate.thresholds == {"rmse": 1.0}


def test_round_trip_through_yaml(tmp_path):
    config = load_config(write(tmp_path, FULL))
    again = load_config(write(tmp_path, yaml.safe_dump(to_dict(config))))
    assert again == config
    assert from_dict(to_dict(RunConfig("x", DataConfig("d")))) == RunConfig("x", DataConfig("d"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("splits: {}", "unknown key splits: did you mean split?"),
        ("split: {sed: 1}", "unknown key split.sed: did you mean split.seed?"),
        (
            "pretrain: {learning_rate: 1}",
            "unknown key pretrain.learning_rate: did you mean pretrain.optimizer.learning_rate?",
        ),
        ("mask_rat: 1", "unknown key mask_rat: did you mean pretrain.mask_rate?"),
        ("serve: {zzzz: 1}", "unknown key serve.zzzz: known here are push_to"),
        ("serve: {true: 1}", "unknown key serve.True: known here are push_to"),
        ("encoder: {steps: 5}", "unknown key encoder.steps: did you mean train.loop.steps?"),
        ("split: {seed: 1.5}", "split.seed is 1.5: give a whole number"),
        ("split: {seed: true}", "split.seed is True: give a whole number"),
        ("split: {valid: lots}", "split.valid is 'lots': give a number"),
        ("split: {valid: true}", "split.valid is True: give a number"),
        ("split: {valid: .nan}", "split.valid is nan: give a number"),
        ("text: {lowercase: 1}", "text.lowercase is 1: give true or false"),
        ("text: {item_template: no}", "text.item_template is False: give a text; put it in"),
        ("text: {item_template: }", "text.item_template is None: give a text"),
        ("text: {stop_words: the}", "text.stop_words is 'the': give a list"),
        ("text: {stop_words: [the, 7]}", "text.stop_words[1] is 7: give a text; put it in quotes"),
        ("text: 5", "text is 5: give keys and values, such as `item_template: ...`"),
        ("evaluate: {thresholds: 5}", "evaluate.thresholds is 5: give keys and values"),
        ("evaluate: {thresholds: {rmse: x}}", "evaluate.thresholds.rmse is 'x': give a number"),
        ("evaluate: {thresholds: {1: 2}}", "evaluate.thresholds has the key 1: put it in quotes"),
        ("split: {kind: randm}", "split.kind is 'randm': give one of random, time, time_stream"),
        ("encoder: {size: huge}", "encoder.size is 'huge': give one of tiny, mini, small, base"),
        ("encoder: {architecture: t5}", "encoder.architecture is 't5': give one of bert, distil"),
        (
            "encoder: {architecture: gpt2}",
            "encoder.architecture is 'gpt2', which sees only what stands before a gap: "
            "pretrain.objectives.masked_token needs another",
        ),
        (
            "pretrain: {objectives: {permutation: 1}}",
            "encoder.architecture is 'bert': pretrain.objectives.permutation needs xlnet",
        ),
        (
            "encoder: {architecture: roberta, huggingface: f}",
            "encoder.huggingface='f' is read as a BERT, but encoder.architecture is 'roberta'",
        ),
        ("encoder: {huggingface: f, preset: p}", "are both given: leave one out"),
        ("text: {huggingface: f, preset: p}", "text.huggingface and text.preset are both given"),
        ("split: {valid: 1.5}", "split.valid is 1.5: give a number from 0 to 1"),
        (
            "train: {loop: {steps: 0}}",
            "train.loop.steps is 0: give a number of at least 1",
        ),
        (
            "pretrain: {objectives: {masked_word: 1}}",
            "pretrain.objectives.masked_word is no objective: give some of masked_token",
        ),
        (
            "pretrain: {objectives_end: {completion: 1}}",
            "pretrain.objectives_end.completion: give it a weight in pretrain.objectives too",
        ),
        (
            "pretrain: {tasks: {item_loss: bce}}",
            "pretrain.tasks.item_loss is 'bce': give one of softmax, sampled_softmax, gbce",
        ),
        ("split: {valid: 0.5, test: 0.5}", "leave nothing to train on: their sum must be under 1"),
        ("split: {seed: 1, seed: 2}", "the key 'seed' is given twice"),
    ],
)
def test_faults_are_one_line_with_key_value_and_remedy(tmp_path, text, message):
    path = write(tmp_path, f"name: x\ndata: {{dataset: d}}\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_an_encoder_left_as_it_is_needs_no_objective(tmp_path):
    text = "name: x\ndata: {dataset: d}\nencoder: {architecture: gpt2}\n"
    config = load_config(write(tmp_path, text + "pretrain: {loop: {steps: 0}}\n"))
    assert config.encoder.architecture == "gpt2"


TABLE = "{path: p, columns: {user: u, item: i, title: t}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{dataset: d, items: 5}", "data.items is 5: give a list"),
        ("{interactions: {path: p, columns: }}", "columns.user is missing"),
        ("{}", "data.dataset and data.interactions: neither given"),
        (f"{{dataset: d, interactions: {TABLE}}}}}", "data.interactions: both given"),
        ("{interactions: {path: p}}", "data.interactions.columns is missing: add it"),
        (
            "{interactions: {path: p, columns: {user: u}}}",
            "data.interactions.columns.item is missing: name the column of the item ids",
        ),
        ("{dataset: d, users: [{path: p, columns: {}}]}", "data.users[0].columns.user is missing"),
        (
            f"{{dataset: d, items: [{TABLE}, kinds: {{titel: text}}}}]}}",
            "data.items[0].kinds.titel: no attribute 'titel' in data.items[0].columns",
        ),
        (
            f"{{dataset: d, items: [{TABLE}, kinds: {{title: words}}}}]}}",
            "data.items[0].kinds.title is 'words': give one of text, category, number",
        ),
        (
            f"{{dataset: d, items: [{TABLE}, format: xls}}]}}",
            "data.items[0].format is 'xls': give one of auto, csv, tsv, jsonl, parquet",
        ),
        (
            f"{{dataset: d, items: [{TABLE}, delimiter: ''}}]}}",
            "data.items[0].delimiter is '': give what stands between two cells",
        ),
        (
            f"{{dataset: d, items: [{TABLE}, header: [x, x]}}]}}",
            "data.items[0].header names the column 'u' 0 times: give all columns",
        ),
        (
            "{dataset: d, rating_scale: [0, 5], unrated: [0]}",
            "data.unrated has 0, which may be a rating: give data.rating_scale",
        ),
        ("{dataset: d, unrated: [-1]}", "data.unrated has -1, which may be a rating"),
        ("{dataset: d, rating_scale: [5, 1]}", "data.rating_scale is [5.0, 1.0]"),
        ("{dataset: d, rating_scale: [5]}", "data.rating_scale is [5]: give a list of 2 values"),
        ("{dataset: d, rating_scale: [5, x]}", "data.rating_scale[1] is 'x': give a number"),
        (
            "{dataset: d, interactions: {path: p, colums: {}}}",
            "did you mean data.interactions.columns?",
        ),
    ],
)
def test_data_section_is_checked(tmp_path, data, message):
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, f"name: x\ndata: {data}\n"))
    assert message in str(caught.value)


def test_long_values_are_shortened():
    with pytest.raises(ConfigError) as caught:
        from_dict({"name": "x", "data": {"dataset": "d"}, "split": {"seed": "y" * 10_000}})
    assert len(str(caught.value)) < 200


def test_faults_of_the_file_itself(tmp_path):
    with pytest.raises(StorageError, match=r"absent\.yaml: no such file: check the path"):
        load_config(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match=r"line 2, column \d+: .*mend the YAML there"):
        load_config(write(tmp_path, "name: [1\n"))
    with pytest.raises(ConfigError, match="mend the YAML"):
        load_config(write(tmp_path, "name: \x07\n"))
    with pytest.raises(ConfigError, match="the document is 'words'"):
        load_config(write(tmp_path, "words"))
    with pytest.raises(ConfigError, match="name is missing"):
        load_config(write(tmp_path, ""))
    (tmp_path / "run.yaml").write_bytes(b"name: \xff")
    with pytest.raises(ConfigError, match="byte 6 is not UTF-8"):
        load_config(tmp_path / "run.yaml")


def test_byte_order_mark_and_merge_keys_are_read(tmp_path):
    path = write(
        tmp_path,
        "\ufeffname: x\ndata: {dataset: d}\n"
        "pretrain: {loop: &loop {steps: 3}}\ntrain: {loop: {<<: *loop, seed: 1}}\n",
    )
    assert load_config(path).train.loop == LoopConfig(steps=3, patience=10, seed=1)


def test_keys_are_set_over_the_file(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("name: x\ndata: {dataset: movielens-100k}\ntrain: {width: 16}\n")
    changed = load_config(path, ["train.width=32", "train.loop.steps=5", "split.kind=time"])
    assert (changed.train.width, changed.train.loop.steps, changed.split.kind) == (32, 5, "time")
    assert load_config(path).train.width == 16
    assert load_config(path, ["text.stop_words=[a, the]"]).text.stop_words == ("a", "the")


def test_a_key_of_a_section_leaves_the_others_as_they_are_without_it(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("name: x\ndata: {dataset: movielens-100k}\n")
    plain = load_config(path).train
    changed = load_config(path, ["train.optimizer.learning_rate=0.5", "train.loop.steps=7"]).train
    assert changed.optimizer == replace(plain.optimizer, learning_rate=0.5)
    assert changed.loop == replace(plain.loop, steps=7)
    assert plain.optimizer.average != OptimizerConfig().average  # not of the class


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.width", "--set train.width: give it as key=value"),
        ("train.width=[", "the value is no YAML"),
        ("name.first=x", "what stands before .first holds no keys"),
        ("train.width=wide", "train.width is 'wide'"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, assignment, message):
    path = tmp_path / "run.yaml"
    path.write_text("name: x\ndata: {dataset: movielens-100k}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, [assignment])
    assert message in str(caught.value)
