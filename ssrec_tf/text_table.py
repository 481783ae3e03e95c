"""The token table: every distinct text tokenized once; examples refer to its rows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from ssrec_tf import rendering, storage
from ssrec_tf.config import TextConfig
from ssrec_tf.published import bert_folder, local_folder
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
    """

    vocabulary: Vocabulary
    item_ids: tuple[str, ...]
    item_texts: tuple[str, ...]
    user_texts: tuple[str, ...]
    item_tokens: np.ndarray
    user_tokens: np.ndarray
    item_token_ids: np.ndarray
    item_counts: np.ndarray

    @classmethod
    def build(cls, tables: Tables, split: Split, config: TextConfig) -> TextTable:
        """Render, train or load the vocabulary on train rows only, tokenize.

        Raises:
            ConfigError: a template names an attribute that the tables lack.
            VocabularyError: `config.huggingface` or `config.preset` holds no BERT vocabulary.
        """
        items = rendering.render_items(tables, config)
        users = rendering.render_users(tables, config)
        train = tables.interactions.loc[split.train]
        known = sorted(train["item"].unique())
        ratings = rating_steps(tables)
        if config.huggingface:
            vocabulary = load_huggingface(
                bert_folder(config.huggingface), items=known, ratings=ratings
            )
        elif config.preset:
            vocabulary = load_preset(local_folder(config.preset), items=known, ratings=ratings)
        else:
            seen = pd.concat([items.loc[known], users.loc[sorted(train["user"].unique())]])
            vocabulary = train_vocabulary(
                seen,
                items=known,
                ratings=ratings,
                size=config.vocabulary_size,
                lowercase=config.lowercase,
            )
        vocabulary = vocabulary.without(config.stop_words)
        tokenizer = WordPieceTokenizer(vocabulary)
        return cls(
            vocabulary=vocabulary,
            item_ids=tuple(items.index),
            item_texts=tuple(rendering.unique_names(items)),
            user_texts=tuple(users),
            item_tokens=tokenize(tokenizer, ["", *items], config.max_item_tokens),
            user_tokens=tokenize(tokenizer, ["", *users], config.max_user_tokens),
            item_token_ids=_own_tokens(vocabulary, items.index),
            item_counts=np.bincount(
                1 + items.index.get_indexer(pd.Index(train["item"])), minlength=len(items) + 1
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
            names = ("item_ids", "item_texts", "user_texts")
            body = {name: getattr(self, name) for name in names}
            (staged / "texts.json").write_text(json.dumps(body, ensure_ascii=False))
            np.savez_compressed(
                staged / "tokens.npz",
                item_tokens=self.item_tokens,
                user_tokens=self.user_tokens,
                item_token_ids=self.item_token_ids,
                item_counts=self.item_counts,
            )

    @classmethod
    def load(cls, folder: Path) -> TextTable:
        """Read back what `save` wrote."""
        texts = json.loads((folder / "texts.json").read_text())
        with np.load(folder / "tokens.npz") as arrays:
            tokens: dict[str, Any] = {name: arrays[name] for name in arrays.files}
        names: dict[str, Any] = {name: tuple(values) for name, values in texts.items()}
        return cls(vocabulary=Vocabulary.load(folder / "vocabulary"), **names, **tokens)


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


def _own_tokens(vocabulary: Vocabulary, items: pd.Index) -> np.ndarray:
    """Each item's own token, `[ITEM]` for one without: int32 [items + 1]."""
    own = {item: vocabulary.first_item_id + i for i, item in enumerate(vocabulary.items)}
    ids = [vocabulary.item_id, *(own.get(item, vocabulary.item_id) for item in items)]
    return np.asarray(ids, np.int32)
