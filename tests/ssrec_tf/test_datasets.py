"""One dataset from two sources: the same rows, whichever answers; and no network in one line."""

import hashlib
import http.client
import io
import subprocess
import urllib.error
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from ssrec_tf import datasets, wheels
from ssrec_tf.config import DataConfig, TableConfig
from ssrec_tf.errors import ConfigError, DataError, NetworkError
from ssrec_tf.storage import sha256_folder

LOG = [("1", "50", "5", "881250949"), ("2", "267", "1", "881250950"), ("1", "543", "4", "1")]
FLAGS = {"50": "0110000000000010010", "267": "1" + "0" * 18, "543": "0000000010001000000"}
TITLES = {"50": "Star Wars (1977)", "267": "unknown", "543": "Misérables, Les (1995)"}
TITLES["1412"] = "Land Before Time III: The Time of the Great Giving (1995) (V)"
FLAGS["1412"] = "0001100000000000000"
WHEEL_ITEMS = [
    "50\tStar Wars\t1977\tAction Adventure Romance War",
    "267\tunkonwn\tunkonwn\tunknown",
    "543\tMisérables, Les\t1995\tDrama Musical",
    "1412\tLand Before Time III: The Time of the Great Giving (1995)\tV\tAnimation Children's",
]
USERS = [("1", "24", "M", "technician", "85711"), ("2", "53", "F", "other", "94043")]


def pack(folder: str, files: dict[str, bytes]) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"{folder}/{name}", data)
    return body.getvalue()


def archive() -> bytes:
    # Their titles have stray blanks: one at the end of film 1201, for one.
    items = [
        f"{i}|{title} |01-Jan-1990||http://x|{'|'.join(FLAGS[i])}" for i, title in TITLES.items()
    ]
    items[1] = items[1].replace("unknown |", "unknown|")
    return pack(
        "ml-100k",
        {
            "u.data": "".join("\t".join(row) + "\n" for row in LOG).encode(),
            "u.item": "".join(f"{row}\n" for row in items).encode("latin-1"),
            "u.user": "".join("|".join(row) + "\n" for row in USERS).encode(),
        },
    )


def wheel() -> bytes:
    def table(header: str, rows: list[str]) -> bytes:
        return "".join(f"{row}\n" for row in [header, *rows]).encode()

    return pack(
        "recbole/dataset_example/ml-100k",
        {
            "ml-100k.inter": table("user_id:token\tetc", ["\t".join(row) for row in LOG]),
            "ml-100k.item": table("item_id:token\tetc", WHEEL_ITEMS),
            "ml-100k.user": table("user_id:token\tetc", ["\t".join(row) for row in USERS]),
        },
    )


@pytest.fixture
def small(monkeypatch) -> None:
    """Expect the small dataset above."""
    files = {
        "interactions.csv": (
            b"user,item,rating,time\n1,50,5,881250949\n2,267,1,881250950\n1,543,4,1\n"
        ),
        "items.csv": (
            "item,title,year,genres\n50,Star Wars,1977,Action|Adventure|Romance|War\n"
            '267,unknown,,\n543,"Misérables, Les",1995,Drama|Musical\n'
            "1412,Land Before Time III: The Time of the Great Giving,1995,Animation|Children's\n"
        ).encode(),
        "users.csv": (
            b"user,age,gender,occupation,zip_code\n1,24,M,technician,85711\n2,53,F,other,94043\n"
        ),
    }
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    monkeypatch.setattr(datasets, "_DIGESTS", digests)


class Answer(io.BytesIO):
    headers = {"Content-Length": "9"}  # noqa: RUF012 a stand-in for http.client's


def offline(*_args, **_kwargs):
    raise urllib.error.URLError("no route to host")


def cut_short(*_args, **_kwargs):
    raise http.client.IncompleteRead(b"half")


def answer_with(data: bytes):
    return lambda url, timeout: Answer(data)


def pip_with(data: bytes | None, stderr: str = ""):
    def run(command, **_kwargs):
        assert command[1:4] == ["-m", "pip", "download"]
        assert "--no-deps" in command
        if data is not None:
            Path(command[command.index("--dest") + 1], "recbole-1.2.1-x.whl").write_bytes(data)
        return SimpleNamespace(returncode=int(data is None), stderr=stderr)

    return run


def test_both_sources_give_the_same_files():
    assert datasets.read_archive(archive()) == datasets.read_wheel(wheel())


@pytest.mark.parametrize("source", ["archive", "wheel"])
def test_load_fetches_once_and_caches(small, tmp_path, monkeypatch, source):
    if source == "archive":
        monkeypatch.setattr(datasets.urllib.request, "urlopen", answer_with(archive()))
        monkeypatch.setattr(wheels.subprocess, "run", pip_with(None))
    else:
        monkeypatch.setattr(datasets.urllib.request, "urlopen", offline)
        monkeypatch.setattr(wheels.subprocess, "run", pip_with(wheel()))
    tables = datasets.load("movielens-100k", cache=tmp_path)
    log = tables.interactions
    assert log["user"].tolist() == ["1", "2", "1"]
    assert log["time"].tolist() == [881250949, 881250950, 1]
    assert log["click"].tolist() == [1, 0, 1]
    assert tables.items.loc["50"].tolist() == [
        "Star Wars", "1977", "Action, Adventure, Romance, War"
    ]  # fmt: skip
    assert tables.items.loc["543", "title"] == "Misérables, Les"
    assert tables.items.loc["1412", "year"] == "1995"
    assert tables.items.loc["267"].isna().tolist() == [False, True, True]
    assert tables.users.loc["2"].tolist() == ["53", "F", "other", "94043"]
    assert (tables.name, tables.rating_scale, tables.click_threshold) == (
        "movielens-100k", (1.0, 5.0), 4.0
    )  # fmt: skip
    assert tables.warnings == ()
    # Again, from the cache alone.
    monkeypatch.setattr(datasets.urllib.request, "urlopen", offline)
    monkeypatch.setattr(wheels.subprocess, "run", pip_with(None))
    assert datasets.load("movielens-100k", cache=tmp_path).interactions.equals(log)


