"""Other wordings of the items' texts: synonyms, and paraphrases that something else has made.

A wording is made of the rendered text and tokenized as it is; the training draws which one
it reads.

References:
    Wei & Zou 2019, "EDA", arXiv:1901.11196 (synonyms).
    Sennrich et al. 2016, arXiv:1511.06709 (back-translation, a source of paraphrases).
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ssrec_tf.config import TableConfig
from ssrec_tf.config_io import read_yaml, show
from ssrec_tf.config_regularisation import AlternativesConfig
from ssrec_tf.errors import ConfigError, DataError
from ssrec_tf.rendering import Piece, join_pieces
from ssrec_tf.storage import storage_errors
from ssrec_tf.table_reading import read_table

Synonyms = Mapping[str, Sequence[str]]
"""From a word, or some words, in lower case to what may stand for it."""

Paraphraser = Callable[[pd.Series], Sequence[Sequence[str]]]
"""From texts, str [items] by item id, to paraphrases of each, none or any number.

Here a translation there and back is plugged in, or any other model.
"""

WORDNET = "wordnet"
_WORD = re.compile(r"\w+(?:['’-]\w+)*")


def reworded(
    pieces: Sequence[Piece],
    index: pd.Index,
    config: AlternativesConfig,
    *,
    base: Path,
    paraphrase: Paraphraser | None = None,
) -> list[list[Piece]]:
    """Word the items' texts anew, `config.count` times.

    An item's paraphrases come first; where they end, its words are exchanged for synonyms,
    or without these the paraphrases are repeated. An item that nothing words anew keeps
    its text. The same text is always worded alike.

    Args:
        pieces: of `rendering.item_pieces`. Synonyms stay in the field of their word; a
            paraphrase is of no field.
        index: the items' ids.
        config: how many, and from where.
        base: folder that the paths in `config` start from.
        paraphrase: a source beside `config.paraphrases`.

    Returns:
        As many lists of pieces as `config.count` says.

    Raises:
        ConfigError: WordNet is not there, or a file is not what it should be.
        StorageError: a file cannot be read.
        DataError: the table of paraphrases lacks a column.
    """
    if config.count == 0:
        return []
    table = _synonyms(config.synonyms, base, pieces) if config.synonyms else {}
    given: list[list[str]] = [[] for _ in index]
    if config.paraphrases:
        _extend(given, _read_paraphrases(resolve(config.paraphrases, base), index))
    if paraphrase is not None:
        _extend(given, paraphrase(join_pieces(pieces, index)))
    wordings = []
    for slot in range(config.count):
        chosen = [_pick(texts, slot, repeat=not table) for texts in given]
        own = pd.Series([text is None for text in chosen], index=index)
        exchanged = [
            Piece(
                piece.field, _exchange(piece.texts, table, config.synonym_rate, slot).where(own, "")
            )
            for piece in pieces
        ]
        paraphrases = pd.Series([text or "" for text in chosen], index=index, dtype=object)
        wordings.append([*exchanged, Piece(None, paraphrases)])
    return wordings


def read_synonyms(path: Path) -> dict[str, tuple[str, ...]]:
    """Read a table of synonyms.

    Args:
        path: YAML, a list (or one) for each word; or TSV without a header, a word and its
            synonyms on a line. A key may be several words, in any case.

    Raises:
        StorageError: the file cannot be read.
        ConfigError: it is not of this form, or empty; names the place.
    """
    found: dict[str, tuple[str, ...]] = {}
    for place, word, values in _synonym_rows(path):
        synonyms = values if isinstance(values, list) else [values]
        good = [text for text in [word, *synonyms] if isinstance(text, str) and text.strip()]
        if not isinstance(word, str) or not 1 < len(good) == 1 + len(synonyms):
            raise ConfigError(
                f"{place}: {show(word)}: {show(values)}: give a word and its synonyms, texts "
                "in quotes where need be"
            )
        found[word.strip().casefold()] = tuple(good[1:])
    if not found:
        raise ConfigError(f"{path} holds no synonyms: give a word and its synonyms on each line")
    return found


def wordnet_synonyms(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Synonyms of words in their commonest sense, by WordNet; words without any left out.

    Raises:
        ConfigError: nltk is not installed, or its WordNet is not at hand.

    Reference:
        Miller 1995, "WordNet: a lexical database for English".
    """
    try:
        wordnet = importlib.import_module("nltk.corpus").wordnet
        wordnet.ensure_loaded()
    except ImportError as error:
        raise ConfigError(
            f"text.alternatives.synonyms is 'wordnet' but nltk cannot be imported ({error}): "
            "pip install 'ssrec-tf[augment]', or name a file of synonyms"
        ) from error
    except LookupError as error:
        raise ConfigError(
            "text.alternatives.synonyms is 'wordnet' but nltk finds no WordNet: fetch it by "
            "`python -m nltk.downloader wordnet`, or name a file of synonyms"
        ) from error
    found = {}
    for word in words:
        senses = wordnet.synsets(word)
        names = senses[0].lemma_names() if senses else []
        others = dict.fromkeys(name.replace("_", " ") for name in names)
        if synonyms := tuple(name for name in others if name.casefold() != word.casefold()):
            found[word.casefold()] = synonyms
    return found


