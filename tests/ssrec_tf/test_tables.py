"""What the world's files hold: every row accepted, or rejected with file, line and reason."""

import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssrec_tf import table_values
from ssrec_tf import tables as tables_module
from ssrec_tf.config import DataConfig, TableConfig
from ssrec_tf.errors import ConfigError, DataError, StorageError
from ssrec_tf.tables import Tables, read_tables

ROLES = {"user": "u", "item": "i", "time": "t", "rating": "r"}


def read(
    folder: Path, name: str, data: bytes | str, *, columns=ROLES, table=(), limit=1.0, **more
) -> Tables:
    content = data.encode() if isinstance(data, str) else data
    (folder / name).write_bytes(content)
    log = TableConfig(name, columns, **dict(table))
    config = DataConfig(interactions=log, max_reject_share=limit, **more)
    return read_tables(config, base=folder, rejects=folder / "rejects.jsonl")


def rejected(folder: Path) -> list[dict]:
    lines = (folder / "rejects.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def check_counts(tables: Tables, folder: Path) -> None:
    found = rejected(folder)
    for count in tables.counts:
        assert count.accepted + count.rejected == count.read
        assert count.rejected == sum(row["file"] == count.file for row in found)


GOOD = "u,i,t,r\n007,a,10,3\n7,b,20,4.5\n"


@pytest.mark.parametrize("delimiter", [";", "|", "\t", "::"])
@pytest.mark.parametrize("headless", [False, True])
def test_another_delimiter_and_a_file_without_a_header(tmp_path, delimiter, headless):
    plain = read(tmp_path, "x.csv", GOOD)
    data = GOOD.replace(",", delimiter)
    table = {"delimiter": delimiter}
    if headless:
        data = data.split("\n", 1)[1]
        table["header"] = ("u", "i", "t", "r")
    found = read(tmp_path, "y.csv", data + f"8{delimiter}c\n", table=table)
    assert found.interactions.equals(plain.interactions)
    (reject,) = rejected(tmp_path)
    assert reject["line"] == (3 if headless else 4)
    assert reject["reason"] == "2 fields where the header has 4"


def test_a_decimal_comma_is_read_where_it_is_said_and_told_where_not(tmp_path):
    data = "u;i;t;r\n007;a;10;3,5\n7;b;20;4\n7;c;30; -0,25 \n7;d;30;1.234,5\n7;e;30;1.5\n"
    table = {"delimiter": ";", "decimal": ","}
    found = read(tmp_path, "x.csv", data, table=table)
    assert found.interactions["rating"].tolist() == [3.5, 4.0, -0.25]
    assert [row["value"] for row in rejected(tmp_path)] == ["1.234,5", "1.5"]
    with pytest.raises(DataError, match=r"no number: is the comma .* add `decimal: ','` to the ta"):
        read(tmp_path, "x.csv", data, table={"delimiter": ";"}, limit=0.1)


def test_a_decimal_comma_of_a_weight_and_of_an_attribute(tmp_path):
    (tmp_path / "log.csv").write_text("u;i;w\n1;a;0,5\n")
    (tmp_path / "items.csv").write_text("i;price\na;12,75\n")
    comma = {"delimiter": ";", "decimal": ","}
    config = DataConfig(
        interactions=TableConfig("log.csv", {"user": "u", "item": "i", "weight": "w"}, **comma),
        items=(
            TableConfig(
                "items.csv", {"item": "i", "price": "price"}, kinds={"price": "number"}, **comma
            ),
        ),
    )
    tables = read_tables(config, base=tmp_path)
    assert tables.interactions["weight"].tolist() == [0.5]
    assert tables.items["price"].tolist() == [12.75]


@pytest.mark.parametrize(
    ("unrated", "ratings"),
    [((), [3, None, 4]), ((0.0,), [3, None, None, 4]), ((0.0, -1.0), [3, None, None, None, 4])],
)
def test_events_without_a_rating(tmp_path, unrated, ratings):
    data = "u,i,t,r\na,p,1,3\na,q,2,\na,r,3,0.0\na,s,4,-1\nb,p,5,4\nb,q,6,x\n"
    config = {"rating_scale": (1.0, 5.0), "click_threshold": 4.0, "unrated": unrated}
    log = read(tmp_path, "x.csv", data, **config).interactions
    assert [None if np.isnan(r) else r for r in log["rating"]] == ratings
    assert [str(log[name].dtype) for name in ("rating", "click")] == ["float32", "float32"]
    clicks = [None if np.isnan(r) else r for r in log["click"]]
    assert clicks == [r if r is None else float(r >= 4) for r in ratings]
    reasons = [row["reason"] for row in rejected(tmp_path)]
    assert reasons[-1] == "r: no number"
    assert len(reasons) == 6 - len(ratings)
    assert all("outside the scale" in reason for reason in reasons[:-1])


@pytest.mark.parametrize("cell", ["", "0"])
def test_where_no_event_may_be_unrated_it_says_how(tmp_path, cell):
    data = f"u,i,t,r\na,p,1,3\na,q,2,{cell}\n"
    log = read(tmp_path, "x.csv", data, rating_scale=(1.0, 5.0), click_threshold=4.0).interactions
    assert log["click"].tolist() == [0]
    assert log["click"].dtype == np.int8
    with pytest.raises(DataError, match=r"then say in data.unrated what stands where"):
        read(tmp_path, "x.csv", data, rating_scale=(1.0, 5.0), limit=0.1)


def test_quotes_part_cells_by_a_semicolon_as_by_a_comma(tmp_path):
    data = 'u;i;t;r\n007;"a;b ""c""";10;3\n'
    found = read(tmp_path, "x.csv", data, table={"delimiter": ";"})
    assert found.interactions["item"].tolist() == ['a;b "c"']


@pytest.mark.parametrize(
    ("name", "data", "table", "told"),
    [
        ("x.csv", GOOD.replace(",", ";"), {}, "add `delimiter: ';'`"),
        ("x.csv", GOOD.replace(",", "::"), {}, "add `delimiter: '::'`"),
        ("x.tsv", GOOD, {}, "add `delimiter: ','`"),
        ("x.csv", GOOD.split("\n", 1)[1], {}, "is there no header"),
        ("x.csv", GOOD, {"header": ("u", "i", "t")}, "no column 'r' for 'rating'"),
        ("x.jsonl", '{"u": 1}', {"delimiter": ";"}, "this is jsonl"),
        ("x.jsonl", '{"u": 1}', {"decimal": ","}, "this is jsonl"),
        ("x.parquet", "PAR1", {"header": tuple("uitr")}, "this is parquet"),
    ],
)
def test_a_wrong_delimiter_or_header_is_told(tmp_path, name, data, table, told):
    with pytest.raises((ConfigError, DataError), match=told):
        read(tmp_path, name, data, table=table)


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.jsonl", "x.parquet"])
@pytest.mark.parametrize("zipped", [False, True])
def test_every_format_gives_the_same_table(tmp_path, name, zipped):
    rows = [{"u": "007", "i": "a", "t": 10, "r": 3.0}, {"u": "7", "i": "b", "t": 20, "r": 4.5}]
    if name == "x.csv":
        data = GOOD.encode()
    elif name == "x.tsv":
        data = GOOD.replace(",", "\t").encode()
    elif name == "x.jsonl":
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    else:
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
        data = (tmp_path / name).read_bytes()
    if zipped:
        name, data = f"{name}.gz", gzip.compress(data, mtime=0)
    tables = read(tmp_path, name, data, click_threshold=4, rating_scale=(1, 5))
    log = tables.interactions
    assert list(log.columns) == ["user", "item", "time", "rating", "click"]
    assert log["user"].tolist() == ["007", "7"]
    assert log["item"].tolist() == ["a", "b"]
    assert log["time"].tolist() == [10, 20]
    assert log["rating"].tolist() == [3.0, 4.5]
    assert log["click"].tolist() == [0, 1]
    assert [str(kind) for kind in log.dtypes] == ["str", "str", "int64", "float32", "int8"]
    assert isinstance(log.index, pd.RangeIndex)
    assert (tables.name, tables.rating_scale, rejected(tmp_path)) == ("x", (1, 5), [])
    check_counts(tables, tmp_path)


def test_byte_order_mark_crlf_and_blank_lines(tmp_path):
    data = b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n\r\n").encode()
    tables = read(tmp_path, "x.csv", data)
    assert tables.interactions["user"].tolist() == ["007", "7"]
    assert tables.counts[0].read == 2


def test_bytes_of_another_encoding_reject_their_row_only(tmp_path):
    data = "u,i,t,r\ncafé,a,1,3\n".encode() + "naïve,a,2,3\n".encode("latin-1") + b"c,a,3,3\n"
    tables = read(tmp_path, "x.csv", data)
    assert tables.interactions["user"].tolist() == ["café", "c"]
    (found,) = rejected(tmp_path)
    assert found["line"] == 3
    assert found["reason"] == "bytes that are not utf-8"
    assert found["value"].startswith("na\\udcefve")
    check_counts(tables, tmp_path)
    whole = read(tmp_path, "x.csv", data, table={"encoding": "latin-1"})
    assert whole.interactions["user"].tolist() == ["cafÃ©", "naïve", "c"]
    lines = b'{"u":"a","i":"b"}\n' + '{"u":"é","i":"b"}\n'.encode("latin-1")
    read(tmp_path, "x.jsonl", lines, columns={"user": "u", "item": "i"})
    assert [(row["line"], row["reason"]) for row in rejected(tmp_path)] == [
        (2, "bytes that are not utf-8")
    ]


def test_quoted_newlines_keep_the_line_of_their_first_character(tmp_path):
    data = 'u,i,t,r\n"a\n",x,1,3\nb,"x ""y"", z",2,3\n"c\nd\n",x,3,3\ne,x,4,bad\n'
    tables = read(tmp_path, "x.csv", data)
    assert tables.interactions["user"].tolist() == ["a", "b"]  # trimmed
    assert tables.interactions["item"].tolist() == ["x", 'x "y", z']
    assert [(row["line"], row["reason"]) for row in rejected(tmp_path)] == [
        (5, "u: a line break or control character in the id"),
        (8, "r: no number"),
    ]
    check_counts(tables, tmp_path)


def test_a_broken_quote_does_not_swallow_the_rows_behind_it(tmp_path):
    data = 'u,i,t,r\n"a,x,1,3\nb,x,2,3\nc,"y"z,3,3\nd,x,4,3\n"e,x,5,3\nf,x,6,3\n'
    tables = read(tmp_path, "x.csv", data)
    assert tables.interactions["user"].tolist() == ["b", "d", "f"]
    assert [row["line"] for row in rejected(tmp_path)] == [2, 4, 6]
    assert all("broken quotes" in row["reason"] for row in rejected(tmp_path))
    check_counts(tables, tmp_path)


def test_a_quote_closed_by_a_later_rows_quote_rejects_them_one_by_one(tmp_path):
    tables = read(tmp_path, "x.csv", 'u,i,t,r\n"a,x,1,3\nb","x",2\nc,x,3,3\n')
    assert tables.interactions["user"].tolist() == ["c"]
    assert [(row["line"], row["reason"][:13]) for row in rejected(tmp_path)] == [
        (2, "broken quotes"),
        (3, "3 fields wher"),
    ]


def test_quotes_that_quote_nothing_are_literal_in_a_tab_separated_file(tmp_path):
    data = 'u\ti\tt\tr\na\t"Weird" Al\t1\t3\nb\t"quoted\ttab"\t2\t3\nc\t"x\t3\t3\n'
    tables = read(tmp_path, "x.tsv", data)
    assert tables.interactions["item"].tolist() == ['"Weird" Al', '"x']
    assert [row["line"] for row in rejected(tmp_path)] == [3]  # a tab in an id
    check_counts(tables, tmp_path)


def test_wrong_number_of_fields(tmp_path):
    tables = read(tmp_path, "x.csv", GOOD + "a,b,1\na,b,1,2,3\n")
    assert [(row["line"], row["reason"], row["value"]) for row in rejected(tmp_path)] == [
        (4, "3 fields where the header has 4", "a,b,1"),
        (5, "5 fields where the header has 4", "a,b,1,2,3"),
    ]
    check_counts(tables, tmp_path)


@pytest.mark.parametrize("missing", ["", "  ", "NaN", "nan", "NULL", "null", "None", "<NA>", "\\N"])
def test_missing_ids_are_rejected(tmp_path, missing):
    tables = read(tmp_path, "x.csv", f"{GOOD}{missing},a,1,3\na,{missing},1,3\nna,a,1,3\n")
    assert [(row["line"], row["reason"]) for row in rejected(tmp_path)] == [
        (4, "u: no user id"),
        (5, "i: no item id"),
    ]
    assert tables.interactions["user"].tolist()[-1] == "na"


def test_integer_ids_of_parquet_keep_their_digits(tmp_path):
    frame = pa.table(
        {
            "u": pa.array([9007199254740993, 2, None], pa.int64()),
            "i": pa.array([1.0, 2.0, 3.0], pa.float64()),
            "t": pa.array([1, 2, 3]),
            "r": pa.array([1, 2, 3]),
        }
    )
    pq.write_table(frame, tmp_path / "x.parquet")
    tables = read(tmp_path, "x.parquet", (tmp_path / "x.parquet").read_bytes())
    assert tables.interactions["user"].tolist() == ["9007199254740993", "2"]
    assert tables.interactions["item"].tolist() == ["1", "2"]
    assert rejected(tmp_path)[0]["line"] == 3


def test_fractions_gaps_and_repeats_of_a_parquet_column_of_floats(tmp_path):
    ratings = [3.0, 4.5, None, float("nan"), 4.5, 3.0]
    frame = pa.table({"u": [*"abcdef"], "i": [*"xxxxxx"], "r": pa.array(ratings, pa.float64())})
    pq.write_table(frame, tmp_path / "x.parquet")
    roles = {"user": "u", "item": "i", "rating": "r"}
    tables = read(tmp_path, "x.parquet", (tmp_path / "x.parquet").read_bytes(), columns=roles)
    assert tables.interactions["user"].tolist() == [*"abef"]
    assert tables.interactions["rating"].tolist() == [3.0, 4.5, 4.5, 3.0]
    assert [(row["line"], row["reason"], row["value"]) for row in rejected(tmp_path)] == [
        (3, "r: no rating", ""),
        (4, "r: no rating", "nan"),
    ]


def test_a_long_column_is_read_part_by_part_to_the_same_numbers(tmp_path, monkeypatch):
    rows = [f"{user},a,{10 + user},{user % 5 + 1}" for user in range(20)]
    rows[7], rows[13] = "7,a,x,3", "13,a,23,y"
    whole = read(tmp_path, "x.csv", "u,i,t,r\n" + "\n".join(rows))
    monkeypatch.setattr(table_values, "_PART", 3)
    parts = read(tmp_path, "x.csv", "u,i,t,r\n" + "\n".join(rows))
    pd.testing.assert_frame_equal(parts.interactions, whole.interactions)
    assert [row["line"] for row in rejected(tmp_path)] == [9, 15]


def test_rows_of_one_hash_are_told_apart(tmp_path, monkeypatch):
    def same(frame, index):
        return pd.Series(np.zeros(len(frame), np.uint64))

    monkeypatch.setattr(tables_module.pd.util, "hash_pandas_object", same)
    tables = read(tmp_path, "x.csv", GOOD + "7,b,20,4.5\n8,b,20,4.5\n")
    assert tables.interactions["user"].tolist() == ["007", "7", "8"]


def test_parquet_times_categories_and_lists(tmp_path):
    stamps = pd.to_datetime(["1997-09-20T03:05:10", "1969-12-31T23:59:59"])
    frame = pa.table(
        {
            "u": pa.array(["a", "b"]).dictionary_encode(),
            "i": ["x", "y"],
            "t": pa.array(stamps.as_unit("ms")),
            "r": [True, False],
        }
    )
    pq.write_table(frame, tmp_path / "x.parquet")
    roles = {"user": "u", "item": "i", "time": "t", "click": "r"}
    data = (tmp_path / "x.parquet").read_bytes()
    tables = read(tmp_path, "x.parquet", data, columns=roles)
    assert tables.interactions["time"].tolist() == [874724710, -1]
    assert tables.interactions["click"].tolist() == [1, 0]
    bad = pa.table({"u": pa.array([{"a": 1}]), "i": ["x"]})
    pq.write_table(bad, tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x\.parquet: a column of type struct.* is no text"):
        read(
            tmp_path,
            "x.parquet",
            (tmp_path / "x.parquet").read_bytes(),
            columns={"user": "u", "item": "i"},
        )


def test_exact_duplicates_are_rejected_and_other_events_kept(tmp_path):
    tables = read(tmp_path, "x.csv", GOOD + "007,a,10,3\n007,a,10,4\n007,a,11,3\n007,a,10.0,3.0\n")
    assert len(tables.interactions) == 4
    assert [(row["line"], row["reason"]) for row in rejected(tmp_path)] == [
        (4, "u: the same row occurred before"),
        (7, "u: the same row occurred before"),
    ]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["874724710", "0"], [874724710, 0]),
        (["874724710999", "874724711000"], [874724710, 874724711]),
        (["874724710999999", "874724711000000"], [874724710, 874724711]),
        (["874724710999999000", "874724711000000001"], [874724710, 874724711]),
        (["874724710.9", "8.7472471e8"], [874724710, 874724710]),
        (["1997-09-20T03:05:10Z", "1997-09-20 05:05:10+02:00"], [874724710, 874724710]),
        (["1997-09-20T03:05:10.999", "1997-09-20"], [874724710, 874713600]),
        (["874724710", "1997-09-20T03:05:10"], [874724710, 874724710]),
        (["-1", "1969-12-31T23:59:58Z"], [-1, -2]),
    ],
)
def test_times_in_every_unit(tmp_path, cells, expected):
    data = "u,i,t\n" + "".join(f"a,{i},{cell}\n" for i, cell in enumerate(cells))
    roles = {"user": "u", "item": "i", "time": "t"}
    tables = read(tmp_path, "x.csv", data, columns=roles)
    assert tables.interactions["time"].tolist() == expected


