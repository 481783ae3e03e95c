"""Cells: what is planned, what each may read, and that a killed ablation goes on."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from ssrec_tf import ablation, cli, distillation, learning
from ssrec_tf.ablation import Cell, kept_rows, plan, settings_of, without_labels
from ssrec_tf.config import SplitConfig, to_dict
from ssrec_tf.errors import ConfigError
from ssrec_tf.evaluation import Scores
from ssrec_tf.leakage import check_leakage
from ssrec_tf.splits import make_split
from tests.ssrec_tf.conftest import planted_tables
from tests.ssrec_tf.test_bench import toy_run
from tests.ssrec_tf.test_examples import records


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return toy_run(tmp_path_factory.mktemp("ablation"))


def test_controls_run_at_the_largest_share_alone():
    cells = plan(
        objectives=["none", "next_item"],
        splits=["random", "time"],
        shares=["0.1", "0.5"],
        controls=["scrambled_titles"],
        seeds=[1, 2],
    )
    assert len(cells) == len(set(cells)) == 2 * (2 + 1) * 2 * 2
    assert {cell.share for cell in cells if cell.control != "plain"} == {0.5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objectives": ["bert"]}, "--objectives bert: give some of none, mixed, masked_token"),
        ({"controls": ["noise"]}, "--controls noise: give some of scrambled_titles, shuffled"),
        ({"shares": ["0"]}, "--shares 0: give numbers above 0 and at most 1"),
        ({"shares": ["half"]}, "--shares half"),
        ({"shares": ["1.5"]}, r"--shares 1\.5"),
    ],
)
def test_odd_plans_are_refused(change, message):
    given = {"objectives": ["none"], "splits": ["random"], "shares": ["1"], "controls": []}
    with pytest.raises(ConfigError, match=message):
        plan(**{**given, "seeds": [1], **change})


def test_scrambled_titles_keep_the_ids_and_move_whole_rows():
    tables = planted_tables()
    found = ablation.scrambled_titles(tables, np.arange(3), 1)
    assert found.items.index.equals(tables.items.index)
    assert sorted(found.items["title"]) == sorted(tables.items["title"])
    assert (found.items["title"] != tables.items["title"]).mean() > 0.8
    genres = tables.items.set_index("title")["genre"]
    assert found.items["genre"].tolist() == genres[found.items["title"]].tolist()
    assert found.interactions is tables.interactions
    assert ablation.scrambled_titles(tables, np.arange(3), 1).items.equals(found.items)


def test_shuffled_history_moves_what_a_user_did_within_train():
    tables = planted_tables(moments=60)
    split = make_split(tables, SplitConfig("leave_one_out"))
    old = tables.interactions
    new = ablation.shuffled_history(tables, split.train, 1).interactions
    rest = np.concatenate([split.valid, split.test])
    pd.testing.assert_frame_equal(new.loc[rest], old.loc[rest])
    assert new[["user", "time"]].equals(old[["user", "time"]])
    what = ["user", "item", "rating", "click"]
    same = [log.loc[split.train, what].sort_values(what).to_numpy().tolist() for log in (old, new)]
    assert same[0] == same[1]
    assert (new.loc[split.train, "item"] != old.loc[split.train, "item"]).mean() > 0.8
    assert new.dtypes.equals(old.dtypes)
    check_leakage(tables, split)


def test_smaller_shares_are_among_larger_ones():
    train = np.arange(10, 210)
    small, large = kept_rows(train, 0.1, 1), kept_rows(train, 0.5, 1)
    assert (len(small), len(large)) == (20, 100)
    assert set(small) < set(large) < set(train)
    assert kept_rows(train, 1.0, 1).tolist() == train.tolist()
    assert kept_rows(train, 0.1, 2).tolist() != small.tolist()
    assert len(kept_rows(train, 1e-6, 1)) == 1


def test_without_labels_keeps_the_events():
    tables = planted_tables()
    found = without_labels(tables, np.array([0, 5]))
    assert found.interactions.index[found.interactions["rating"].isna()].tolist() == [0, 5]
    assert found.interactions.index[found.interactions["click"].isna()].tolist() == [0, 5]
    assert found.interactions["item"].equals(tables.interactions["item"])
    assert not tables.interactions["rating"].isna().any()


def test_settings_of_a_cell(run):
    config, _ = run

    def chosen(objective):
        return settings_of(config, Cell("random", objective, 1.0, "plain", 3))

    assert chosen("none").pretrain.loop.steps == 0
    assert chosen("next_item").pretrain.objectives == {"next_item": 1.0}
    assert len(chosen("mixed").pretrain.objectives) == 7
    steps = {chosen(name).train.loop.steps for name in ("none", "next_item", "mixed")}
    assert steps == {config.train.loop.steps}
    loop = chosen("none").train.loop
    assert (loop.seed, loop.patience > loop.steps // loop.evaluate_every) == (3, True)


def read(folder, part, items):
    """(item, rating) of every event and target of a folder's part."""
    found = []
    for record in records(folder, part):
        for name in ("history", "target"):
            refs = record.get(f"{name}_items", [])
            stars = record.get(f"{name}_ratings", [])
            found += [
                (record["user"][0], items[r - 1], s) for r, s in zip(refs, stars, strict=True)
            ]
    return found


