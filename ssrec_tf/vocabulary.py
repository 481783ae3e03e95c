"""The vocabulary: word pieces, rating tokens, and one token for every item of the train rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenizers import normalizers, pre_tokenizers

from ssrec_tf import storage
from ssrec_tf.errors import VocabularyError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class Vocabulary:
    """Token ids: word pieces, `[ITEM]`, `[RATED]`, ratings, then items.

    The word pieces keep the ids they have in `words`. Only these are ever produced from
    text; what follows them is placed by the code alone, so that a text that spells
    `[MASK]` or a token's name stays text.

    Attributes:
        words: word pieces with the five special tokens, `##` before a continuation.
        ratings: the steps of the scale, one token each.
        items: ids of the items that have a token, sorted.
        lowercase: whether text is lowercased and stripped of accents.
        stop_words: words that the tokenizer passes over, normalized as text is.
    """

    words: tuple[str, ...]
    ratings: tuple[float, ...]
    items: tuple[str, ...]
    lowercase: bool
    stop_words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that the special tokens are there and padding is 0.

        Raises:
            VocabularyError: one is missing, or `[PAD]` is not the first.
        """
        missing = [token for token in SPECIAL if token not in self.words]
        if missing:
            raise VocabularyError(f"the vocabulary lacks {', '.join(missing)}; add a line for each")
        if self.words[0] != "[PAD]":
            raise VocabularyError(f"token 0 is {self.words[0]!r} but must be '[PAD]'")

    @property
    def pad_id(self) -> int:
        """Padding: 0."""
        return 0

    @property
    def unk_id(self) -> int:
        """A word that no pieces make up."""
        return self.words.index("[UNK]")

    @property
    def cls_id(self) -> int:
        """Start of a sequence."""
        return self.words.index("[CLS]")

    @property
    def sep_id(self) -> int:
        """End of a part."""
        return self.words.index("[SEP]")

    @property
    def mask_id(self) -> int:
        """A hidden token."""
        return self.words.index("[MASK]")

    @property
    def item_id(self) -> int:
        """`[ITEM]`: an item without a token of its own."""
        return len(self.words)

    @property
    def rated_id(self) -> int:
        """`[RATED]`: an event without a rating."""
        return len(self.words) + 1

    @property
    def first_rating_id(self) -> int:
        """The token of `ratings[0]`."""
        return len(self.words) + 2

    @property
    def first_item_id(self) -> int:
        """The token of `items[0]`."""
        return self.first_rating_id + len(self.ratings)

    @property
    def num_items(self) -> int:
        """Items with a token."""
        return len(self.items)

    @property
    def size(self) -> int:
        """All tokens."""
        return self.first_item_id + len(self.items)

    def save(self, folder: Path) -> None:
        """Write `words.txt`, `items.txt` and `vocabulary.json` into `folder`."""
        with storage.storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        storage.atomic_write_text(folder / "words.txt", "".join(f"{w}\n" for w in self.words))
        storage.atomic_write_text(folder / "items.txt", "".join(f"{i}\n" for i in self.items))
        names = ("lowercase", "ratings", "stop_words")
        body = {name: getattr(self, name) for name in names}
        storage.atomic_write_text(folder / "vocabulary.json", json.dumps(body))

    @classmethod
    def load(cls, folder: Path) -> Vocabulary:
        """Read back what `save` wrote.

        Raises:
            VocabularyError: a file is missing or not readable.
        """
        try:
            body = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
            words = _lines(folder / "words.txt")
            items = _lines(folder / "items.txt")
            ratings, lowercase = tuple(body["ratings"]), bool(body["lowercase"])
            stop_words = tuple(body["stop_words"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise VocabularyError(f"{folder} holds no readable vocabulary: {error!r}") from None
        return cls(words, ratings, items, lowercase, stop_words)

    def without(self, stop_words: Sequence[str]) -> Vocabulary:
        """The same vocabulary with words to pass over, in any case and with any accents."""
        normalize = normalizer(self.lowercase).normalize_str
        normal = sorted({normalize(word).strip() for word in stop_words} - {""})
        return replace(self, stop_words=tuple(normal))


def train_vocabulary(
    texts: Iterable[str],
    *,
    items: Sequence[str],
    ratings: Sequence[float],
    size: int = 8000,
    lowercase: bool = True,
) -> Vocabulary:
    """Train word pieces on texts; the same texts give the same vocabulary.

    Args:
        texts: of the train rows only.
        items: ids that get a token.
        ratings: steps of the scale.
        size: most word pieces, the special ones counted.
        lowercase: whether text is lowercased and stripped of accents.

    Reference:
        Schuster & Nakajima 2012; the learner is Google's, top down, of tensorflow-text. (The
        trainer of `tokenizers` breaks ties by the order of a hash map: no two runs agree.)
    """
    # Imported here: only training needs it, and it brings its own ops into the process.
    from tensorflow_text.tools.wordpiece_vocab import wordpiece_tokenizer_learner_lib as learner

    normalize = normalizer(lowercase).normalize_str
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    counts = Counter(word for text in texts for word, _ in split(normalize(text)))
    words = list(SPECIAL)
    if counts:
        words = learner.learn(
            sorted(counts.items()),
            vocab_size=size,
            reserved_tokens=words,
            lower_thresh=2,
            max_unique_chars=max(1, min(4000, size // 4)),
        )
    # The learner may end above `size`; its words stand by falling count behind all characters.
    words = words[:size]
    return Vocabulary(
        tuple(words), tuple(float(r) for r in ratings), tuple(sorted(items)), lowercase
    )


def load_huggingface(folder: Path, *, items: Sequence[str], ratings: Sequence[float]) -> Vocabulary:
    """Take the word pieces of a Hugging Face BERT folder (`vocab.txt` or `tokenizer.json`).

    Raises:
        VocabularyError: neither is there, or the tokenizer is not BERT's WordPiece.
    """
    try:
        body = _json(folder / "tokenizer.json")
        if (folder / "vocab.txt").exists():
            words = _lines(folder / "vocab.txt")
        elif body:
            words = _words_of(body["model"], folder)
        else:
            raise FileNotFoundError("neither vocab.txt nor tokenizer.json")
        lowercase = _is_lowercase(folder, body)
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise VocabularyError(
            f"{folder} holds no BERT vocabulary ({error}); give a folder with vocab.txt"
        ) from None
    return Vocabulary(words, tuple(float(r) for r in ratings), tuple(sorted(items)), lowercase)


def load_preset(folder: Path, *, items: Sequence[str], ratings: Sequence[float]) -> Vocabulary:
    """Take the word pieces of a KerasHub preset folder of BERT or DistilBERT.

    Raises:
        VocabularyError: it has no WordPiece tokenizer.
    """
    words = preset_words(folder)
    if words is None:
        raise VocabularyError(
            f"text.preset={str(folder)!r} has no WordPiece tokenizer (it has "
            f"{preset_tokenizer(folder)}); give a KerasHub preset folder of BERT or DistilBERT"
        )
    lowercase = bool(_json(folder / "tokenizer.json")["config"].get("lowercase", False))
    return Vocabulary(words, tuple(float(r) for r in ratings), tuple(sorted(items)), lowercase)


def preset_tokenizer(folder: Path) -> str | None:
    """Name the class of a KerasHub preset folder's tokenizer; None where it has none."""
    try:
        return str(_json(folder / "tokenizer.json").get("class_name", "")) or None
    except (OSError, ValueError) as error:
        raise VocabularyError(f"{folder}/tokenizer.json is not readable ({error})") from None


def preset_words(folder: Path) -> tuple[str, ...] | None:
    """Word pieces of a KerasHub preset folder; None where it has no WordPiece tokenizer."""
    path = folder / "assets" / "tokenizer" / "vocabulary.txt"  # others have .json or .spm
    return _lines(path) if preset_tokenizer(folder) and path.is_file() else None


def _words_of(model: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    """Word pieces of the `model` of a `tokenizer.json`, in the order of their ids."""
    if model.get("type") != "WordPiece":
        raise VocabularyError(f"{folder}/tokenizer.json is {model.get('type')}, not WordPiece")
    prefix = model.get("continuing_subword_prefix", "##")
    if prefix != "##":
        raise VocabularyError(f"{folder}/tokenizer.json continues words by {prefix!r}, not '##'")
    words = tuple(sorted(model["vocab"], key=model["vocab"].__getitem__))
    for expected, word in enumerate(words):
        if model["vocab"][word] != expected:
            raise VocabularyError(
                f"{folder}/tokenizer.json: no word has id {expected} (the next is {word!r}); "
                "ids must be 0, 1, 2, ..."
            )
    return words


def _is_lowercase(folder: Path, body: Mapping[str, Any]) -> bool:
    """Whether text is lowercased; what our tokenizer can't do is refused."""
    settings = folder / "tokenizer_config.json"
    options, normal = _json(settings), body.get("normalizer") or {}
    lowercase = bool(options.get("do_lower_case", normal.get("lowercase", True)))
    strip = options.get("strip_accents", normal.get("strip_accents"))
    if strip not in (None, lowercase):
        raise VocabularyError(
            f"{settings}: strip_accents={strip} must follow do_lower_case={lowercase}"
        )
    chinese = options.get("tokenize_chinese_chars", normal.get("handle_chinese_chars", True))
    if not chinese:
        raise VocabularyError(
            f"{settings}: tokenize_chinese_chars={chinese} is not supported: Chinese characters "
            "are words of their own here"
        )
    return lowercase


def _json(path: Path) -> Mapping[str, Any]:
    """Read an object; empty where there is no file."""
    values = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if not isinstance(values, dict):
        raise ValueError(f"{path.name} is no JSON object")
    return values


def normalizer(lowercase: bool) -> normalizers.Normalizer:
    """BERT's: clean, isolate Chinese characters and, if asked, lowercase without accents."""
    return normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=lowercase
    )


def _lines(path: Path) -> tuple[str, ...]:
    text = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    return tuple(text.removesuffix("\n").split("\n")) if text else ()