def test_a_time_in_another_unit_than_its_column_is_rejected(tmp_path):
    rows = ["874724710", "874724711", "874724712", "874724713000", "soon", "", "inf"]
    data = "u,i,t\n" + "".join(f"a,{i},{cell}\n" for i, cell in enumerate(rows))
    tables = read(tmp_path, "x.csv", data, columns={"user": "u", "item": "i", "time": "t"})
    assert len(tables.interactions) == 3
    assert [(row["line"], row["value"]) for row in rejected(tmp_path)] == [
        (5, "874724713000"),
        (6, "soon"),
        (7, ""),
        (8, "inf"),
    ]
    assert "the column's unit is s" in rejected(tmp_path)[0]["reason"]


def test_ratings_outside_the_scale_are_rejected(tmp_path):
    data = "u,i,t,r\na,1,1,0.5\na,2,1,5\na,3,1,0\na,4,1,5.5\na,5,1,nan\na,6,1,\na,7,1,inf\n"
    tables = read(tmp_path, "x.csv", data, rating_scale=(0.5, 5))
    assert tables.interactions["rating"].tolist() == [0.5, 5.0]
    assert [(row["line"], row["reason"]) for row in rejected(tmp_path)] == [
        (4, "r: outside the scale 0.5 to 5"),
        (5, "r: outside the scale 0.5 to 5"),
        (6, "r: no rating"),
        (7, "r: no rating"),
        (8, "r: no number"),
    ]


