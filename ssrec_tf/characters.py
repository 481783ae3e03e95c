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

PLANES = 0x40000  # planes 0-3; 4-13 are unassigned, 15-16 private: all removed
TAGS = 0xE0000  # plane 14: tags and variation selectors
TAGS_SIZE = 0x1000
SEPARATOR = 0
ALONE = 1 << 22  # added to a character that is a word of its own
LENGTH_BITS = 6


class CharacterTable(NamedTuple):
    """`spans` int32 [PLANES + TAGS_SIZE + 1]: start << 6 | length into `outputs` int32.

    An output is a code point, ALONE added to punctuation and Chinese characters, or
    SEPARATOR. The last span is empty: the character is removed.
    """

    spans: np.ndarray
    outputs: np.ndarray


@lru_cache(maxsize=2)
def character_table(lowercase: bool) -> CharacterTable:
    """Build the table; takes about two seconds, once a process."""
    normalize = normalizer(lowercase).normalize_str
    codes = [*range(PLANES), *range(TAGS, TAGS + TAGS_SIZE)]
    surrogate = range(0xD800, 0xE000)
    texts = ["" if code in surrogate else normalize(chr(code)) for code in codes]
    kinds = _kinds(sorted(set("".join(texts))))
    interned: dict[str, int] = {"": 0}
    outputs: list[int] = []
    spans = np.zeros(len(codes) + 1, np.int32)
    for position, text in enumerate(texts):
        if text not in interned:
            interned[text] = len(outputs) << LENGTH_BITS | len(text)
            outputs += [kinds[character] for character in text]
        spans[position] = interned[text]
    return CharacterTable(spans, np.asarray(outputs, np.int32))


def _kinds(characters: list[str]) -> dict[str, int]:
    """How each normalized character counts: itself, alone, or a separator."""
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    kinds = {}
    for character in characters:
        pieces = len(split(f"a{character}a"))
        kinds[character] = {1: ord(character), 2: SEPARATOR, 3: ord(character) | ALONE}[pieces]
    return kinds
