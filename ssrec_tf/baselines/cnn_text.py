"""Convolutions over the words of an item."""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType

import keras
import numpy as np

from ssrec_tf.baselines.base import Events
from ssrec_tf.baselines.content import item_texts, words_of
from ssrec_tf.baselines.networks import Schedule
from ssrec_tf.baselines.rating_network import RatingNetwork, id_embedding
from ssrec_tf.search_space import Range

_WIDTHS = (1, 2, 3)  # words under a filter; titles are short, so shorter than Kim's 3 to 5
_MAX_WORDS = 32
_MIN_ITEMS = 2  # a word of one item alone is an id by another name


class ConvolutionalText(RatingNetwork):
    """mean + b_u + b(text) + p_u v(text): the item is known by its words alone.

    v is max-over-time pooling of convolutions over word vectors, learnt from the ratings. An
    item that train never saw is scored like any other; the texts are those of `content`,
    the words those that at least two items have.

    Reference:
        Kim 2014, "Convolutional neural networks for sentence classification",
        arXiv:1408.5882; a user's vector in place of his softmax, as in Kim, Park, Oh, Lee
        and Yu 2016, "Convolutional matrix factorization for document context-aware
        recommendation".
    """

    name = "cnn_text"
    space = MappingProxyType(
        {
            "filters": Range(8, 64, log=True),
            "penalty": Range(0.003, 0.2, log=True),
            "dropout": Range(0.0, 0.6),
            "learning_rate": Range(5e-4, 1e-2, log=True),
        }
    )

    def __init__(
        self,
        filters: int = 32,
        penalty: float = 0.05,
        dropout: float = 0.3,
        learning_rate: float = 0.002,
        epochs: int = 30,
        seed: int = 0,
    ) -> None:
        """Make an unfitted baseline.

        Args:
            filters: Of each width of a filter; also the length of a word's vector.
            penalty: On the squares of the user's bias and vector of one rating.
            dropout: Of the pooled filters.
            learning_rate: Of Adam.
            epochs: At most so many passes over the train rows.
            seed: Of the first weights, dropout, the shuffles and the rows kept out.
        """
        super().__init__(Schedule(epochs, 512, learning_rate, seed=seed))
        self._filters, self._penalty = filters, penalty
        self._dropout, self._seed = dropout, seed

    def _fit(self, train: Events, valid: Events) -> None:
        self._words, self._vocabulary = word_rows([words_of(t) for t in item_texts(self._tables)])
        super()._fit(train, valid)

    def _inputs(self, user: np.ndarray, item: np.ndarray) -> dict[str, np.ndarray]:
        return {"user": self._user_row[user], "words": self._words[item]}

    def _build(self) -> keras.Model:
        user = keras.Input((), dtype="int32", name="user")
        words = keras.Input(self._words.shape[1:], dtype="int32", name="words")
        text = self._text(words)  # [batch, filters]
        seed, users = self._seed, len(self._users)
        vector = id_embedding("taste", users, self._filters, seed=seed, penalty=self._penalty)
        bias = id_embedding("bias", users, 1, seed=seed, penalty=self._penalty, scale=0.0)
        liking = keras.layers.Dot(axes=1)([vector(user), text])  # [batch, 1]
        start = keras.initializers.GlorotUniform(seed + 1)
        of_text = keras.layers.Dense(1, kernel_initializer=start)(text)
        rating = keras.layers.Add()([liking, bias(user), of_text])
        return keras.Model({"user": user, "words": words}, rating)

    def _text(self, words: keras.KerasTensor) -> keras.KerasTensor:
        """Read words, int [batch, places] -> [batch, filters]."""
        seed, width = self._seed, self._filters
        start = keras.initializers.RandomNormal(stddev=0.1, seed=seed + 2)
        table = keras.layers.Embedding(self._vocabulary + 1, width, embeddings_initializer=start)
        x = table(words)  # [batch, places, filters]
        pooled = []
        for size in _WIDTHS:
            # A convolution as one matrix product: that of a CPU differs from fit to fit.
            after = keras.ops.pad(x, ((0, 0), (0, size - 1), (0, 0)))
            spans = keras.ops.concatenate(
                [after[:, at : at + words.shape[1]] for at in range(size)], axis=-1
            )  # [batch, places, size * filters]
            first = keras.initializers.GlorotUniform(seed + 2 + size)
            h = keras.layers.Dense(width, "relu", kernel_initializer=first)(spans)
            pooled.append(keras.layers.GlobalMaxPooling1D()(h))  # [batch, filters]
        h = keras.layers.Concatenate()(pooled)
        h = keras.layers.Dropout(self._dropout, seed=seed)(h)
        last = keras.initializers.GlorotUniform(seed + 9)
        return keras.layers.Dense(width, kernel_initializer=last)(h)


def word_rows(texts: list[list[str]]) -> tuple[np.ndarray, int]:
    """Number the words that several texts have, the commonest 1.

    Args:
        texts: Words of each text.

    Returns:
        int32 [texts + 1, places], 0 for none, the last text empty; and the words numbered.
    """
    counts = Counter(word for text in texts for word in set(text))
    known = [word for word, count in counts.most_common() if count >= _MIN_ITEMS]
    number = {word: place for place, word in enumerate(known, 1)}
    rows = [[number[word] for word in text if word in number][:_MAX_WORDS] for text in texts]
    width = max(max(_WIDTHS), *(len(row) for row in rows))
    padded = [np.pad(np.array(row, np.int32), (0, width - len(row))) for row in [*rows, []]]
    return np.stack(padded), len(known)
