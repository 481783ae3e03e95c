from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from ssrec_tf.baselines import Bias, Content, ConvolutionalText
from ssrec_tf.baselines.cnn_text import word_rows
from tests.ssrec_tf.baselines.conftest import Contract, error_of
from tests.ssrec_tf.baselines.test_content import tastes

QUICK = partial(ConvolutionalText, filters=8, penalty=0.001, dropout=0.0, learning_rate=0.01)


@pytest.mark.parametrize(
    "kind", [partial(ConvolutionalText, filters=4, learning_rate=0.05, epochs=6)]
)
class TestContract(Contract):
    pass


@pytest.mark.slow
def test_a_taste_for_words_is_known_of_cold_items():
    assert error_of(Bias(), *tastes()) > 0.95
    error = error_of(QUICK(), *tastes())
    assert error < 0.5
    assert error_of(QUICK(), *tastes()) == error


@pytest.mark.slow
def test_the_order_of_words_counts():
    tables, split = tastes(shared=1.0)
    texts = [("never good", "good never")[i % 2] for i in range(len(tables.items))]
    items = pd.DataFrame({"text": pd.array(texts, "str")}, index=tables.items.index)
    tables = replace(tables, items=items)
    assert error_of(Content(), tables, split) > 0.95  # the same words in every text
    assert error_of(QUICK(), tables, split) < 0.5


def test_words_are_numbered_by_how_many_items_have_them():
    rows, count = word_rows([["b", "a", "b"], ["b", "c"], ["a", "b"], []])
    assert count == 2
    assert rows.tolist() == [[1, 2, 1], [1, 0, 0], [2, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert rows.dtype == np.int32
    assert word_rows([[], []])[0].shape == (3, 3)