def test_scale_is_read_off_when_it_is_not_given(tmp_path):
    assert read(tmp_path, "x.csv", GOOD).rating_scale == (3.0, 4.5)


def test_implicit_data_has_the_roles_it_has(tmp_path):
    roles = {"user": "u", "item": "i", "click": "c", "weight": "w", "event": "e"}
    data = "u,i,c,w,e\na,x,true,2.5,buy\na,y,0,0,\na,z,maybe,1,v\na,w,1,-1,v\n"
    tables = read(tmp_path, "x.csv", data, columns=roles)
    log = tables.interactions
    assert list(log.columns) == ["user", "item", "click", "weight", "event"]
    assert log["click"].tolist() == [1, 0]
    assert log["weight"].tolist() == [2.5, 0.0]
    assert log["event"].tolist() == ["buy", ""]
    assert tables.rating_scale is None
    assert [(row["line"], row["reason"]) for row in rejected(tmp_path)] == [
        (4, "c: neither 0/1 nor true/false"),
        (5, "w: no number of at least 0"),
    ]


TEXTS = ["霸王别姬", "👩‍👩‍👧 family", "שלום עולם", "مرحبا", "é e\u0301", "a\u2028b", "tab\there"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_texts_of_the_world_and_a_megabyte_survive(tmp_path, kind):
    texts = [*TEXTS, "x" * 1_000_000]
    frame = pd.DataFrame({"id": [str(i) for i in range(len(texts))], "title": texts})
    name = f"items.{kind}"
    if kind == "csv":
        frame.to_csv(tmp_path / name, index=False)
    elif kind == "jsonl":
        rows = frame.to_dict("records")
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        (tmp_path / name).write_text(text, encoding="utf-8")
    else:
        frame.to_parquet(tmp_path / name)
    tables = read(
        tmp_path, "x.csv", GOOD, items=(TableConfig(name, {"item": "id", "title": "title"}),)
    )
    assert tables.items["title"].tolist()[: len(texts)] == texts
    check_counts(tables, tmp_path)


def test_ids_of_the_world_are_kept_and_control_characters_are_not(tmp_path):
    ids = ["霸王", "👩‍👩‍👧", "שלום"]
    data = "u,i,t,r\n" + "".join(f"{one},a,1,1\n" for one in [*ids, "a\x00b", "a\x85b"])
    tables = read(tmp_path, "x.csv", data)
    assert tables.interactions["user"].tolist() == ids
    assert [row["line"] for row in rejected(tmp_path)] == [5, 6]


def test_json_lines_that_are_no_rows(tmp_path):
    lines = [
        '{"u": 1, "i": 2.0, "x": [1, {}]}',
        "{",
        "[1]",
        '{"u": "\\ud800", "i": 1}',
        '{"u": {"a": 1}, "i": 1}',
        "",
        '{"i": 1}',
        '{"u": true, "i": 1.5}',
    ]
    tables = read(
        tmp_path, "x.jsonl", "\n".join(lines) + "\r\n", columns={"user": "u", "item": "i"}
    )
    assert tables.interactions["user"].tolist() == ["1", "true"]
    assert tables.interactions["item"].tolist() == ["2", "1.5"]
    found = {row["line"]: row["reason"] for row in rejected(tmp_path)}
    assert list(found) == [2, 3, 4, 5, 7]
    assert found[2].startswith("not JSON")
    assert found[3] == "not a JSON object"
    assert "half a character" in found[4]
    assert "an object where a text" in found[5]
    assert found[7] == "u: no user id"
    check_counts(tables, tmp_path)


def test_items_are_joined_from_several_tables_and_orphans_get_rows(tmp_path):
    (tmp_path / "items.csv").write_text(
        "id,name,genres,year\na,Alpha,x|y|x,1999\nc,Gamma,,\na,Other,z,2000\n,none,,\n", "utf-8"
    )
    (tmp_path / "tags.jsonl").write_text(
        '{"m":"a","tag":"fun"}\n{"m":"a","tag":"dark"}\n{"m":"a","tag":"fun"}\n'
        '{"m":"d","tag":["p","q"]}\n',
        "utf-8",
    )
    items = TableConfig(
        "items.csv",
        {"item": "id", "title": "name", "genres": "genres", "year": "year"},
        {"genres": "category", "year": "number"},
    )
    tags = TableConfig("tags.jsonl", {"item": "m", "tags": "tag"}, {"tags": "category"})
    tables = read(tmp_path, "x.csv", GOOD, items=(items, tags))
    frame = tables.items
    assert frame.index.tolist() == ["a", "c", "d", "b"]
    assert frame.loc["a"].tolist() == ["Alpha", "x, y, z", 1999.0, "fun, dark"]
    assert frame.loc["d", "tags"] == "p, q"
    assert frame.loc["b"].isna().all()
    assert frame.loc["c"].isna().tolist() == [False, True, True, True]
    assert any(
        "1 items of the log have no row" in line and "'b'" in line for line in tables.warnings
    )
    assert any("another 'name'" in line for line in tables.warnings)
    assert rejected(tmp_path)[0]["file"] == "items.csv"
    assert tables.users.index.tolist() == ["007", "7"]
    assert list(tables.users.columns) == []
    check_counts(tables, tmp_path)


def test_one_attribute_from_two_tables(tmp_path):
    (tmp_path / "a.csv").write_text("id,g,t\na,x,\nb,y,B\n")
    (tmp_path / "b.csv").write_text("id,g,t\na,z,A\nb,y,C\n")
    kinds = {"g": "category"}
    parts = tuple(TableConfig(f"{n}.csv", {"item": "id", "g": "g", "t": "t"}, kinds) for n in "ab")
    frame = read(tmp_path, "x.csv", GOOD, items=parts).items
    assert frame["g"].tolist() == ["x, z", "y"]
    assert frame["t"].tolist() == ["A", "B"]
    other = (parts[0], TableConfig("b.csv", {"item": "id", "g": "g"}))
    with pytest.raises(ConfigError, match="'g' is category in one item table and text in another"):
        read(tmp_path, "x.csv", GOOD, items=other)


def test_cells_that_are_no_numbers_are_counted(tmp_path):
    (tmp_path / "u.csv").write_text("id,age\n7,old\n007,30\n")
    users = (TableConfig("u.csv", {"user": "id", "age": "age"}, {"age": "number"}),)
    tables = read(tmp_path, "x.csv", GOOD, users=users)
    assert np.isnan(tables.users.loc["7", "age"])
    assert tables.users.loc["007", "age"] == 30
    assert "1 cells of 'age' are no numbers" in tables.warnings[0]
    assert "first 'old' in line 2" in tables.warnings[0]


def test_too_many_rejects_stop_but_are_written(tmp_path):
    data = GOOD + "".join(f"a,{i},1,bad\n" for i in range(3))
    with pytest.raises(DataError) as caught:
        read(tmp_path, "x.csv", data, limit=0.5)
    message = str(caught.value)
    assert (
        "x.csv: 3 of 5 rows rejected (60.0%, the limit is 50.0%), 3 for `r: no number`" in message
    )
    assert "rejects.jsonl" in message
    assert "\n" not in message
    assert len(rejected(tmp_path)) == 3
    assert len(read(tmp_path, "x.csv", data, limit=0.6).interactions) == 2
    with pytest.raises(DataError, match="1 of 1 rows rejected"):
        read(tmp_path, "x.csv", "u,i,t,r\n,a,1,1\n", limit=1.0)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.csv", b"", "x.csv is empty: give a file with a row or more"),
        ("x.csv", b"\n \n", "x.csv is empty"),
        ("x.csv", b"u,i,t,r\n", "x.csv has no rows"),
        ("x.csv", b'"u,i,t,r\n', "x.csv has no header"),
        ("x.csv", b"u,u,i,t,r\na,a,b,1,2\n", "x.csv: the column 'u' occurs twice"),
        ("x.csv", b"U,i,t,r\na,b,1,2\n", "no column 'u' for 'user': did you mean 'U'? The columns"),
        ("x.csv", b"q,i,t,r\na,b,1,2\n", "no column 'u' for 'user': The columns are q, i, t, r"),
        ("x.jsonl", b'{"i":1,"t":1,"r":1}\n', "no column 'u' for 'user'"),
        ("x.parquet", b"PAR1", "x.parquet: not a Parquet file"),
        ("x.csv.gz", b"\x1f\x8b\x08", "x.csv.gz: broken gzip"),
        ("x.csv.gz", gzip.compress(GOOD.encode(), mtime=0)[:-9], "x.csv.gz: broken gzip"),
        ("x.xls", b"1", "x.xls: the ending '.xls' tells no format"),
    ],
)
def test_files_that_cannot_be_read_are_one_line(tmp_path, name, data, message):
    with pytest.raises(DataError) as caught:
        read(tmp_path, name, data)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_encodings_that_do_not_fit(tmp_path):
    with pytest.raises(DataError, match="cannot decode as utf-16"):
        read(tmp_path, "x.csv", b"\xff\xfea", table={"encoding": "utf-16"})
    with pytest.raises(DataError, match="cannot decode as klingon"):
        read(tmp_path, "x.csv", GOOD, table={"encoding": "klingon"})
    tables = read(tmp_path, "x.csv", GOOD.encode("utf-16"), table={"encoding": "utf-16"})
    assert len(tables.interactions) == 2


