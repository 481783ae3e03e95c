"""Vocabulary: order of ids, determinism, files, and mistakes that are named."""

import json
import subprocess
import sys

import pytest

from ssrec_tf.errors import VocabularyError
from ssrec_tf.vocabulary import (
    SPECIAL,
    Vocabulary,
    load_huggingface,
    load_preset,
    train_vocabulary,
)

TEXTS = ["the toy story", "the story of a toy", "toys and stories", "über straße"] * 2


def make():
    return train_vocabulary(TEXTS, items=["10", "007"], ratings=[1, 2.5], size=80, lowercase=True)


def test_ids_in_their_order():
    vocabulary = make()
    assert vocabulary.words[:5] == SPECIAL
    assert (vocabulary.pad_id, vocabulary.unk_id, vocabulary.cls_id) == (0, 1, 2)
    assert (vocabulary.sep_id, vocabulary.mask_id) == (3, 4)
    count = len(vocabulary.words)
    assert (vocabulary.item_id, vocabulary.rated_id) == (count, count + 1)
    assert (vocabulary.first_rating_id, vocabulary.first_item_id) == (count + 2, count + 4)
    assert vocabulary.items == ("007", "10")
    assert (vocabulary.size, vocabulary.num_items) == (count + 6, 2)


def test_frequent_words_are_whole_and_normalized():
    words = make().words
    assert {"the", "toy", "story"} <= set(words)
    assert "ü" not in words  # uncased text has no accents
    assert all(f"##{c}" in words for c in "abt")


@pytest.mark.slow
def test_another_process_gives_the_same_words():
    code = (
        "from ssrec_tf.vocabulary import train_vocabulary;"
        f"print(train_vocabulary({TEXTS!r}, items=[], ratings=[], size=80).words)"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == str(make().words)


def test_save_and_load(tmp_path):
    vocabulary = make().without(["the"])
    vocabulary.save(tmp_path / "vocabulary")
    assert Vocabulary.load(tmp_path / "vocabulary") == vocabulary


def test_no_texts_still_make_a_vocabulary():
    assert train_vocabulary([], items=[], ratings=[]).words == SPECIAL


def test_huggingface_folders(tmp_path):
    words = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "toy", "##s"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    vocabulary = load_huggingface(tmp_path, items=["2", "1"], ratings=[1])
    assert (vocabulary.unk_id, vocabulary.mask_id, vocabulary.items) == (2, 5, ("1", "2"))
    assert vocabulary.lowercase
    (tmp_path / "vocab.txt").unlink()
    model = {"type": "WordPiece", "vocab": {word: i for i, word in enumerate(words)}}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": model}))
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    cased = load_huggingface(tmp_path, items=[], ratings=[])
    assert (cased.words, cased.lowercase) == (tuple(words), False)


def test_preset_folders(tmp_path):
    with pytest.raises(VocabularyError, match=r"no WordPiece tokenizer \(it has None\)"):
        load_preset(tmp_path, items=[], ratings=[])
    (tmp_path / "assets" / "tokenizer").mkdir(parents=True)
    (tmp_path / "assets" / "tokenizer" / "vocabulary.txt").write_text(
        "\n".join(SPECIAL) + "\ntoy\n"
    )
    body = {"class_name": "BertTokenizer", "config": {"lowercase": True}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(body))
    vocabulary = load_preset(tmp_path, items=["2", "1"], ratings=[1])
    assert vocabulary == Vocabulary((*SPECIAL, "toy"), (1.0,), ("1", "2"), lowercase=True)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(VocabularyError, match=r"tokenizer\.json is not readable"):
        load_preset(tmp_path, items=[], ratings=[])


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({}, "holds no BERT vocabulary"),
        ({"vocab.txt": "[PAD]\ntoy\n"}, r"lacks \[UNK\], \[CLS\]"),
        ({"vocab.txt": "a\n[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"}, "token 0 is 'a'"),
        ({"tokenizer.json": '{"model": {"type": "BPE"}}'}, "is BPE, not WordPiece"),
        (
            {"vocab.txt": "[PAD]\n", "tokenizer_config.json": '{"strip_accents": false}'},
            "strip_accents=False must follow",
        ),
        (
            {"vocab.txt": "a\n", "tokenizer_config.json": '{"tokenize_chinese_chars": false}'},
            "tokenize_chinese_chars=False is not supported",
        ),
        (
            {"tokenizer.json": '{"model": {"type": "WordPiece", "vocab": {"[PAD]": 0, "a": 2}}}'},
            r"no word has id 1 \(the next is 'a'\)",
        ),
        (
            {
                "tokenizer.json": '{"model": {"type": "WordPiece", '
                '"continuing_subword_prefix": "_"}}'
            },
            "continues words by '_'",
        ),
        ({"tokenizer.json": "[]"}, "tokenizer.json is no JSON object"),
        ({"tokenizer.json": '{"model": []}'}, "holds no BERT vocabulary"),
    ],
)
def test_mistakes_are_named(tmp_path, files, match):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(VocabularyError, match=match):
        load_huggingface(tmp_path, items=[], ratings=[])


def test_case_is_read_from_the_normalizer_where_no_config_says_it(tmp_path):
    words = {word: i for i, word in enumerate((*SPECIAL, "Toy"))}
    body = {
        "normalizer": {"type": "BertNormalizer", "lowercase": False, "strip_accents": None},
        "model": {"type": "WordPiece", "vocab": words},
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(body))
    assert not load_huggingface(tmp_path, items=[], ratings=[]).lowercase


@pytest.mark.parametrize("size", [60, 100, 300])
def test_size_is_a_maximum(size):
    texts = [f"{a}{b}{a} {b}{c} {c}{a}" for a in "abcde" for b in "lmnopq" for c in "uvwxyz"]
    words = train_vocabulary(texts, items=[], ratings=[], size=size).words
    assert len(words) <= size
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("body", ["{}", "[]", "no json"])
def test_a_damaged_saved_vocabulary_is_named(tmp_path, body):
    make().save(tmp_path)
    (tmp_path / "vocabulary.json").write_text(body)
    with pytest.raises(VocabularyError, match="no readable vocabulary"):
        Vocabulary.load(tmp_path)


def test_a_missing_saved_vocabulary_is_named(tmp_path):
    with pytest.raises(VocabularyError, match="no readable vocabulary"):
        Vocabulary.load(tmp_path)
