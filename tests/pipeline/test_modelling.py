"""The whole pipeline on a planted log: killed with -9 and resumed, it ends as an unbroken run."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

CONFIG = """
name: planted
data:
  interactions: {path: log.csv, columns: {user: user, item: item, time: at, rating: stars}}
  items:
    - {path: items.csv, columns: {item: item, title: title, genre: genre}}
  rating_scale: [1, 5]
  click_threshold: 4
split: {kind: random, seed: 1}
text: {item_template: "{title}. {genre}", vocabulary_size: 200, mask_personal_data: true}
pretrain:
  sequence_length: 32
  loop: {steps: 24, batch_size: 8, evaluate_every: 8, checkpoint_every: 4, seed: 3}
train:
  max_history: 16
  max_targets: 8
  width: 32
  loop: {steps: 24, batch_size: 8, evaluate_every: 8, checkpoint_every: 4, seed: 3}
evaluate: {bootstrap: 50}
serve: {push_to: served/planted}
"""
ROOT = Path(__file__).parents[2]


def plant(folder):
    rng = random.Random(5)
    rows, at = ["user,item,at,stars"], 1_000_000_000
    for user in range(24):
        for item in rng.sample(range(20), 12):
            at += 60
            rows.append(f"u{user},i{item},{at},{5 if user % 2 == item % 2 else 1}")
    (folder / "log.csv").write_text("\n".join(rows) + "\n")
    items = ["item,title,genre"]
    kinds = ("comedy", "horror")
    items += [f"i{n},film number {n} by {n}.author@example.com,{kinds[n % 2]}" for n in range(20)]
    (folder / "items.csv").write_text("\n".join(items) + "\n")
    (folder / "run.yaml").write_text(CONFIG)


def start(folder, *options):
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", "run.yaml", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(folder, *options):
    process = start(folder, *options)
    out, _ = process.communicate(timeout=400)
    return process.returncode, out


def kill_when(folder, pattern):
    """Start a run and kill -9 it, with all its children, once `pattern` is there."""
    process = start(folder)
    until = time.monotonic() + 200
    while not list(folder.glob(pattern)):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < until
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    plant(folder)
    code, out = finish(folder)
    assert code == 0, out
    return folder, out


@pytest.mark.slow
def test_it_ends_with_a_table_a_report_and_the_next_command(unbroken):
    folder, out = unbroken
    assert "ssrec_tf" in out
    assert "bias" in out
    assert "python -m serving up served/planted" in out
    assert (folder / "served" / "planted" / "1" / "saved_model.pb").exists()
    report = next(folder.glob("runs/planted/Evaluator/*/report.html")).read_text()
    assert "film number" in report
    infra = json.loads(next(folder.glob("runs/planted/InfraValidator/*/infra.json")).read_text())
    assert "recommend" in json.dumps(infra)


@pytest.mark.slow
def test_no_address_of_the_data_is_in_anything_that_was_made(unbroken):
    made = [path for name in ("runs", "served") for path in (unbroken[0] / name).rglob("*")]
    files = [path for path in made if path.is_file()]
    assert any(path.name == "saved_model.pb" for path in files)
    assert [path for path in files if b".author@example" in path.read_bytes()] == []
    catalogue = next(path for path in files if path.name == "catalogue.jsonl").read_text()
    assert catalogue.count("by email") == 2 * 20  # of each text, whole and in pieces


@pytest.mark.slow
def test_killed_twice_it_ends_the_same(unbroken, tmp_path):
    shutil.copytree(unbroken[0], tmp_path, dirs_exist_ok=True)
    for component in ("Pretrainer", "Trainer", "Evaluator", "InfraValidator", "Pusher"):
        shutil.rmtree(tmp_path / "runs" / "planted" / component)
    kill_when(tmp_path, "runs/planted/Pretrainer/work-*/latest/ckpt-8.index")
    kill_when(tmp_path, "runs/planted/Trainer/work-*/latest/ckpt-12.index")
    code, out = finish(tmp_path, "--until", "Evaluator")  # behind it, nothing is random
    assert code == 0, out
    for pattern in ("Pretrainer/*/encoder.npz", "Trainer/*/model.npz"):
        left, right = (
            np.load(next(base.glob(f"runs/planted/{pattern}"))) for base in (unbroken[0], tmp_path)
        )
        assert left.files == right.files
        assert all(np.array_equal(left[name], right[name]) for name in left.files)
    tables = [
        next(base.glob("runs/planted/Evaluator/*/table.txt")).read_text()
        for base in (unbroken[0], tmp_path)
    ]
    assert tables[0] == tables[1]


@pytest.mark.slow
def test_nothing_changed_nothing_is_run(unbroken):
    folder, _ = unbroken
    began = time.monotonic()
    code, out = finish(folder)
    assert code == 0
    assert out.count("unchanged") == 8
    assert time.monotonic() - began < 20
    versions = [path.name for path in (folder / "served" / "planted").iterdir() if path.is_dir()]
    assert versions == ["1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "objective"), [("gpt2", "next_token"), ("xlnet", "permutation")]
)
def test_another_encoder_is_pretrained_and_served_as_it_scores(
    unbroken, tmp_path, architecture, objective
):
    """On the same data, by the reading that is compiled soonest."""
    shutil.copytree(unbroken[0], tmp_path, dirs_exist_ok=True)
    code, out = finish(
        tmp_path,
        *("--until", "Trainer"),
        *("--set", f"encoder.architecture={architecture}"),
        *("--set", f"pretrain.objectives.{objective}=1"),
        *("--set", "train.reading=retrieval", "--set", "train.loop.steps=4"),
    )
    assert code == 0, out
    assert out.count("unchanged") == 4
    assert "SavedModel equals Keras" in out
    curves = sorted(
        tmp_path.glob("runs/planted/Pretrainer/*/curve.json"), key=lambda path: path.stat().st_mtime
    )
    assert len(curves) == 2  # the newer is this encoder's
    curve = json.loads(curves[-1].read_text())
    losses = [row["value"] for row in curve if (row["phase"], row["metric"]) == ("valid", "loss")]
    assert losses[-1] < losses[0]


# What a member gives to a book of the kind they like, and to another.
LIKED, LEFT = 9, 2
FOREIGN = """
name: 本
data:
  interactions: {path: 評価.tsv, columns: {user: 会員, item: 品番, rating: 点}}
  items:
    - {path: 商品.csv, columns: {item: 品番, title: 題名, genre: 分類}}
  rating_scale: [1, 10]
  click_threshold: 8
