"""Where an item that nobody met stands in a factorization, told by its text.

What words say is learnt beside what ids say, and so does not say it all: alone they would
rate a new item worse than a mean does. Once weights are learnt, a ridge regression from the
texts of the items that were met to their rows is solved in closed form. It takes nothing
from the items that were met, as hiding their ids in training would.

Reference:
    Gantner et al. 2010, "Learning Attribute-to-Feature Mappings for Cold-Start
        Recommendations".
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from ssrec_tf.config import FactorConfig
from ssrec_tf.cooccurrence import told_by_texts
from ssrec_tf.recommenders.reading import told

_WORDS = 512  # at most so many speak for unmet items, the commonest: a regression's width
_OFTEN = 100.0  # until it is chosen, or where too little is there to choose by


class UnmetItems(keras.layers.Layer):
    """Rows of items by their texts, as those of like texts are.

    Args:
        words: int64 [items], in how many train items each word occurs, 0 for one that is not
            to speak.
        config: `text_width`, t, says how many directions of the encoder's vectors speak beside
            the words: one pretrained on the catalogue knows it by heart, so that a new text is
            unlike them all. `met_often`: most events are of the popular, and so may those of a
            new item be, but they say again and again what one item is like. Of 0 it is `often`
            that counts, until it is chosen.
        shape: of a row, (members, 2 k + 3).
    """

    def __init__(self, words: np.ndarray, config: FactorConfig, shape: tuple[int, int]) -> None:
        """Make the tables, zeros until `fit`."""
        super().__init__(name="unmet")
        chosen = np.argsort(-words, kind="stable")[:_WORDS]
        chosen = np.sort(chosen[words[chosen] > 0])
        places = np.zeros(len(words), np.int32)
        places[chosen] = np.arange(1, len(chosen) + 1)
        self._places = tf.constant(places)  # [words], 0 says nothing
        self._count, self._shape = len(chosen), shape
        self.often = config.met_often or _OFTEN
        for name, size in (("of_word", 1 + len(chosen)), ("of_axis", config.text_width + 1)):
            value = self.add_weight(
                shape=(size, int(np.prod(shape))), initializer="zeros", trainable=False, name=name
            )
            setattr(self, name, value)
        self.built = True

    def fit(
        self, words: np.ndarray, along: np.ndarray, rows: np.ndarray, counts: np.ndarray
    ) -> None:
        """Solve the regression.

        Args:
            words: int32 [items, item width], of items that were met.
            along: float32 [items, t], their texts' places on the axes.
            rows: float32 [items, members, 2 k + 3], what was learnt of them.
            counts: int [items], how often each was met.
        """
        said = np.zeros((len(words), 1 + self._count), np.float32)
        np.add.at(said, (np.arange(len(words))[:, None], self._places.numpy()[words]), 1.0)
        said = np.concatenate([said[:, 1:], along], axis=1)  # [items, words + t]
        flat = rows.reshape(len(rows), -1)  # [items, members (2 k + 3)]
        found = told_by_texts(said, flat, counts / (1.0 + counts / self.often))
        nothing = np.zeros((1, flat.shape[1]), np.float32)
        self.of_word.assign(np.concatenate([nothing, found[: self._count]]))
        self.of_axis.assign(found[self._count :])

    def read(self, words: tf.Tensor, along: tf.Tensor) -> tf.Tensor:
        """Make rows: int32 [..., item width], float32 [..., t] to float32 [..., *shape]."""
        said = tf.gather(tf.convert_to_tensor(self.of_word), tf.gather(self._places, words))
        flat = tf.reduce_sum(said, axis=-2) + told(along, tf.convert_to_tensor(self.of_axis))
        # [..., members (2 k + 3)] to [..., members, 2 k + 3].
        return tf.reshape(flat, tf.concat([tf.shape(flat)[:-1], self._shape], axis=0))
