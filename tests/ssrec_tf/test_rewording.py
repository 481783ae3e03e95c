"""Other wordings by hand: synonyms by rate and field, paraphrases first, faults in one line."""

import importlib
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ssrec_tf.config import SplitConfig, TextConfig
from ssrec_tf.config_regularisation import AlternativesConfig
from ssrec_tf.errors import ConfigError, DataError, StorageError
from ssrec_tf.rendering import Piece, join_pieces
from ssrec_tf.rewording import read_synonyms, reworded, wordnet_synonyms
from ssrec_tf.splits import make_split
from ssrec_tf.text_table import TextTable
from tests.ssrec_tf.conftest import planted_tables

INDEX = pd.Index(["a", "b", "c"])


def pieces(*titles, genre="Comedy"):
    return [
        Piece("title", pd.Series(titles, index=INDEX, dtype=object)),
        Piece("genre", pd.Series([f". {genre}"] * 3, index=INDEX, dtype=object)),
    ]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path.name


def worded(parts, tmp_path, **options):
    found = reworded(parts, INDEX, AlternativesConfig(**options), base=tmp_path)
    return [join_pieces(wording, INDEX).tolist() for wording in found]


def test_all_words_with_synonyms_are_exchanged_the_longest_phrase_first(tmp_path):
    name = write(
        tmp_path / "words.yaml",
        "science fiction: [sci-fi]\nfiction: [prose]\nthe: a\nCAR: [auto]\n",
    )
    found = worded(
        pieces("The Science Fiction car's", "fiction, carpet", "", genre="Science fiction"),
        tmp_path,
        count=1,
        synonyms=name,
        synonym_rate=1.0,
    )
    assert found == [
        ["A Sci-fi car's. Sci-fi", "prose, carpet. Sci-fi", ". Sci-fi"],
    ]


def test_words_are_exchanged_at_their_rate_the_same_text_always_alike(tmp_path):
    name = write(tmp_path / "words.tsv", "old\tancient\taged\n\nman\tfellow\n")
    text = " ".join(["old man"] * 500)
    first, second = worded(
        pieces(text, text, "none"), tmp_path, count=2, synonyms=name, synonym_rate=0.3
    )
    assert first[0] == first[1]
    assert first[0] != second[0]
    words = first[0].split()
    assert np.mean([w in ("ancient", "aged") for w in words[::2]]) == pytest.approx(0.3, abs=0.06)
    assert words[1::2].count("fellow") / 500 == pytest.approx(0.3, abs=0.06)
    assert words.count("aged") == pytest.approx(words.count("ancient"), abs=40)
    assert first[2] == "none. Comedy"


def test_paraphrases_come_first_and_synonyms_or_they_again_after_them(tmp_path):
    table = write(tmp_path / "more.csv", "paraphrase,item\nA1,a\nA2,a\nB1,b\nX,elsewhere\n,c\n")
    words = write(tmp_path / "words.yaml", "film: [movie]")
    own = pieces("film 1", "film 2", "film 3")
    options = {"count": 3, "paraphrases": table, "synonym_rate": 1.0}
    assert worded(own, tmp_path, **options, synonyms=words) == [
        ["A1", "B1", "movie 3. Comedy"],
        ["A2", "movie 2. Comedy", "movie 3. Comedy"],
        ["movie 1. Comedy", "movie 2. Comedy", "movie 3. Comedy"],
    ]
    assert worded(own, tmp_path, **options)[2] == ["A1", "B1", "film 3. Comedy"]


def test_a_translation_there_and_back_is_plugged_in(tmp_path):
    asked = []

    def back(texts):
        asked.append(texts)
        return [[text.upper()] if item != "b" else [] for item, text in texts.items()]

    config = AlternativesConfig(count=1)
    found = reworded(pieces("x", "y", "z"), INDEX, config, base=tmp_path, paraphrase=back)
    assert join_pieces(found[0], INDEX).tolist() == ["X. COMEDY", "y. Comedy", "Z. COMEDY"]
    assert asked[0].tolist() == ["x. Comedy", "y. Comedy", "z. Comedy"]
    with pytest.raises(DataError, match="1 lists of paraphrases for 3 items"):
        reworded(pieces("x", "y", "z"), INDEX, config, base=tmp_path, paraphrase=lambda _: [[]])