def resolve(path: str, base: Path) -> Path:
    """Where a path of the configuration leads: variables filled in, relative to `base`."""
    return base / os.path.expanduser(os.path.expandvars(path))


def _synonyms(source: str, base: Path, pieces: Sequence[Piece]) -> Synonyms:
    if source != WORDNET:
        return read_synonyms(resolve(source, base))
    texts = (text for piece in pieces for text in piece.texts.unique())
    return wordnet_synonyms(sorted({w.casefold() for text in texts for w in _WORD.findall(text)}))


def _synonym_rows(path: Path) -> list[tuple[str, object, object]]:
    """Place, word and synonyms of each entry, unchecked."""
    if path.suffix not in (".tsv", ".tab"):
        body = read_yaml(path)
        if not isinstance(body, Mapping):
            raise ConfigError(f"{path} is {show(body)}: give a word and its synonyms on each line")
        return [(str(path), word, values) for word, values in body.items()]
    with storage_errors(path, "read"):
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    rows = [line.split("\t") for line in text.splitlines()]
    return [(f"{path}:{n}", row[0], row[1:]) for n, row in enumerate(rows, 1) if any(row)]


def _exchange(texts: pd.Series, table: Synonyms, rate: float, slot: int) -> pd.Series:
    """Exchange a share of the words that have synonyms: str [rows] to the same."""
    if not table:
        return texts
    longest = max(len(_WORD.findall(key)) for key in table)
    done = {text: _exchange_text(text, table, rate, slot, longest) for text in texts.unique()}
    return texts.map(done).astype(object)


def _exchange_text(text: str, table: Synonyms, rate: float, slot: int, longest: int) -> str:
    # The draws follow from the text alone: a catalogue may grow without changing them.
    digest = hashlib.sha256(f"{slot} {text}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    words = [match.span() for match in _WORD.finditer(text)]
    out, end, at = [], 0, 0
    while at < len(words):
        step, synonyms = 1, None
        for size in range(min(longest, len(words) - at), 0, -1):
            key = text[words[at][0] : words[at + size - 1][1]].casefold()
            if key in table:
                step, synonyms = size, table[key]
                break
        if synonyms is not None and rng.random() < rate:
            start, stop = words[at][0], words[at + step - 1][1]
            new = synonyms[int(rng.integers(len(synonyms)))]
            out += [text[end:start], new[:1].upper() + new[1:] if text[start].isupper() else new]
            end = stop
        at += step
    return "".join([*out, text[end:]])


def _read_paraphrases(path: Path, index: pd.Index) -> list[list[str]]:
    """Paraphrases of each item, in the file's order; those of other items are passed over."""
    table = TableConfig(str(path), {"item": "item", "paraphrase": "paraphrase"})
    raw = read_table(table, path)
    if raw.rejects:
        first = raw.rejects[0]
        raise DataError(f"{first.file}:{first.line}: {first.reason}: mend the row")
    found: list[list[str]] = [[] for _ in index]
    items, texts = (raw.columns[name].to_pylist() for name in ("item", "paraphrase"))
    for place, text in zip(index.get_indexer(pd.Index(items)), texts, strict=True):
        if place >= 0 and text:
            found[place].append(text)
    return found


def _extend(given: list[list[str]], more: Sequence[Sequence[str]]) -> None:
    """Append each item's paraphrases to those it has."""
    if len(more) != len(given):
        raise DataError(
            f"{len(more)} lists of paraphrases for {len(given)} items: give one for each, "
            "empty where there are none"
        )
    for texts, others in zip(given, more, strict=True):
        texts.extend(others)


def _pick(texts: Sequence[str], slot: int, *, repeat: bool) -> str | None:
    if not texts or (slot >= len(texts) and not repeat):
        return None
    return texts[slot % len(texts)]