split: {kind: random, seed: 1}
text: {item_template: "[{title}。]{genre}", vocabulary_size: 200}
pretrain: {loop: {steps: 0}}
train:
  pair_head: factorization
  word_min_items: 5
  max_history: 32
  max_targets: 8
  loop: {steps: 80, batch_size: 16, evaluate_every: 40, checkpoint_every: 80, seed: 3}
  optimizer: {learning_rate: 0.01}
evaluate: {bootstrap: 20}
"""


def plant_foreign(folder):
    """Unlike MovieLens: Japanese, half of the titles missing, a scale of 1 to 10, no times."""
    rng = random.Random(5)
    kinds = ("恋愛", "恐怖")
    rows = ["会員\t品番\t点"]
    for user in range(60):
        for book in rng.sample(range(80), 24):
            stars = (LIKED if book % 2 == user % 2 else LEFT) + rng.choice((-1, 0, 1))
            rows.append(f"会員{user}\t品{book}\t{stars}")
    (folder / "評価.tsv").write_text("\n".join(rows) + "\n")
    books = ["品番,題名,分類"]
    books += [
        f"品{n},{chr(0x4E00 + 7 * n) * 2 if n % 4 < 2 else ''},{kinds[n % 2]}" for n in range(80)
    ]
    (folder / "商品.csv").write_text("\n".join(books) + "\n")
    (folder / "run.yaml").write_text(FOREIGN)


@pytest.mark.slow
def test_a_taste_is_learnt_and_a_new_book_is_scored_by_it(tmp_path):
    plant_foreign(tmp_path)
    code, out = finish(tmp_path, "--until", "Evaluator")
    assert code == 0, out
    table = next(tmp_path.glob("runs/本/Evaluator/*/table.txt")).read_text()
    rmse = {
        line.split()[0]: float(line.split()[1].strip("*"))
        for line in table.splitlines()
        if line.startswith(("ssrec_tf", "bias"))
    }
    # The noise alone has a deviation of 0.82; a bias cannot tell who likes what.
    assert rmse["ssrec_tf"] < 1.3 < 3.0 < rmse["bias"]
    model = tf.saved_model.load(str(next(tmp_path.glob("runs/本/Trainer/*/saved_model"))))
    fan = "\n".join(["rated 9: 恋愛", "rated 2: 恐怖", "rated 10: 爾爾。恋愛", "rated 1: 恐怖"] * 3)
    rated = model.signatures["serving_default"](
        behaviour=tf.constant([fan, fan]), item=tf.constant(["新刊。恋愛", "新刊。恐怖"])
    )
    liked, left = rated["rating"].numpy()
    assert 10 >= liked > 7 > 4 > left >= 1