def test_the_table_keeps_a_synonyms_field_and_knows_its_words(tmp_path):
    tables = planted_tables()
    name = write(tmp_path / "words.yaml", "horror: [spine chiller]")
    alternatives = AlternativesConfig(count=1, synonyms=name, synonym_rate=1.0)
    config = TextConfig("{title}[. {genre}]", vocabulary_size=300, alternatives=alternatives)
    split = make_split(tables, SplitConfig(seed=1))
    text = TextTable.build(tables, split, config, base=tmp_path)
    words = np.array(text.vocabulary.words)
    new, fields = text.item_alternatives[2, 0], text.alternative_fields[2, 0]  # item i01
    assert words[new[new != 0]].tolist() == ["film", "number", "1", ".", "spine", "chiller"]
    assert [text.field_names[n - 1] for n in fields[new != 0]] == ["title"] * 3 + ["genre"] * 3
    assert np.array_equal(text.item_alternatives[1, 0], text.item_tokens[1])  # a comedy
    text.save(tmp_path / "text")
    again = TextTable.load(tmp_path / "text")
    assert all(np.array_equal(value, vars(again)[key]) for key, value in vars(text).items())


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("w.yaml", "a: []", "'a'"),
        ("w.yaml", "a: [b, 3]", "'a': ['b', 3]: give a word and its synonyms"),
        ("w.yaml", "1: [b]", "1: ['b']"),
        ("w.yaml", "- a", "['a']: give a word and its synonyms on each line"),
        ("w.yaml", "a: b\na: c", "given twice"),
        ("w.tsv", "a\tb\nc\n", "w.tsv:2: 'c'"),
        ("w.tsv", "\n", "holds no synonyms"),
    ],
)
def test_a_fault_of_a_table_is_named(tmp_path, name, body, message):
    write(tmp_path / name, body)
    with pytest.raises(ConfigError) as caught:
        read_synonyms(tmp_path / name)
    assert message in str(caught.value)
    with pytest.raises(StorageError):
        read_synonyms(tmp_path / "absent.tsv")


class FakeWordNet:
    """nltk's interface over two senses of one word."""

    def ensure_loaded(self):
        pass

    def synsets(self, word):
        known = {"film": [["film", "motion_picture", "Film"], ["film", "plastic_film"]]}
        senses = known.get(word, [])
        return [SimpleNamespace(lemma_names=lambda names=names: names) for names in senses]


def test_wordnet_gives_the_commonest_sense(monkeypatch, tmp_path):
    fake = SimpleNamespace(wordnet=FakeWordNet())
    monkeypatch.setattr(importlib, "import_module", lambda name: fake)
    assert wordnet_synonyms(["film", "zebra"]) == {"film": ("motion picture",)}
    found = worded(
        pieces("Film 1", "b", "c"), tmp_path, count=1, synonyms="wordnet", synonym_rate=1
    )
    assert found[0][0] == "Motion picture 1. Comedy"


def test_wordnet_that_is_not_there_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk.corpus", None)
    with pytest.raises(ConfigError, match=r"pip install 'ssrec-tf\[augment\]'"):
        wordnet_synonyms(["film"])

    class Absent(FakeWordNet):
        def ensure_loaded(self):
            raise LookupError("Resource wordnet not found")

    monkeypatch.setattr(importlib, "import_module", lambda _: SimpleNamespace(wordnet=Absent()))
    with pytest.raises(ConfigError, match=r"python -m nltk\.downloader wordnet"):
        wordnet_synonyms(["film"])