@pytest.mark.parametrize("kind", ["random", "time_streaming"])
def test_what_is_dropped_is_no_label_and_no_history(run, tmp_path, monkeypatch, kind):
    """The examples that a cell leaves are read, nothing is trained."""
    config, _ = run
    tables = planted_tables(moments=60)
    split = make_split(tables, SplitConfig(kind))
    for name in ("create_encoder", "pretrain"):
        monkeypatch.setattr(learning, name, lambda *args, **kwargs: None)
    untrained = SimpleNamespace(config=config.train)
    monkeypatch.setattr(learning, "make_recommender", lambda *args: untrained)
    monkeypatch.setattr(distillation, "fit", lambda *args, **kwargs: None)
    monkeypatch.setattr(ablation, "score_and_rank", lambda *args: args)
    cell = Cell(kind, "none", 0.25, "plain", 3)
    ablation.run_cell(config, cell, tables, split, "test", np.array([]), tmp_path)
    log, items = tables.interactions, tables.items.index
    kept = kept_rows(split.train, 0.25, 3)
    users = 1 + tables.users.index.get_indexer(log["user"])

    def events(rows):
        return set(zip(users[rows], log["item"].iloc[rows], log["rating"].iloc[rows], strict=True))

    assert set(read(tmp_path / "examples", "train", items)) == events(kept)
    seen = set(read(tmp_path / "examples", "test", items))
    assert seen >= events(split.test)
    assert not seen & events(np.setdiff1d(split.train, kept))
    # Pretraining sees every train event, and the ratings of those kept alone.
    behaviour = read(tmp_path / "behaviour", "train", items)
    assert len(behaviour) == len(split.train)
    assert {event for event in behaviour if not np.isnan(event[2])} == events(kept)


def test_finished_cells_are_not_trained_again(run, tmp_path, monkeypatch):
    config, base = run
    trained = []

    def run_cell(config, cell, tables, split, part, users, work, base):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(cell)
        work.mkdir(parents=True)
        rows = len(split.valid)
        shift = 0.0 if cell.objective == "none" else 0.5 * cell.share
        truth = tables.interactions["rating"].to_numpy()[split.valid]
        noise = np.random.RandomState(cell.seed).normal(0, 1, rows)
        return Scores(rating=truth + noise * (1 - shift), click=np.full(rows, 0.5))

    monkeypatch.setattr(ablation, "run_cell", run_cell)
    path = base / "toy.yaml"
    command = ["ablate", str(path), "--objectives", "none,next_item", "--shares", "0.1,1"]
    command += ["--seeds", "2", "--controls", "shuffled_history", "--out", str(tmp_path)]
    path.write_text(yaml.safe_dump(to_dict(config)))
    assert cli.main(command) == 130  # killed in the fourth cell
    assert len(list((tmp_path / "scores").iterdir())) == 3
    done = list(trained)

    def rest(*arguments):
        assert arguments[1] not in done
        trained.clear()
        done.append(arguments[1])
        return run_cell(*arguments)

    monkeypatch.setattr(ablation, "run_cell", rest)
    assert cli.main(command) == 0
    assert len(done) == 12
    assert not list((tmp_path / "work").iterdir())
    page = (tmp_path / "ablation.md").read_text()
    assert "### 0.1 of the labels" in page
    assert "### 1 of the labels, shuffled_history" in page
    figures = pd.read_csv(tmp_path / "figures.csv")
    one = figures.query("share == 1 and control == 'plain' and metric == 'rmse'")
    gain = one.set_index("objective")["difference"]["next_item"]
    # By hand: the noise is halved, and it is nearly 1 before it is clipped.
    assert gain == pytest.approx(-0.5, abs=0.1)
    assert (tmp_path / "random-next_item.svg").exists()


@pytest.mark.slow
def test_a_cell_is_trained_and_scored(run, tmp_path):
    config, _ = run
    loop = replace(config.train.loop, steps=2, evaluate_every=2)
    config = replace(config, train=replace(config.train, loop=loop))
    tables = planted_tables()
    split = make_split(tables, SplitConfig())
    users = np.sort(tables.interactions["user"].iloc[split.valid].unique())[:2]
    cell = Cell("random", "none", 0.25, "scrambled_titles", 3)
    found = ablation.run_cell(config, cell, tables, split, "valid", users, tmp_path)
    assert found.rating.shape == split.valid.shape
    assert np.isfinite(found.rating).all()
    assert found.ranking.shape == (2, 30)
    # Nobody is recommended what they had in train, whoever's labels were kept.
    train = tables.interactions.iloc[split.train]
    for user, row in zip(users, found.ranking, strict=True):
        assert np.isneginf(row).sum() == train["user"].eq(user).sum()
