"""The token table: every distinct text tokenized once; examples refer to its rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from ssrec_tf import rendering, storage
from ssrec_tf.config import TextConfig
from ssrec_tf.published import bert_folder, local_folder
from ssrec_tf.rendering import Piece, join_pieces
from ssrec_tf.rewording import Paraphraser, reworded
from ssrec_tf.splits import Split
from ssrec_tf.tables import Tables
from ssrec_tf.tokenization import WordPieceTokenizer
from ssrec_tf.vocabulary import Vocabulary, load_huggingface, load_preset, train_vocabulary

_TOKENIZE_BATCH = 4096


@dataclass(frozen=True)
class TextTable:
    """Token ids of all items and users, and what they were made of.

    Row 0 of both token arrays is empty: the reference that means "none".

    Attributes:
        vocabulary: words, rating tokens and one token per train item.
        item_ids: [items] ids, in the order of the references (reference = index + 1).
        item_texts: [items] rendered texts, each made unique: names in raw strings.
        user_texts: [users] rendered texts.
        item_tokens: int32 [items + 1, max_item_tokens], 0 is padding.
        user_tokens: int32 [users + 1, max_user_tokens], 0 is padding.
        item_token_ids: int32 [items + 1], an item's own token; `[ITEM]` where the
            vocabulary never saw it.
        item_counts: int64 [items + 1], train rows of each item.
        field_names: attributes that the templates name; field n is `field_names[n - 1]`.
        item_fields: int8, as `item_tokens`: the field of each token, 0 for none.
        user_fields: int8, as `user_tokens`.
        item_alternatives: int32 [items + 1, alternatives, max_item_tokens], other wordings.
        alternative_fields: int8, as `item_alternatives`.
    """

    vocabulary: Vocabulary
    item_ids: tuple[str, ...]
    item_texts: tuple[str, ...]
    user_texts: tuple[str, ...]
    item_tokens: np.ndarray
    user_tokens: np.ndarray
    item_token_ids: np.ndarray
    item_counts: np.ndarray
    field_names: tuple[str, ...]
    item_fields: np.ndarray
    user_fields: np.ndarray
    item_alternatives: np.ndarray
    alternative_fields: np.ndarray

    @classmethod
    def build(
        cls,
        tables: Tables,
        split: Split,
        config: TextConfig,
        *,
        base: Path = Path(),
        paraphrase: Paraphraser | None = None,
    ) -> TextTable:
        """Render, train or load the vocabulary on train rows only, tokenize.

        Args:
            tables: items and users are tokenized in their order.
            split: its train rows decide which words and items the vocabulary knows.
            config: of the text.
            base: folder that paths in `config.alternatives` start from.
            paraphrase: a source of other wordings, say a translation there and back;
                `config.alternatives.count` are kept.

        Raises:
            ConfigError: a template names an attribute that the tables lack, or a source of
                other wordings is not what it should be.
            VocabularyError: `config.huggingface` or `config.preset` holds no BERT vocabulary.
        """
        pieces = rendering.item_pieces(tables, config), rendering.user_pieces(tables, config)
        items = join_pieces(pieces[0], tables.items.index)
        users = join_pieces(pieces[1], tables.users.index)
        others = reworded(
            pieces[0], items.index, config.alternatives, base=base, paraphrase=paraphrase
        )
        train = tables.interactions.loc[split.train]
        known = sorted(train["item"].unique())
        wordings = [items, *(join_pieces(other, items.index) for other in others)]
        seen = [users.loc[sorted(train["user"].unique())], *(text.loc[known] for text in wordings)]
        vocabulary = _vocabulary(seen, known, rating_steps(tables), config)
        names = tuple(dict.fromkeys(p.field for side in pieces for p in side if p.field))
        counts = 1 + items.index.get_indexer(pd.Index(train["item"]))
        return cls(
            vocabulary=vocabulary,
            item_ids=tuple(items.index),
            item_texts=tuple(rendering.unique_names(items)),
            user_texts=tuple(users),
            item_token_ids=_own_tokens(vocabulary, items.index),
            item_counts=np.bincount(counts, minlength=len(items) + 1),
            field_names=names,
            **_token_arrays(
                vocabulary, names, (pieces, others), (items.index, users.index), config
            ),
        )

    @property
    def known_items(self) -> np.ndarray:
        """Bool [items + 1]: the item has a token of its own (it was in train)."""
        return np.asarray(self.item_token_ids >= self.vocabulary.first_item_id)

    def save(self, folder: Path) -> None:
        """Write the table into `folder`, whole or not at all."""
        with storage.atomic_folder(folder) as staged:
            self.vocabulary.save(staged / "vocabulary")
            parts = {name: value for name, value in vars(self).items() if name != "vocabulary"}
            arrays: dict[str, Any] = {
                name: v for name, v in parts.items() if isinstance(v, np.ndarray)
            }
            body = {name: v for name, v in parts.items() if name not in arrays}
            (staged / "texts.json").write_text(json.dumps(body, ensure_ascii=False))
            np.savez_compressed(staged / "tokens.npz", **arrays)

    @classmethod
    def load(cls, folder: Path) -> TextTable:
        """Read back what `save` wrote."""
        texts = json.loads((folder / "texts.json").read_text())
        with np.load(folder / "tokens.npz") as arrays:
            tokens: dict[str, Any] = {name: arrays[name] for name in arrays.files}
        names: dict[str, Any] = {name: tuple(values) for name, values in texts.items()}
        return cls(vocabulary=Vocabulary.load(folder / "vocabulary"), **names, **tokens)


def _vocabulary(
    seen: Sequence[pd.Series], known: Sequence[str], ratings: Sequence[float], config: TextConfig
) -> Vocabulary:
    """Train the vocabulary on texts, or load the published one; `known` items get a token."""
    if config.huggingface:
        vocabulary = load_huggingface(bert_folder(config.huggingface), items=known, ratings=ratings)
    elif config.preset:
        vocabulary = load_preset(local_folder(config.preset), items=known, ratings=ratings)
    else:
        vocabulary = train_vocabulary(
            pd.concat(seen),
            items=known,
            ratings=ratings,
            size=config.vocabulary_size,
            lowercase=config.lowercase,
        )
    return vocabulary.without(config.stop_words)


def _token_arrays(
    vocabulary: Vocabulary,
    names: Sequence[str],
    pieces: tuple[tuple[list[Piece], list[Piece]], list[list[Piece]]],
    index: tuple[pd.Index, pd.Index],
    config: TextConfig,
) -> dict[str, np.ndarray]:
    """Tokens and fields of items, users and the items' other wordings, by attribute."""
    (items, users), others = pieces
    tokenizer, width = WordPieceTokenizer(vocabulary), config.max_item_tokens
    own = tokenize_pieces(tokenizer, items, index[0], names, width)
    user = tokenize_pieces(tokenizer, users, index[1], names, config.max_user_tokens)
    more = [tokenize_pieces(tokenizer, other, index[0], names, width) for other in others]
    # Stacked on top of nothing, so that no wording is an array too: [items + 1, 0, width].
    tokens, fields = (
        np.concatenate([own[i][:, None, :][:, :0], *(part[i][:, None, :] for part in more)], axis=1)
        for i in (0, 1)
    )
    return {
        **{"item_tokens": own[0], "item_fields": own[1]},
        **{"user_tokens": user[0], "user_fields": user[1]},
        **{"item_alternatives": tokens, "alternative_fields": fields},
    }


