"""From raw strings to scores: the graph that the SavedModel holds.

It shares parsing, tokenization and the model itself with training; nothing is written
twice, so what is served cannot drift from what was trained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ssrec_tf.recommenders import Behaviour, Indexed, PairScores, Recommender
from ssrec_tf.recommenders.reading import Items, ItemTexts
from ssrec_tf.rendering import parse_behaviour
from ssrec_tf.retrieval_index import brute_force, top_unseen
from ssrec_tf.tokenization import WordPieceTokenizer


class ResolvedItems(NamedTuple):
    """Items named by strings.

    `refs` int32 [batch, items], 0 where the catalogue has no such item; `texts` string, the
    same, what was asked for, "" is padding.
    """

    refs: tf.Tensor
    texts: tf.Tensor

    def new(self) -> tf.Tensor:
        """Places of the items that the catalogue lacks: int64 [new, 2]."""
        return tf.where((self.refs == 0) & (self.texts != ""))


class ServingGraph(tf.Module):
    """Signatures over a recommender, whose Keras objects stay out of tracking.

    A Keras 3 model that is tracked by a SavedModel loads in Python but not in a session,
    which is how TensorFlow Serving loads; tracked are its plain variables instead.
    """

    def __init__(self, model: Recommender, *, max_history: int) -> None:
        """Build lookup tables and the index; `model` is trained, its items are stored."""
        super().__init__(name="ssrec")
        text = model.text
        self._hidden: Callable[[], Any] = lambda: model  # a closure is not tracked
        self._max_history = max_history
        self._width = text.item_tokens.shape[1]
        self._user_width = text.user_tokens.shape[1]
        self.weights = [variable.value for variable in model.variables]
        self.tokenizer = WordPieceTokenizer(text.vocabulary)
        self.ids = _table(text.item_ids)
        self.by_text = _table(text.item_texts)
        self._item_ids = tf.constant(["", *text.item_ids])  # [items + 1]
        self._catalogue = len(text.item_ids)
        if isinstance(model, Indexed):
            # What is known of an item follows from weights alone: read once, here.
            self.catalogue = Items(*(tf.Variable(part, trainable=False) for part in _read(model)))
            self.index = brute_force(tf.convert_to_tensor(model.index())[1:])

    def signatures(self) -> dict[str, Any]:
        """Concrete functions by signature name."""
        strings, floats = tf.string, tf.float32

        def spec(name: str, shape: list[int | None], dtype: Any = strings) -> tf.TensorSpec:
            return tf.TensorSpec(shape, dtype, name=name)

        behaviour = spec("behaviour", [None])
        made = {
            "serving_default": tf.function(self.score, autograph=False).get_concrete_function(
                behaviour, spec("item", [None])
            ),
            "rank": tf.function(self.rank, autograph=False).get_concrete_function(
                spec("user", [None]),
                spec("history", [None, None]),
                spec("history_ratings", [None, None], floats),
                spec("history_times", [None, None], tf.int64),
                spec("now", [None], tf.int64),
                spec("candidates", [None, None]),
            ),
            "embed": tf.function(self.embed, autograph=False).get_concrete_function(
                spec("text", [None])
            ),
        }
        if isinstance(self._hidden(), Indexed):
            made["recommend"] = tf.function(self.recommend, autograph=False).get_concrete_function(
                behaviour, spec("k", [None], tf.int32)
            )
        return made

    # Signatures

    def score(self, behaviour: tf.Tensor, item: tf.Tensor) -> dict[str, tf.Tensor]:
        """Score pairs of texts: string [batch] each to float32 [batch] each."""
        _check_equal("behaviour", behaviour, "item", item)
        read, events, now = self._read_text(behaviour)
        scores = self._scores(read, events, self._resolve(item[:, None], by_id=False), now)
        return {name: value[:, 0] for name, value in self._outputs(scores).items()}

    def rank(
        self,
        user: tf.Tensor,
        history: tf.Tensor,
        history_ratings: tf.Tensor,
        history_times: tf.Tensor,
        now: tf.Tensor,
        candidates: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Rank candidates, each an item id or an item text.

        Args:
            user: string [batch], the user's text, may be "".
            history: string [batch, events], oldest first; "" is padding.
            history_ratings: float32 [batch, events]; 0 or NaN where there is none.
            history_times: int64 [batch, events], seconds since 1970; 0 where unknown.
            now: int64 [batch], the same.
            candidates: string [batch, candidates]; "" is padding.

        Returns:
            `rating`, `click_probability` float32 [batch, candidates]; `ranking` int32
            [batch, candidates], candidates' positions, the most probable click first.
        """
        _check_equal("history", history, "history_ratings", history_ratings)
        _check_equal("history", history, "history_times", history_times)
        _check_equal("user", user, "now", now)
        history, ratings, times = (
            column[:, -self._max_history :] for column in (history, history_ratings, history_times)
        )
        ratings = tf.where(ratings == 0.0, float("nan"), ratings)
        events = self._resolve(history, by_id=True)
        behaviour = self._behaviour(user, events, ratings, times)
        wanted = self._resolve(candidates, by_id=True)
        outputs = self._outputs(self._scores(behaviour, events, wanted, now))
        merit = tf.where(wanted.texts == "", -1.0, outputs["click_probability"])
        order = tf.argsort(merit, axis=1, direction="DESCENDING", stable=True)
        return {**outputs, "ranking": order}

    def embed(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Vectors of texts: string [batch] to float32 [batch, encoder width]."""
        _, pooled = self._hidden().encoder(self._sequence(text, self._width))
        return {"vector": pooled}

    def recommend(self, behaviour: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """Best items of the catalogue that the behaviour does not hold.

        Args:
            behaviour: string [batch].
            k: int32 [batch], how many, at least 1.

        Returns:
            `items` string [batch, largest k] ids, best first; `scores` float32, the same. Of a
            row that asks for fewer the rest is "" and -inf.
        """
        _check_equal("behaviour", behaviour, "k", k)
        tf.debugging.assert_positive(k, "k must be at least 1")
        read, events, _ = self._read_text(behaviour)
        model = self._hidden()
        reading = model.read(read, self._vectors(events))
        query = model.full_query(reading)
        most = tf.reduce_max(k)
        scores, places = top_unseen(self.index, query, events.refs - 1, most, self._catalogue)
        wanted = tf.range(tf.shape(scores)[1]) < k[:, None]  # [batch, largest k]
        items = tf.gather(self._item_ids, tf.where(wanted, places + 1, 0))
        return {"items": items, "scores": tf.where(wanted, scores, float("-inf"))}

    # Steps

    def _read_text(self, texts: tf.Tensor) -> tuple[Behaviour, ResolvedItems, tf.Tensor]:
        parsed = parse_behaviour(texts, max_history=self._max_history)
        # As wide as the longest: every place of a history is paid for.
        longest = tf.reduce_max(tf.concat([parsed.count, [0]], axis=0))
        items, ratings, times = (
            column[:, :longest] for column in (parsed.items, parsed.ratings, parsed.times)
        )
        events = self._resolve(items, by_id=False)
        behaviour = self._behaviour(parsed.user, events, ratings, times)
        return behaviour, events, parsed.now

    def _behaviour(
        self, user: tf.Tensor, events: ResolvedItems, ratings: tf.Tensor, times: tf.Tensor
    ) -> Behaviour:
        model = self._hidden()
        if isinstance(model, Indexed):  # it looks at items' vectors, at no words of events
            tokens = tf.zeros([*tf.unstack(tf.shape(events.refs)), 0], tf.int32)
        else:
            tokens = self._tokens(events)
        return Behaviour(
            user=self.tokenizer(user).to_tensor(shape=[None, self._user_width]),
            items=events.refs,
            tokens=tokens,
            ratings=ratings,
            times=times,
            mask=tf.cast(events.texts != "", tf.float32),
        )

    def _resolve(self, names: tf.Tensor, *, by_id: bool) -> ResolvedItems:
        """Find items [batch, items] by id or text; those not found at once by their clean text."""

        def find(texts: tf.Tensor) -> ResolvedItems:
            refs = self.by_text.lookup(texts)
            if by_id:
                found = self.ids.lookup(texts)
                refs = tf.where(found > 0, found, refs)
            return ResolvedItems(refs, texts)

        found = find(names)
        resolved: ResolvedItems = tf.cond(
            tf.reduce_any((found.refs == 0) & (names != "")),
            lambda: find(tf.strings.strip(tf.strings.regex_replace(names, r"\s+", " "))),
            lambda: found,
        )
        return resolved

    def _tokens(self, items: ResolvedItems) -> tf.Tensor:
        """Words of items; those that the catalogue lacks are tokenized: [batch, items, width]."""
        tokens, new = self._hidden().texts.items(items.refs), items.new()
        words = tf.cond(
            tf.size(new) > 0,
            lambda: self._words(tf.gather_nd(items.texts, new)),
            lambda: tf.zeros([0, self._width], tf.int32),
        )  # [new, width]
        return tf.tensor_scatter_nd_update(tokens, new, words)

    def _words(self, texts: tf.Tensor) -> tf.Tensor:
        """Tokenize items' texts: string [n] to int32 [n, width]."""
        return self.tokenizer(texts).to_tensor(shape=[None, self._width])

    def _vectors(self, items: ResolvedItems) -> Items:
        """Stored vectors of known items, [batch, items]; the others' texts are encoded."""
        new = items.new()
        read = tf.cond(
            tf.size(new) > 0,
            lambda: self._encoded(tf.gather_nd(items.texts, new)),
            lambda: Items(*(tf.zeros([0, *part.shape[1:]]) for part in self.catalogue)),
        )  # [new]
        return Items(
            *(
                tf.tensor_scatter_nd_update(tf.gather(stored, items.refs), new, part)
                for stored, part in zip(self.catalogue, read, strict=True)
            )
        )

    def _encoded(self, texts: tf.Tensor) -> Items:
        """Read items by their texts alone, each distinct one once: string [n] to [n]."""
        model = self._hidden()
        distinct, place = tf.unique(texts)  # [distinct], [n]
        words = self._words(distinct)  # [distinct, width]
        nowhere = tf.zeros_like(words[:, 0])
        read = model.items.read(ItemTexts(model.encode_text(words), words), nowhere)
        return Items(*(tf.gather(part, place) for part in read))

    def _scores(
        self,
        behaviour: Behaviour,
        events: ResolvedItems,
        candidates: ResolvedItems,
        now: tf.Tensor,
    ) -> PairScores:
        model = self._hidden()
        if isinstance(model, Indexed):
            reading = model.read(behaviour, self._vectors(events))
            scores = model.score(reading, self._vectors(candidates), now[:, None])
        else:
            scores = model(behaviour, candidates.refs, self._tokens(candidates))
        return scores

    def _outputs(self, scores: PairScores) -> dict[str, tf.Tensor]:
        return {
            "rating": self._hidden().clip(scores.rating),
            "click_probability": tf.sigmoid(scores.click_logit),
        }

    def _sequence(self, texts: tf.Tensor, width: int) -> tf.Tensor:
        words = self.tokenizer(texts).to_tensor(shape=[None, width])  # [batch, width]
        return self._hidden().assembler.item(words)


def _read(model: Indexed) -> Items:
    """Vectors of the whole catalogue, [items + 1], in the graph that training reads them by."""
    read: Items = tf.function(model.items.every, autograph=False)()
    return read


def _check_equal(name: str, one: tf.Tensor, other_name: str, other: tf.Tensor) -> None:
    """Refuse a request whose columns do not belong together, in words."""
    message = f"{name} and {other_name} must have one shape"
    tf.debugging.assert_equal(tf.shape(one), tf.shape(other), message)


def _table(keys: tuple[str, ...]) -> tf.lookup.StaticHashTable:
    """From a string to its position plus one; the first of equal strings counts."""
    values = {key: i for i, key in reversed(list(enumerate(keys, start=1))) if key}
    initializer = tf.lookup.KeyValueTensorInitializer(
        np.array(list(values) or ["\0"], dtype=object),
        np.array(list(values.values()) or [0], np.int32),
        key_dtype=tf.string,
        value_dtype=tf.int32,
    )
    return tf.lookup.StaticHashTable(initializer, default_value=0)