def test_missing_column_of_parquet_is_named(tmp_path):
    pq.write_table(pa.table({"userId": [1], "i": [1]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"no column 'userid' for 'user': did you mean 'userId'\?"):
        read(
            tmp_path,
            "x.parquet",
            (tmp_path / "x.parquet").read_bytes(),
            columns={"user": "userid", "item": "i"},
        )


def test_paths_may_hold_variables(tmp_path, monkeypatch):
    (tmp_path / "x.csv").write_text(GOOD)
    log = TableConfig("${SSREC_TEST}/x.csv", ROLES)
    monkeypatch.setenv("SSREC_TEST", str(tmp_path))
    assert len(read_tables(DataConfig(interactions=log), base=Path("/")).interactions) == 2
    monkeypatch.delenv("SSREC_TEST")
    with pytest.raises(ConfigError, match=r"variable \$\{SSREC_TEST\} is not set: export it"):
        read_tables(DataConfig(interactions=log), base=tmp_path)


def test_other_faults_of_the_configuration(tmp_path):
    with pytest.raises(StorageError, match=r"absent\.csv: no such file"):
        read_tables(DataConfig(interactions=TableConfig("absent.csv", ROLES)), base=tmp_path)
    with pytest.raises(ConfigError, match=r"data\.interactions is missing"):
        read_tables(DataConfig(dataset="d"), base=tmp_path)
    with pytest.raises(ConfigError, match=r"columns\.title is no role"):
        read(tmp_path, "x.csv", GOOD, columns={**ROLES, "title": "u"})


def test_explicit_format_and_reading_of_a_named_file(tmp_path):
    tables = read(tmp_path, "log.txt", GOOD.replace(",", "\t"), table={"format": "tsv"})
    assert tables.name == "log"
    assert len(tables.interactions) == 2


CELL = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1).filter(
    lambda text: text.strip() not in ("", "NaN", "nan", "NULL", "null", "None", "<NA>", "\\N")
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8), kind=st.sampled_from("ct"))
def test_what_pythons_csv_writes_is_read_back(folder, rows, kind):
    text = io.StringIO()
    writer = csv.writer(text, delimiter="," if kind == "c" else "\t")
    writer.writerows([("u", "i"), *rows])
    roles = {"user": "u", "item": "i"}
    tables = read(folder, f"x.{kind}sv", text.getvalue(), columns=roles)
    pairs = list(zip(tables.interactions["user"], tables.interactions["item"], strict=True))
    assert pairs == list(dict.fromkeys((user.strip(), item.strip()) for user, item in rows))


