"""What is served today is what training reads tomorrow."""

import json

import numpy as np
import pytest

from serving.errors import InvalidArgument
from serving.served_log import ServedLog, Shown
from ssrec_tf.config import DataConfig, TableConfig
from ssrec_tf.tables import read_tables
from tests.serving.gateway_world import ByHand, make_settings, open_client, wait_ready


def test_training_reads_what_was_served(tmp_path, described):
    served = tmp_path / "served"
    settings = make_settings(tmp_path, described, seen={"served": served, "sample": 1.0})
    with open_client(settings, ByHand()) as client:
        wait_ready(client)
        history = []
        for time, (item, rating) in enumerate([("h", 4.0), ("t", 2.0), ("h", None)], 100):
            history.append({"id": item, "rating": rating, "time": time})
            body = {"user": {"id": "u1"}, "history": history, "candidates": [{"id": "f"}]}
            assert client.post("/v1/rank", json=body).status_code == 200
        without = {"history": history, "candidates": [{"id": "f"}]}
        client.post("/v1/rank", json=without)  # nobody's log
        client.post("/v1/rank", json={**body, "history": [{"text": "new", "time": 9}]})
    [log] = served.glob("interactions-*.jsonl")
    columns = {"user": "user", "item": "item", "time": "timestamp", "rating": "rating"}
    config = DataConfig(
        interactions=TableConfig(path=str(log), columns=columns),
        rating_scale=(1.0, 5.0),
        unrated=(),  # what was only seen
    )
    tables = read_tables(config, base=tmp_path)
    rows = tables.interactions
    assert rows[["item", "time"]].values.tolist() == [["h", 100], ["t", 101], ["h", 102]]
    assert rows["rating"].tolist() == pytest.approx([4.0, 2.0, np.nan], nan_ok=True)
    assert rows["user"].nunique() == 1
    assert "u1" not in set(rows["user"])
    [shown] = served.glob("shown-*.jsonl")
    first = json.loads(shown.read_text().splitlines()[0])
    assert (first["item"], first["position"], first["model_version"]) == ("f", 0, 3)
    assert first["rating"] == pytest.approx(3.145, abs=1e-4)  # 3 + 0.1 + 0.04 + 5 letters / 1000
    assert shown.stat().st_mode & 0o077 == 0


def test_a_sample_holds_whole_users(tmp_path):
    log = ServedLog(tmp_path, 0.25)
    names = [f"{i * 2**32 // 1000:08x}{'0' * 24}" for i in range(1000)]
    kept = [name for name in names if log.sampled(name)]
    assert len(kept) == 250
    assert kept == [name for name in names if ServedLog(tmp_path, 0.25).sampled(name)]
    assert not any(ServedLog(tmp_path, 0.0).sampled(name) for name in names)


def test_a_day_has_its_file(tmp_path):
    log = ServedLog(tmp_path / "a", 1.0, clock=lambda: 86_400.0 * 3)
    log.did("u", "h", None, 5)
    log.showed("u", [Shown("h", 4.0, 0.5)], request="r", version=1)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["interactions-19700104.jsonl", "shown-19700104.jsonl"]
    row = json.loads((tmp_path / "a" / names[0]).read_text())
    assert row == {"user": "u", "item": "h", "rating": None, "timestamp": 5}


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgument, match="cannot be made"):
        ServedLog(tmp_path / "file" / "x", 1.0)