def test_a_damaged_cache_is_fetched_again(small, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.urllib.request, "urlopen", answer_with(archive()))
    datasets.load("movielens-100k", cache=tmp_path)
    good = sha256_folder(tmp_path)
    (tmp_path / "movielens-100k" / "items.csv").write_text("item\n")
    datasets.load("movielens-100k", cache=tmp_path)
    assert sha256_folder(tmp_path) == good


def test_a_source_with_other_content_is_passed_over(small, tmp_path, monkeypatch):
    other = archive().replace(b"881250950", b"881250951")  # stored, not compressed
    monkeypatch.setattr(datasets.urllib.request, "urlopen", answer_with(other))
    monkeypatch.setattr(wheels.subprocess, "run", pip_with(wheel()))
    monkeypatch.setattr(datasets.zipfile.ZipExtFile, "_update_crc", lambda self, data: None)
    assert len(datasets.load("movielens-100k", cache=tmp_path).interactions) == 3
    monkeypatch.setattr(wheels.subprocess, "run", pip_with(None))
    with pytest.raises(NetworkError, match=r"archive has other content in interactions\.csv"):
        datasets.load("movielens-100k", cache=tmp_path / "other")


def test_without_a_network_the_error_is_one_line_with_a_remedy(small, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.urllib.request, "urlopen", offline)
    monkeypatch.setattr(
        wheels.subprocess, "run", pip_with(None, "WARNING: retry\nERROR: No matching version\n")
    )
    with pytest.raises(NetworkError) as caught:
        datasets.load("movielens-100k", cache=tmp_path)
    message = str(caught.value)
    assert "no route to host" in message
    assert "ERROR: No matching version" in message
    assert f"has it to {tmp_path}" in message
    assert "\n" not in message
    assert not list(tmp_path.iterdir())


def test_sources_that_answer_with_rubbish_or_never(small, tmp_path, monkeypatch):
    def never(command, **_kwargs):
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(datasets.urllib.request, "urlopen", answer_with(b"<html>"))
    monkeypatch.setattr(wheels.subprocess, "run", never)
    with pytest.raises(NetworkError, match=r"not the expected archive .*; pip gave no answer in"):
        datasets.load("movielens-100k", cache=tmp_path)
    monkeypatch.setattr(datasets.urllib.request, "urlopen", cut_short)
    with pytest.raises(NetworkError, match="IncompleteRead"):
        datasets.load("movielens-100k", cache=tmp_path)
    with pytest.raises(DataError, match="not the expected archive"):
        datasets.read_archive(pack("other", {"u.data": b""}))


def test_unknown_names():
    with pytest.raises(ConfigError, match="unknown dataset 'netflix': known is movielens-100k"):
        datasets.load("netflix")


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SSREC_TF_CACHE", str(tmp_path))
    assert datasets.default_cache() == tmp_path
    monkeypatch.delenv("SSREC_TF_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert datasets.default_cache() == tmp_path / ".cache" / "ssrec_tf"


def test_load_data_reads_a_name_or_files(small, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.urllib.request, "urlopen", answer_with(archive()))
    config = DataConfig(dataset="movielens-100k")
    rejects = tmp_path / "rejects.jsonl"
    tables = datasets.load_data(config, base=tmp_path, cache=tmp_path / "c", rejects=rejects)
    assert tables.interactions["click"].tolist() == [1, 0, 1]
    assert rejects.read_text() == ""
    strict = DataConfig(dataset="movielens-100k", click_threshold=5)
    tables = datasets.load_data(strict, base=tmp_path, cache=tmp_path / "c")
    assert tables.interactions["click"].tolist() == [1, 0, 0]
    assert tables.click_threshold == 5
    (tmp_path / "x.csv").write_text("u,i\n1,2\n")
    own = DataConfig(interactions=TableConfig("x.csv", {"user": "u", "item": "i"}))
    assert len(datasets.load_data(own, base=tmp_path).interactions) == 1


@pytest.mark.slow
def test_the_real_dataset():
    try:
        tables = datasets.load("movielens-100k")
    except NetworkError as error:
        pytest.skip(str(error))
    assert len(tables.interactions) == 100_000
    assert (len(tables.users), len(tables.items)) == (943, 1682)
    assert tables.interactions.iloc[0].tolist() == ["196", "242", 881250949, 3.0, 0]
    assert round(float(tables.interactions["rating"].mean()), 5) == 3.52986
    # Counts of the dataset's own README and u.info.
    assert tables.users["gender"].value_counts().to_dict() == {"M": 670, "F": 273}
    assert tables.items.loc["1633", "title"] == "Á köldum klaka (Cold Fever)"
    assert tables.items["title"].notna().all()
    assert tables.items["year"].isna().sum() == 1
    assert tables.items["genres"].isna().sum() == 2
