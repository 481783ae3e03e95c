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
    kinds = _kinds(sorted(set("".join(texts))))
    interned: dict[str, int] = {"": 0}
    outputs: list[int] = []
    spans = np.zeros(len(texts) + 2, np.int32)
    for position, text in enumerate(texts):
        if text not in interned:
            interned[text] = len(outputs) << LENGTH_BITS | len(text)
            outputs += [kinds[character] for character in text]
        spans[position] = interned[text]
    spans[KEPT_SPAN] = len(outputs) << LENGTH_BITS | 1
    outputs.append(UNASSIGNED)
    return CharacterTable(spans, np.asarray(outputs, np.int32))


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


def _kinds(characters: list[str]) -> dict[str, int]:
    """How each normalized character counts: itself, alone, or a separator."""
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    kinds = {}
    for begin in range(0, len(characters), _BLOCK):
        block = characters[begin : begin + _BLOCK]
        pieces = split(" ".join(f"a{character}a" for character in block))
        counts = np.bincount([start // 4 for _, (start, _) in pieces])
        for character, count in zip(block, counts.tolist(), strict=True):
            code = ord(character)
            kinds[character] = {1: code, 2: SEPARATOR, 3: code | ALONE}[count]
    return kinds
