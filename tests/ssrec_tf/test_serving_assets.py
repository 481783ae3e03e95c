import json

import numpy as np
import pandas as pd
import pytest

from ssrec_tf.config import TextConfig
from ssrec_tf.rendering import render_items
from ssrec_tf.serving_assets import catalogue, serving_assets, traffic_statistics
from ssrec_tf.splits import Split
from ssrec_tf.tables import Tables

CONFIG = TextConfig(item_template="{title}[. {genre}]", user_template="[{job}]")


@pytest.fixture
def tables():
    log = pd.DataFrame(
        {
            "user": ["a", "a", "b", "a", "b"],
            "item": ["x", "y", "x", "z", "z"],
            "rating": np.array([5, 1, 3, 5, 2], np.float32),
            "time": [10, 20, 30, 5, 40],
        }
    )
    items = pd.DataFrame(
        {"title": ["Heat", "Up", "Heat"], "genre": ["crime", np.nan, "crime"]},
        index=["x", "y", "z"],
    )
    users = pd.DataFrame({"job": ["secret agent", "cook"]}, index=["a", "b"])
    return Tables("tiny", log, items, users, rating_scale=(1.0, 5.0), rating_step=1.0)


@pytest.fixture
def split():
    return Split(
        kind="random",
        train=np.array([0, 1, 2, 3]),
        valid=np.array([4]),
        test=np.array([], int),
        past_only=False,
        digest="",
    )


def test_the_catalogue_names_items_as_the_graph_does(tables):
    rows = [json.loads(line) for line in catalogue(tables, CONFIG).splitlines()]
    assert rows == [
        {"id": "x", "text": "Heat. crime", "pieces": [["title", "Heat"], ["genre", ". crime"]]},
        {"id": "y", "text": "Up", "pieces": [["title", "Up"]]},
        {"id": "z", "text": "Heat. crime #z", "pieces": [["title", "Heat"], ["genre", ". crime"]]},
    ]
    joined = ["".join(text for _, text in row["pieces"]) for row in rows]
    assert joined == list(render_items(tables, CONFIG))


def test_each_train_row_is_a_request(tables, split):
    body = traffic_statistics(tables, split, CONFIG)
    features = body["features"]
    assert body["rows"] == 4
    # By hand: a's rows in order of time are z, x, y, so the histories are 1, 2, 3 and 1 long.
    assert features["history_length"]["edges"][:3] == [1.0, 2.0, 4.0]
    assert features["history_length"]["shares"][:4] == [0.0, 0.5, 0.5, 0.0]
    assert features["rating"] == {
        "edges": [0.5, 1.5, 2.5, 3.5, 4.5],
        "shares": [0.0, 0.25, 0.0, 0.25, 0.0, 0.5],
    }
    assert features["unknown"] == {"edges": [0.5], "shares": [1.0, 0.0]}
    # Lengths 11, 2, 11; three of four rows are of the long ones.
    lengths = features["text_length"]
    assert lengths["shares"][-1] == 0.75
    assert sum(lengths["shares"]) == pytest.approx(1.0)


def test_no_user_is_in_what_travels(tables, split):
    for content in serving_assets(tables, split, CONFIG).values():
        assert b"secret agent" not in content


def test_a_log_without_ratings(tables, split):
    from dataclasses import replace

    bare = replace(tables, interactions=tables.interactions.drop(columns=["rating", "time"]))
    assert set(traffic_statistics(bare, split, CONFIG)["features"]) == {
        "text_length",
        "history_length",
        "unknown",
    }
