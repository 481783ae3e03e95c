"""Sequences laid out by hand, token for token."""

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.sequences import Assembler
from ssrec_tf.vocabulary import train_vocabulary


@pytest.fixture(scope="module")
def vocabulary():
    return train_vocabulary(["a b c"], items=["i"], ratings=[1, 2.5, 4], size=20, lowercase=True)


def test_item_is_wrapped(vocabulary):
    words = tf.constant([[11, 12, 0], [0, 0, 0], [11, 12, 13]])
    cls, sep = vocabulary.cls_id, vocabulary.sep_id
    assert Assembler(vocabulary).item(words).numpy().tolist() == [
        [cls, 11, 12, sep, 0],
        [cls, sep, 0, 0, 0],
        [cls, 11, 12, 13, sep],
    ]


def test_rating_tokens_are_the_nearest_step(vocabulary):
    ratings = tf.constant([[1.0, 2.4, 9.0, np.nan]])
    first = vocabulary.first_rating_id
    expected = [first, first + 1, first + 2, vocabulary.rated_id]
    assert Assembler(vocabulary).rating_tokens(ratings).numpy().tolist() == [expected]


def test_behaviour_with_candidate_and_segments(vocabulary):
    cls, sep = vocabulary.cls_id, vocabulary.sep_id
    user = tf.constant([[8, 0]])
    events = tf.constant([[[6, 11, 0], [6, 12, 13], [0, 0, 0]]])
    candidate = tf.constant([[9, 14, 0]])
    ids, segments = Assembler(vocabulary).behaviour(user, events, 14, candidate)
    assert ids.numpy().tolist() == [[cls, 8, sep, 6, 11, 6, 12, 13, sep, 9, 14, sep, 0, 0]]
    assert segments.numpy().tolist() == [[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0]]


def test_the_oldest_events_are_left_out(vocabulary):
    cls, sep = vocabulary.cls_id, vocabulary.sep_id
    user = tf.constant([[8, 0]])
    events = tf.constant([[[6, 11, 0], [6, 12, 13], [6, 14, 0]]])
    ids, _ = Assembler(vocabulary).behaviour(user, events, 9)
    assert ids.numpy().tolist() == [[cls, 8, sep, 6, 12, 13, 6, 14, sep]]
    ids, _ = Assembler(vocabulary).behaviour(user, events, 8)
    assert ids.numpy().tolist() == [[cls, 8, sep, 6, 14, sep, 0, 0]]
