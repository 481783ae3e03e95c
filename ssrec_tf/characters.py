"""What BERT's normalizer does to each character, as a table that a graph can hold.

The table is asked of the `tokenizers` library itself, character by character, so that
it follows the same version of Unicode.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from tokenizers import pre_tokenizers

from ssrec_tf.vocabulary import normalizer

PLANES = 0x40000  # planes 0-3; of the rest only the tags are assigned
TAGS = 0xE0000  # plane 14: tags and variation selectors
TAGS_SIZE = 0x1000
PRIVATE = 0xF0000  # planes 15-16: private, removed but for the last two of each plane
UNASSIGNED = PLANES  # stands for a character of planes 4-16 that stays as it is
REMOVED_SPAN = PLANES + TAGS_SIZE
KEPT_SPAN = REMOVED_SPAN + 1
SEPARATOR = 0
ALONE = 1 << 22  # added to a character that is a word of its own
LENGTH_BITS = 6
_BLOCK = 4096
_BETWEEN = "\u2603"  # a base character that the normalizer neither changes nor produces


class CharacterTable(NamedTuple):
    """`spans` int32 [PLANES + TAGS_SIZE + 2]: start << 6 | length into `outputs` int32.

    An output is a code point, ALONE added to punctuation and Chinese characters, or
    SEPARATOR. The span before the last is empty: the character is removed. The last is
    UNASSIGNED: the reference keeps what Unicode has not assigned, unchanged.
    """

    spans: np.ndarray
    outputs: np.ndarray


@lru_cache(maxsize=2)
def character_table(lowercase: bool) -> CharacterTable:
    """Build the table, once a process."""
    texts = _normalized([*range(PLANES), *range(TAGS, TAGS + TAGS_SIZE)], lowercase)
    characters = np.frombuffer("".join(texts).encode("utf-32-le"), "<u4")  # [outputs]
    distinct, place = np.unique(characters, return_inverse=True)
    kinds = _kinds([chr(code) for code in distinct.tolist()])  # [distinct]
    lengths = np.fromiter(map(len, texts), np.int32, len(texts))
    starts = np.cumsum(lengths) - lengths
    kept = len(characters) << LENGTH_BITS | 1
    spans = np.concatenate([starts << LENGTH_BITS | lengths, [0, kept]])
    return CharacterTable(spans.astype(np.int32), np.append(kinds[place], np.int32(UNASSIGNED)))


def _normalized(codes: list[int], lowercase: bool) -> list[str]:
    """What the normalizer makes of each code point by itself, many to a call."""
    normalize = normalizer(lowercase).normalize_str
    hidden = {*range(0xD800, 0xE000), ord(_BETWEEN)}  # surrogates are no characters
    texts: list[str] = []
    for start in range(0, len(codes), _BLOCK):
        block = ("" if code in hidden else chr(code) for code in codes[start : start + _BLOCK])
        texts += normalize(_BETWEEN.join(block)).split(_BETWEEN)
    texts[codes.index(ord(_BETWEEN))] = _BETWEEN
    return texts


def _kinds(characters: list[str]) -> np.ndarray:
    """How each normalized character counts, itself, alone, or a separator: int32 [characters]."""
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    counts = []
    for begin in range(0, len(characters), _BLOCK):
        pieces = split(
            " ".join(f"a{character}a" for character in characters[begin : begin + _BLOCK])
        )
        counts.append(np.bincount([start // 4 for _, (start, _) in pieces]))
    pieces_of = np.concatenate(counts)  # [characters]: 1, 2 or 3
    codes = np.array([ord(character) for character in characters], np.int32)
    return np.select([pieces_of == 1, pieces_of == 3], [codes, codes | ALONE], SEPARATOR)