@settings(max_examples=150, deadline=None)
@given(
    data=st.lists(
        st.sampled_from(
            [b'"', b",", b"\t", b"\n", b"\r\n", b"a", b"7", b"\xff", b"\xc3\xa9", b"{"]
        ),
        max_size=60,
    ).map(b"".join),
    name=st.sampled_from(["x.csv", "x.tsv", "x.jsonl"]),
)
def test_no_bytes_break_the_reader_and_no_line_is_lost(folder, data, name):
    header = b"" if name == "x.jsonl" else b"u,i\n".replace(b",", b"," if "c" in name else b"\t")
    good = b'{"u":"z","i":"z"}\n' if name == "x.jsonl" else b"z,z\n"
    good = good.replace(b",", b"\t") if name == "x.tsv" else good
    tables = read(folder, name, header + good + data, columns={"user": "u", "item": "i"})
    check_counts(tables, folder)
    found = [row["line"] for row in rejected(folder)]
    assert len(set(found)) == len(found)
    lines = (header + good + data).replace(b"\r\n", b"\n").split(b"\n")
    # Without quotes a line is a row: each that is not blank is accounted for.
    if b'"' not in data:
        blanks = None if name == "x.jsonl" else b""
        wanted = sum(bool(line.strip(blanks)) for line in lines[bool(header) :])
        assert tables.counts[0].read == wanted
