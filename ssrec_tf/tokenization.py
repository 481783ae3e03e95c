"""BERT's WordPiece inside the TensorFlow graph, with core ops only.

The stock TensorFlow Serving refuses ops it was not built with, so nothing here comes
from tensorflow-text. Ids equal those of the `tokenizers` library.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from ssrec_tf.characters import (
    ALONE,
    KEPT_SPAN,
    LENGTH_BITS,
    PLANES,
    PRIVATE,
    REMOVED_SPAN,
    SEPARATOR,
    TAGS,
    TAGS_SIZE,
    UNASSIGNED,
    character_table,
)
from ssrec_tf.vocabulary import SPECIAL, Vocabulary

MAX_WORD_CHARACTERS = 100  # a longer word is [UNK], as in the reference


class WordPieceTokenizer(tf.Module):
    """Texts to token ids, without special tokens.

    A text is decoded to code points; a table cleans, lowercases, strips accents and
    isolates; then distinct words are matched greedily, longest piece first.

    Known difference, lowercase only: two spacing marks of different combining classes in a
    row (a Balinese and a Hangul one, say: in no language) keep their order, where the
    reference sorts them.

    Reference:
        Devlin et al. 2019, arXiv:1810.04805; the algorithm of google-research/bert's
        `tokenization.py`.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Build the tables of characters and of pieces."""
        super().__init__(name="word_piece_tokenizer")
        table = character_table(vocabulary.lowercase)
        self._spans = tf.constant(table.spans)  # [characters + 1]
        self._outputs = tf.constant(table.outputs)  # [outputs]
        # Special tokens are placed by code, never found in a text.
        pieces = {w: i for i, w in enumerate(vocabulary.words) if w and w not in SPECIAL}
        self._unk_id = vocabulary.unk_id
        self._stop_words = list(vocabulary.stop_words)
        self._longest = max([len(w.removeprefix("##")) for w in pieces], default=1)
        initializer = tf.lookup.KeyValueTensorInitializer(
            np.array(list(pieces) or ["[none]"], dtype=object),
            np.array(list(pieces.values()) or [-1], np.int32),
            key_dtype=tf.string,
            value_dtype=tf.int32,
        )
        self.pieces = tf.lookup.StaticHashTable(initializer, default_value=-1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Tokenize.

        Args:
            texts: string [batch], UTF-8; bytes that are not are skipped.

        Returns:
            int32 [batch, (tokens)]. A word that no pieces make up, or one of more than
            100 characters, is one `[UNK]`.
        """
        words, word_rows = self._words(texts)  # [words], [words]
        distinct, place = tf.unique(words)  # [distinct], [words]
        if self._stop_words:  # passed over here, so that serving does as training did
            listed = distinct[:, None] == tf.constant(self._stop_words)[None, :]
            kept = ~tf.gather(tf.reduce_any(listed, axis=1), place)  # [words]
            place, word_rows = tf.boolean_mask(place, kept), tf.boolean_mask(word_rows, kept)
        pieces = self._match(distinct)  # [distinct, (pieces)]
        by_word = tf.gather(pieces, place)  # [words, (pieces)]
        rows = tf.repeat(word_rows, by_word.row_lengths())  # [tokens]
        return tf.RaggedTensor.from_value_rowids(
            by_word.values, rows, nrows=tf.shape(texts, out_type=tf.int64)[0], validate=False
        )

    def _words(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Normalize and split: string [words] and the row of each, int64 [words]."""
        codes = tf.strings.unicode_decode(texts, "UTF-8", errors="replace")  # [batch, (chars)]
        flat = codes.values  # [chars]
        tag = (flat >= TAGS) & (flat < TAGS + TAGS_SIZE)
        noncharacter = tf.bitwise.bitwise_and(flat, 0xFFFE) == 0xFFFE
        beyond = tf.where((flat >= PRIVATE) & ~noncharacter, REMOVED_SPAN, KEPT_SPAN)
        place = tf.where(flat < PLANES, flat, tf.where(tag, flat - TAGS + PLANES, beyond))
        spans = tf.gather(self._spans, place)  # [chars]
        lengths = tf.bitwise.bitwise_and(spans, (1 << LENGTH_BITS) - 1)
        starts = tf.bitwise.right_shift(spans, LENGTH_BITS)
        source = tf.repeat(tf.range(tf.size(flat)), lengths)  # [outputs], the character of each
        rows = tf.gather(codes.value_rowids(), source)  # [outputs]
        places = tf.ragged.range(starts, starts + lengths).values
        outputs = tf.gather(self._outputs, places)  # [outputs]
        outputs = tf.where(outputs == UNASSIGNED, tf.gather(flat, source), outputs)
        is_word = outputs != SEPARATOR
        alone = outputs >= ALONE
        # A word starts at a row's first character, after a separator, and around one alone.
        before = tf.pad(outputs, [[1, 0]])[:-1]  # [outputs]
        new_row = rows != tf.pad(rows, [[1, 0]], constant_values=-1)[:-1]
        starts_word = is_word & (new_row | alone | (before == SEPARATOR) | (before >= ALONE))
        index = tf.cumsum(tf.cast(starts_word, tf.int64)) - 1  # [outputs]
        characters = tf.where(alone, outputs - ALONE, outputs)
        words = tf.RaggedTensor.from_value_rowids(
            tf.boolean_mask(characters, is_word),
            tf.boolean_mask(index, is_word),
            nrows=tf.reduce_sum(tf.cast(starts_word, tf.int64)),
            validate=False,
        )  # [words, (chars)]
        return tf.strings.unicode_encode(words, "UTF-8"), tf.boolean_mask(rows, starts_word)

    def _match(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Greedy longest match of distinct words: int32 [words, (pieces)].

        Every turn tries one piece of every unfinished word: if the vocabulary has it,
        the word goes on behind it, else the piece is tried one character shorter.
        """
        sizes = tf.strings.length(words, unit="UTF8_CHAR")  # [words]
        failed = sizes > MAX_WORD_CHARACTERS
        open_words = tf.cast(tf.reshape(tf.where(~failed), [-1]), tf.int32)  # [open]
        start = tf.zeros_like(open_words)
        length = tf.minimum(tf.gather(sizes, open_words), self._longest)
        # The first of the turns found nothing: what is concatenated is never empty.
        found = [
            tf.TensorArray(tf.int32, 1, dynamic_size=True, infer_shape=False).write(
                0, tf.zeros([0], tf.int32)
            )
            for _ in range(2)
        ]

        def take_turn(turn, open_words, start, length, failed, found_word, found_piece):  # type: ignore[no-untyped-def]
            piece = tf.strings.substr(tf.gather(words, open_words), start, length, unit="UTF8_CHAR")
            piece = tf.where(start > 0, "##" + piece, piece)
            ids = self.pieces.lookup(piece)  # [open]
            hit = ids >= 0
            rest = tf.gather(sizes, open_words) - start - length  # [open], behind the piece
            lost = ~hit & (length == 1)
            going = ~lost & ~(hit & (rest == 0))
            shorter = tf.where(hit, tf.minimum(rest, self._longest), length - 1)
            true = tf.fill([_count(lost)], True)
            return (
                turn + 1,
                tf.boolean_mask(open_words, going),
                tf.boolean_mask(tf.where(hit, start + length, start), going),
                tf.boolean_mask(shorter, going),
                tf.tensor_scatter_nd_update(
                    failed, tf.boolean_mask(open_words, lost)[:, None], true
                ),
                found_word.write(turn, tf.boolean_mask(open_words, hit)),
                found_piece.write(turn, tf.boolean_mask(ids, hit)),
            )

        one, some = tf.TensorShape([]), tf.TensorShape([None])
        *_, failed, found_word, found_piece = tf.while_loop(
            lambda turn, open_words, *_: tf.size(open_words) > 0,
            take_turn,
            (tf.constant(1), open_words, start, length, failed, *found),
            shape_invariants=(one, some, some, some, some, one, one),
        )
        return self._collect(
            tf.ensure_shape(found_word.concat(), [None]),
            tf.ensure_shape(found_piece.concat(), [None]),
            failed,
            tf.size(words),
        )

    def _collect(
        self, words: tf.Tensor, pieces: tf.Tensor, failed: tf.Tensor, count: tf.Tensor
    ) -> tf.RaggedTensor:
        """Put pieces in the order of their words; a failed word has one [UNK] instead."""
        kept = ~tf.gather(failed, words)
        unknown = tf.cast(tf.reshape(tf.where(failed), [-1]), tf.int32)  # [failed words]
        words = tf.concat([tf.boolean_mask(words, kept), unknown], axis=0)
        pieces = tf.concat(
            [tf.boolean_mask(pieces, kept), tf.fill([tf.size(unknown)], self._unk_id)], axis=0
        )
        order = tf.argsort(words, stable=True)  # within a word the turns are in order already
        return tf.RaggedTensor.from_value_rowids(
            tf.gather(pieces, order),
            tf.cast(tf.gather(words, order), tf.int64),
            nrows=tf.cast(count, tf.int64),
            validate=False,
        )


def _count(mask: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(mask, tf.int32))
