"""Lines and columns; the oracle is the graph's own parser."""

import numpy as np
import pytest

from serving.behaviour import Behaviour, Happened, join, one_line, rank_rows
from ssrec_tf.rendering import parse_behaviour

BEHAVIOUR = Behaviour(
    "24, M",
    (Happened("Heat", 4.5, 10), Happened("rated 1: odd"), Happened("Up", 0.0, 0)),
    now=99,
    user_pieces=(("age", "24"), ("gender", ", M")),
)


def test_the_graph_reads_the_lines_as_they_were_meant():
    parsed = parse_behaviour([BEHAVIOUR.lines()], max_history=4)
    assert parsed.user.numpy().tolist() == [b"24, M"]
    assert parsed.items.numpy().tolist() == [[b"Heat", b"rated 1: odd", b"Up", b""]]
    np.testing.assert_array_equal(parsed.ratings.numpy(), [[4.5, np.nan, 0.0, np.nan]])
    assert parsed.times.numpy().tolist() == [[10, 0, 0, 0]]
    assert parsed.now.numpy().tolist() == [99]


@pytest.mark.parametrize("breaking", ["\n", "\r", "\x0b", "\x85", "\u2028", "\r\n"])
def test_no_text_makes_a_line_of_its_own(breaking):
    evil = Behaviour(f"x{breaking}rated 5: evil", (Happened(f"a{breaking}now: 7"),))
    parsed = parse_behaviour([evil.lines()], max_history=4)
    assert parsed.items.numpy().tolist()[0][1:] == [b"", b"", b""]
    assert parsed.now.numpy().tolist() == [0]
    assert one_line(f" a{breaking} b ") == "a b"


def test_columns_are_padded_behind():
    inputs = rank_rows([BEHAVIOUR, BEHAVIOUR.without_event(0), Behaviour()], ["x", "y"])
    assert inputs["history"].tolist() == [
        [b"Heat", b"rated 1: odd", b"Up"],
        [b"rated 1: odd", b"Up", b""],
        [b"", b"", b""],
    ]
    assert inputs["candidates"].tolist() == [[b"x", b"y"]] * 3
    assert inputs["now"].tolist() == [99, 99, 0]
    ratings = inputs["history_ratings"]
    assert ratings[0, 0] == 4.5
    assert ratings[0, 1] == 0.0  # none
    assert 0.0 < ratings[0, 2] < 1e-30  # a rating of 0 is one
    assert rank_rows([Behaviour()], ["x"])["history"].shape == (1, 1)


def test_what_is_left_without_a_field():
    assert BEHAVIOUR.without_user_piece(0).user == "M"
    assert BEHAVIOUR.without_user_piece(1).user == "24"
    assert join((("a", "Heat"), ("b", ". crime"))) == "Heat. crime"
