"""Token ids against the `tokenizers` library, over scripts, emoji, controls and long words."""

import random

import numpy as np
import pytest
import tensorflow as tf
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from ssrec_tf.tokenization import WordPieceTokenizer
from ssrec_tf.vocabulary import Vocabulary, train_vocabulary

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
RANGES = {
    "latin": (0x20, 0x7F),
    "accents": (0xC0, 0x250),
    "combining": (0x300, 0x370),
    "cyrillic": (0x400, 0x530),
    "hebrew_arabic": (0x590, 0x700),
    "devanagari": (0x900, 0x980),
    "thai": (0xE00, 0xE80),
    "jamo": (0x1100, 0x1200),
    "kana": (0x3040, 0x3100),
    "chinese": (0x4E00, 0x4F00),
    "hangul": (0xAC00, 0xAD00),
    "emoji": (0x1F300, 0x1F700),
    "joiners": (0x200B, 0x2070),
    "private": (0xE000, 0xE010),
    "controls": (0x00, 0x20),
    "more_controls": (0x7F, 0xA1),
    "variation": (0xFE00, 0xFE10),
    "specials": (0xFFF0, 0x10000),
    "rare_chinese": (0x20000, 0x20010),
    "tags": (0xE0100, 0xE0110),
    "unassigned": (0x40000, 0x40010),
    "unassigned_tags": (0xE1000, 0xE1010),
    "private_end": (0xFFFF8, 0x100008),
    "last": (0x10FFF8, 0x110000),
}


def generated(count, seed):
    rng = random.Random(seed)
    texts = [
        "",
        "   ",
        "[MASK] [SEP] [ITEM] [PAD]",
        "a" * 100,
        "a" * 101,
        "👨‍👩‍👧 family",
        "\x00\ufffd",
    ]
    while len(texts) < count:
        text = ""
        for _ in range(rng.randint(0, 8)):
            low, high = rng.choice(list(RANGES.values()))
            length = rng.randint(1, 8 if rng.random() < 0.98 else 120)
            text += "".join(chr(rng.randrange(low, high)) for _ in range(length))
            text += rng.choice(["", " "])
        texts.append(text)
    return texts


@pytest.fixture(scope="module")
def words():
    """Pieces of all scripts: single characters, and words of two."""
    rng = random.Random(0)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "toy", "story", "##s", "##ory", "st"]
    for low, high in RANGES.values():
        for _ in range(120):
            characters = "".join(chr(rng.randrange(low, high)) for _ in range(rng.randint(1, 3)))
            piece = normalizers.BertNormalizer().normalize_str(characters).strip()
            if piece and " " not in piece:
                pieces += [piece, "##" + piece]
    return tuple(dict.fromkeys(pieces))


def reference(words, lowercase):
    """BERT's tokenizer without special tokens in text, built of the library's parts."""
    pieces = {word: i for i, word in enumerate(words) if word not in SPECIAL} | {"[UNK]": 1}
    tokenizer = tokenizers.Tokenizer(
        models.WordPiece(pieces, unk_token="[UNK]", max_input_chars_per_word=100)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


@pytest.mark.slow
@pytest.mark.parametrize("lowercase", [True, False])
def test_ids_equal_the_reference(words, lowercase):
    texts = generated(10_000, seed=1)
    ours = WordPieceTokenizer(Vocabulary(words, (), (), lowercase))(tf.constant(texts)).to_list()
    theirs = reference(words, lowercase).encode_batch(texts)
    wrong = [
        (ascii(text), mine, other.ids)
        for text, mine, other in zip(texts, ours, theirs, strict=True)
        if mine != other.ids
    ]
    assert wrong == []
    assert np.mean([1 in ids for ids in ours]) < 0.98  # not all is unknown


@pytest.mark.slow
@pytest.mark.parametrize("lowercase", [True, False])
def test_every_character_equals_the_reference(lowercase):
    """Each code point between two letters; those of planes 4-14 by every 97th."""
    codes = [*range(0xD800), *range(0xE000, 0x40000), *range(0x40000, 0x110000, 97)]
    normalize = normalizers.BertNormalizer(lowercase=lowercase).normalize_str
    found = set(normalize("".join(map(chr, codes[: 0x40000 - 0x800])))) - {" "}
    pieces = [piece for character in sorted(found) for piece in (character, f"##{character}")]
    words = tuple(dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces]))
    tokenizer = WordPieceTokenizer(Vocabulary(words, (), (), lowercase))
    library = reference(words, lowercase)
    texts = [f"a{chr(code)}b" for code in codes]
    ours = tokenizer(tf.constant(texts)).to_list()
    theirs = library.encode_batch(texts)
    pairs = zip(codes, ours, theirs, strict=True)
    assert [hex(code) for code, mine, other in pairs if mine != other.ids] == []