def rating_steps(tables: Tables) -> tuple[float, ...]:
    """List the values a rating can take, one token each; none where there are no ratings."""
    if tables.rating_scale is None:
        return ()
    low, high = tables.rating_scale
    count = round((high - low) / tables.rating_step) + 1
    return tuple(round(low + i * tables.rating_step, 6) for i in range(count))


def tokenize(tokenizer: WordPieceTokenizer, texts: list[str], width: int) -> np.ndarray:
    """Token ids of texts, cut and padded to `width`: int32 [texts, width]."""
    rows = []
    for start in range(0, len(texts), _TOKENIZE_BATCH):
        ids = tokenizer(tf.constant(texts[start : start + _TOKENIZE_BATCH]))
        rows.append(ids.to_tensor(shape=[None, width]).numpy())
    return np.concatenate(rows).astype(np.int32)


def tokenize_pieces(
    tokenizer: WordPieceTokenizer,
    pieces: Sequence[Piece],
    index: pd.Index,
    names: Sequence[str],
    width: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Tokenize texts whole, and say which field each token belongs to.

    A token is of the first piece with which the text, tokenized from its beginning, is so
    long: no second way to tokenize, and a word that two fields share is one word.

    Args:
        tokenizer: of the vocabulary.
        pieces: of the texts, in their order.
        index: the rows.
        names: of the fields, from number 1 on.
        width: tokens kept.

    Returns:
        Tokens int32 and fields int8, [rows + 1, width] each; row 0 is empty.
    """
    pieces = [piece for piece in pieces if (piece.texts != "").any()]
    tokens = tokenize(tokenizer, ["", *join_pieces(pieces, index)], width)
    place = np.arange(width)
    owner = np.zeros(tokens.shape, np.int64)  # [rows + 1, width], number of the piece
    for count in range(1, len(pieces)):
        begun = tokenize(tokenizer, ["", *join_pieces(pieces[:count], index)], width)
        owner += place >= (begun != 0).sum(axis=1, keepdims=True)
    fields = [1 + names.index(piece.field) if piece.field else 0 for piece in pieces] or [0]
    return tokens, np.where(tokens != 0, np.asarray(fields)[owner], 0).astype(np.int8)


def _own_tokens(vocabulary: Vocabulary, items: pd.Index) -> np.ndarray:
    """Each item's own token, `[ITEM]` for one without: int32 [items + 1]."""
    own = {item: vocabulary.first_item_id + i for i, item in enumerate(vocabulary.items)}
    ids = [vocabulary.item_id, *(own.get(item, vocabulary.item_id) for item in items)]
    return np.asarray(ids, np.int32)
