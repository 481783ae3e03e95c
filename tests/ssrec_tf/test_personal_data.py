"""Personal data is hidden in tables and in rejects; ids stay."""

import json

import pandas as pd

from ssrec_tf.personal_data import hide_in_rejects, hide_in_tables
from ssrec_tf.tables import Tables


def test_tables():
    tables = Tables(
        name="t",
        interactions=pd.DataFrame({"user": ["me@example.org"], "item": ["1"]}),
        items=pd.DataFrame({"title": ["by a@b.de", None], "price": [1.5, 2.0]}, index=["1", "2"]),
        users=pd.DataFrame({"note": ["+44 20 7946 0958"]}, index=["me@example.org"]),
    )
    hidden = hide_in_tables(tables)
    assert hidden.items["title"].tolist()[0] == "by email"
    assert hidden.items["price"].tolist() == [1.5, 2.0]
    assert hidden.users["note"].tolist() == ["phone"]
    assert hidden.users.index.tolist() == ["me@example.org"]
    assert tables.items["title"].tolist()[0] == "by a@b.de"  # the given ones are not touched


def test_rejects(tmp_path):
    path = tmp_path / "rejects.jsonl"
    rows = [{"line": 4111111111111111, "value": {"note": ["4111 1111 1111 1111", "a@b.de"]}}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    hide_in_rejects(path)
    [row] = [json.loads(line) for line in path.read_text().splitlines()]
    assert row == {"line": 4111111111111111, "value": {"note": ["card", "email"]}}
    hide_in_rejects(tmp_path / "none.jsonl")
    assert not (tmp_path / "none.jsonl").exists()