def test_line_by_line_as_in_the_graph(words):
    """Without a graph the same lines run in Python; its ids are the graph's."""
    tokenizer = WordPieceTokenizer(Vocabulary(words, (), (), True))
    texts = tf.constant(["toy story", "[MASK] \u4e00x", "\U00040000 a", "a" * 101, "stories", ""])
    in_graph = tokenizer(texts).to_list()
    tf.config.run_functions_eagerly(True)
    try:
        assert tokenizer(texts).to_list() == in_graph
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize("lowercase", [True, False])
def test_ids_equal_transformers(tmp_path, words, lowercase):
    from transformers import BertTokenizer

    texts = [text for text in generated(500, seed=2) if "[" not in text]
    vocabulary = Vocabulary(words, (), (), lowercase)
    pieces = {word: i for i, word in enumerate(words)}
    theirs = BertTokenizer(vocab=pieces, do_lower_case=lowercase)
    ours = WordPieceTokenizer(vocabulary)(tf.constant(texts)).to_list()
    assert ours == [theirs(text, add_special_tokens=False)["input_ids"] for text in texts]


def test_special_tokens_in_a_text_are_text():
    texts = ["mask sep item [ ] a", "unk"]
    vocabulary = train_vocabulary(texts, items=["item 7"], ratings=[5], size=99, lowercase=True)
    special = {*range(5), *range(len(vocabulary.words), vocabulary.size)} - {vocabulary.unk_id}
    hostile = "[MASK] [SEP] [CLS] [PAD] [ITEM] [RATING=5] [ITEM item 7] item 7"
    ids = WordPieceTokenizer(vocabulary)(tf.constant([hostile])).to_list()[0]
    assert ids
    assert not special & set(ids)


def test_inside_tf_data_and_empty_batches(words):
    tokenizer = WordPieceTokenizer(Vocabulary(words, (), (), True))
    texts = ["toy story", "", "tôy!"]
    expected = tokenizer(tf.constant(texts)).to_list()
    assert expected[0] == [5, 6]
    batches = tf.data.Dataset.from_tensor_slices(texts).batch(2).map(tokenizer)
    assert [row for batch in batches for row in batch.to_list()] == expected
    assert tokenizer(tf.constant([], tf.string)).to_list() == []


def test_invalid_bytes_are_skipped(words):
    tokenizer = WordPieceTokenizer(Vocabulary(words, (), (), True))
    assert tokenizer(tf.constant([b"toy\xff story\xc3"])).to_list() == [[5, 6]]


def test_saved_model_in_a_session_gives_the_same_ids(tmp_path, words):
    tokenizer = WordPieceTokenizer(Vocabulary(words, (), (), True))
    module = tf.Module()
    module.tokenizer = tokenizer

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def ids(text):
        return {"ids": tokenizer(text).to_tensor(-1)}

    tf.saved_model.save(module, str(tmp_path), signatures=ids.get_concrete_function())
    texts = generated(200, seed=3)
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(tmp_path))
        signature = meta.signature_def["serving_default"]
        got = session.run(
            signature.outputs["ids"].name,
            {signature.inputs["text"].name: np.array(texts, dtype=object)},
        )
    assert np.array_equal(got, tokenizer(tf.constant(texts)).to_tensor(-1).numpy())


def test_stop_words_are_passed_over_as_whole_words(words):
    vocabulary = Vocabulary(words, (), (), True).without(["Stóry", "story", "of", " "])
    assert vocabulary.stop_words == ("of", "story")
    tokenizer = WordPieceTokenizer(vocabulary)
    plain = WordPieceTokenizer(Vocabulary(words, (), (), True))
    texts = ["toy STORY", "of toy", "story", "toystory toy", ""]
    expected = plain(tf.constant(["toy", "toy", "", "toystory toy", ""])).to_list()
    assert tokenizer(tf.constant(texts)).to_list() == expected
