"""Templates filled by hand, and behaviours rendered, then parsed back in the graph."""

import time

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from ssrec_tf.config import TextConfig
from ssrec_tf.errors import ConfigError
from ssrec_tf.personal_data import hide_personal_data, passes_luhn
from ssrec_tf.rendering import (
    parse_behaviour,
    render_behaviour,
    render_event,
    render_items,
    render_users,
    unique_names,
)
from ssrec_tf.tables import Tables


def tables(items, users=None):
    return Tables(
        name="t",
        interactions=pd.DataFrame({"user": [], "item": []}),
        items=items,
        users=pd.DataFrame(index=["u"]) if users is None else users,
    )


FILMS = pd.DataFrame(
    {
        "title": ["Toy Story", "  Brazil\n\t(cut) ", None, "Toy Story"],
        "year": [1995.0, np.nan, 2001.5, 1995.0],
        "genres": ["Animation, Comedy", None, None, "Animation, Comedy"],
    },
    index=["1", "2", "3", "9"],
)


def test_template_with_optional_parts():
    config = TextConfig(item_template="{title}[ ({year})][. {genres}]")
    assert render_items(tables(FILMS), config).tolist() == [
        "Toy Story (1995). Animation, Comedy",
        "Brazil (cut)",
        "(2001.5)",
        "Toy Story (1995). Animation, Comedy",
    ]


def test_names_tell_items_of_one_text_apart():
    texts = pd.Series(["a", "b", "a", "a"], index=["1", "2", "7", "x"])
    assert unique_names(texts).tolist() == ["a", "b", "a #7", "a #x"]


def test_without_a_template_all_attributes_in_their_order():
    texts = render_items(tables(FILMS.iloc[:1]), TextConfig())
    assert texts.tolist() == ["Toy Story. 1995. Animation, Comedy"]


def test_an_item_without_words_is_named_by_its_id():
    empty = pd.DataFrame({"title": [None, ""]}, index=["007", "8"])
    assert render_items(tables(empty), TextConfig()).tolist() == ["item 007", "item 8"]
    assert render_users(tables(empty), TextConfig()).tolist() == [""]


def test_personal_data_is_hidden():
    items = pd.DataFrame({"title": ["The end of the world, ask me@example.org"]}, index=["1"])
    config = TextConfig(mask_personal_data=True)
    assert render_items(tables(items), config).tolist() == ["The end of the world, ask email"]


def test_a_wrong_attribute_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r"\{titel\} is no attribute.*did you mean \{title\}"):
        render_items(tables(FILMS), TextConfig(item_template="{titel}"))
    with pytest.raises(ConfigError, match=r"\[ abc\] must hold one attribute"):
        render_items(tables(FILMS), TextConfig(item_template="{title}[ abc]"))


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("write to a.b+c@mail.example.co.uk now", "write to email now"),
        ("call +44 20 7946 0958", "call phone"),
        ("call (020) 7946-0958 today", "call phone today"),
        ("pay with 4111 1111 1111 1111", "pay with card"),
        ("4111111111111112 is no card", "4111111111111112 is no card"),
        ("2001: A Space Odyssey (1968)", "2001: A Space Odyssey (1968)"),
        ("1995-1998, 20,000 Leagues", "1995-1998, 20,000 Leagues"),
        ("1995 1998 2001", "1995 1998 2001"),
        ("Both (1999) 2000", "Both (1999) 2000"),
        ("2001-09-11 08:46", "2001-09-11 08:46"),
        ("ISBN 978-0-306-40615-7", "ISBN 978-0-306-40615-7"),
        ("+2001 1995 1998", "phone"),
    ],
)
def test_personal_data(text, hidden):
    assert hide_personal_data(text) == hidden


@pytest.mark.parametrize(
    "text", ["a." * 300_000, "a@" * 300_000, "1 " * 300_000, "a@" + "b." * 300_000]
)
def test_a_long_text_takes_no_longer_for_each_letter(text):
    began = time.process_time()
    hide_personal_data(text)
    assert time.process_time() - began < 5  # a quadratic search takes minutes


def test_cells_side_by_side_are_no_phone_number():
    items = pd.DataFrame(
        {
            "title": ["Toy Story (1995)", "Apollo 13"],
            "year": [1995.0, 1995.0],
            "len": [81.0, 140.0],
        },
        index=["1", "2"],
    )
    assert render_items(tables(items), TextConfig(mask_personal_data=True)).tolist() == [
        "Toy Story (1995). 1995. 81",
        "Apollo 13. 1995. 140",
    ]


def test_ids_are_names_whatever_they_look_like():
    items = pd.DataFrame({"title": [None] * 3}, index=["0439893577", "5551234567", "the"])
    config = TextConfig(mask_personal_data=True)
    assert render_items(tables(items), config).tolist() == [
        "item 0439893577",
        "item 5551234567",
        "item the",
    ]


def test_no_two_items_have_one_text():
    items = pd.DataFrame({"title": ["Toy", "Toy", "Toy #2"]}, index=["1", "2", "3"])
    names = unique_names(render_items(tables(items), TextConfig()))
    assert names.tolist() == ["Toy", "Toy #2", "Toy #2 #3"]


def test_a_default_text_has_no_gaps():
    items = pd.DataFrame({"title": [None, "A"], "year": [1995.0, None], "genre": ["B", "C"]})
    assert render_items(tables(items), TextConfig()).tolist() == ["1995. B", "A. C"]


def test_missing_values_of_every_kind_and_names_with_spaces():
    items = pd.DataFrame(
        {
            "release date": pd.array([pd.NA, "1995"], dtype="string"),
            "stars": np.array([4, 4.5], np.float32),
        },
        index=["1", "2"],
    )
    config = TextConfig(item_template="{stars}[ ({release date})]")
    assert render_items(tables(items), config).tolist() == ["4", "4.5 (1995)"]


@pytest.mark.parametrize(
    ("template", "stray"), [("{title", "{"), ("title}", "}"), ("[ ({title})", r"\[")]
)
def test_a_bracket_without_a_partner_is_named(template, stray):
    with pytest.raises(ConfigError, match=rf"text.item_template: a {stray} in .* has no partner"):
        render_items(tables(FILMS), TextConfig(item_template=template))


def test_luhn_by_known_numbers():
    assert passes_luhn("79927398713")
    assert not passes_luhn("79927398710")


def parsed(texts, max_history=4):
    out = parse_behaviour(tf.constant(texts), max_history=max_history)
    return (
        [x.decode() for x in out.user.numpy()],
        [[x.decode() for x in row] for row in out.items.numpy()],
        out.ratings.numpy(),
        out.count.numpy().tolist(),
    )


def test_what_is_rendered_is_parsed_back():
    events = [
        render_event("Toy Story (1995). Animation", 5.0),
        render_event("rated R: a film", 3.5),
        render_event("seen: and seen again", None),
        render_event("用户 🎬 עברית", float("nan")),
    ]
    text = render_behaviour("24, M", events)
    assert text.splitlines()[:2] == ["user: 24, M", "rated 5: Toy Story (1995). Animation"]
    user, items, ratings, count = parsed([text])
    assert user == ["24, M"]
    assert items == [
        ["Toy Story (1995). Animation", "rated R: a film", "seen: and seen again", "用户 🎬 עברית"]
    ]
    assert ratings[0].tolist()[:2] == [5.0, 3.5]
    assert np.isnan(ratings[0, 2:]).all()
    assert count == [4]


def test_moments_are_parsed_back():
    events = [
        render_event("Toy Story (1995)", 4.5, 881250949),
        render_event("seen at 12: the film", None, 32503679999),  # the last second of 2999
        render_event("Heat", 1.0),
        render_event("Emma", float("nan"), 0),
    ]
    text = render_behaviour("24, M", events, 881252000)
    assert text == (
        "user: 24, M\nnow: 881252000\nrated 4.5 at 881250949: Toy Story (1995)\n"
        "seen at 32503679999: seen at 12: the film\nrated 1: Heat\nseen: Emma"
    )
    for line_end in ("\n", "\r\n", "\r"):
        out = parse_behaviour(tf.constant([text.replace("\n", line_end)]), max_history=5)
        names = [x.decode() for x in out.items.numpy()[0]]
        assert names == ["Toy Story (1995)", "seen at 12: the film", "Heat", "Emma", ""]
        assert out.times.numpy().tolist() == [[881250949, 32503679999, 0, 0, 0]]
        assert out.now.numpy().tolist() == [881252000]
        assert out.user.numpy().tolist() == [b"24, M"]
        wanted = [[4.5, np.nan, 1.0, np.nan, np.nan]]
        assert np.array_equal(out.ratings.numpy(), wanted, equal_nan=True)
        assert out.count.numpy().tolist() == [4]


@pytest.mark.parametrize(
    ("line", "item", "rating", "time"),
    [
        ("rated 5 at 7: x", "x", 5.0, 7),
        ("  rated   5\tat 7:   x ", "x", 5.0, 7),
        ("seen at 0: x", "x", np.nan, 0),
        ("rated 5 at 7: rated 4 at 8: x", "rated 4 at 8: x", 5.0, 7),
        ("rated 5 at 7: now: 8", "now: 8", 5.0, 7),
        # What is no moment makes the whole line an item.
        ("rated 5 at x: y", "rated 5 at x: y", np.nan, 0),
        ("rated 5 at : y", "rated 5 at : y", np.nan, 0),
        ("rated 5 at -7: y", "rated 5 at -7: y", np.nan, 0),
        ("rated 5 at 7.5: y", "rated 5 at 7.5: y", np.nan, 0),
        ("seen at 1234567890123: y", "seen at 1234567890123: y", np.nan, 0),
        ("seen at 123456789012: y", "y", np.nan, 123456789012),
        ("now: soon", "now: soon", np.nan, 0),
        ("now: 1234567890123", "now: 1234567890123", np.nan, 0),
    ],
)
def test_odd_moments(line, item, rating, time):
    out = parse_behaviour(tf.constant([line]), max_history=1)
    assert out.items.numpy()[0, 0].decode() == item
    assert np.array_equal(out.ratings.numpy(), [[rating]], equal_nan=True)
    assert out.times.numpy().tolist() == [[time]]
    assert out.now.numpy().tolist() == [0]


def test_the_first_now_counts_and_none_is_zero():
    texts = ["now: 5\na\nnow: 6", "a\r\nnow: 7\r\n", "now:\nnow: 8\na", "a", ""]
    out = parse_behaviour(tf.constant(texts), max_history=2)
    assert out.now.numpy().tolist() == [5, 7, 0, 0, 0]
    assert out.items.numpy().tolist() == [[b"a", b""]] * 4 + [[b"", b""]]


def test_an_event_without_an_item_has_no_moment_either():
    out = parse_behaviour(tf.constant(["rated 5 at 7:\nseen at 8: \nseen at 9: x"]), max_history=2)
    assert out.items.numpy().tolist() == [[b"x", b""]]
    assert out.times.numpy().tolist() == [[9, 0]]


def test_the_newest_are_kept_and_the_rest_padded():
    user, items, ratings, count = parsed(["a\nb\nrated 2: c", "", "user: x"], max_history=2)
    assert user == ["", "", "x"]
    assert items == [["b", "rated 2: c".removeprefix("rated 2: ")], ["", ""], ["", ""]]
    assert np.array_equal(ratings, [[np.nan, 2.0]] + [[np.nan, np.nan]] * 2, equal_nan=True)
    assert count == [2, 0, 0]


def test_odd_input_survives():
    texts = [
        "\r\n\r\n  rated 4:   Toy \t Story \r\n\nuser: a\nuser: b",
        "rated x: y",
        "z" * 100_000,
    ]
    user, items, ratings, _ = parsed(texts)
    assert user == ["a", "", ""]
    assert items[0][0] == "Toy Story"
    assert ratings[0, 0] == 4.0
    assert items[1][0] == "rated x: y"
    assert len(items[2][0]) == 100_000


def test_ratings_below_zero_come_back():
    _, items, ratings, _ = parsed([render_event("Emma", -3.5)])
    assert items[0][0] == "Emma"
    assert ratings[0, 0] == -3.5


def test_no_text_makes_an_infinite_rating():
    line = "rated " + "9" * 500 + ": x"
    _, items, ratings, _ = parsed([line])
    assert items[0][0] == line
    assert not np.isinf(ratings).any()


def test_an_event_without_an_item_is_passed_over():
    _, items, ratings, count = parsed(["rated 5: \nseen:\n\u00a0\nrated 2: x"])
    assert items == [["x", "", "", ""]]
    assert ratings[0, 0] == 2.0
    assert count == [1]


def test_white_space_is_that_of_the_renderer():
    title = "Toy\u00a0Story\u2003\u2028one\x85"
    rendered = render_items(tables(pd.DataFrame({"t": [title]}, index=["1"])), TextConfig())
    assert rendered.tolist() == ["Toy Story one"]
    user, items, _, _ = parsed([f"user:\u00a0a\nrated 4: {title}"])
    assert (user, items[0][0]) == (["a"], "Toy Story one")


def test_bytes_that_are_no_text_keep_their_line():
    out = parse_behaviour(tf.constant([b"user: \xff\nrated 4: \xc3("]), max_history=1)
    assert out.user.numpy().tolist() == [b"\xff"]
    assert out.items.numpy().tolist() == [[b"\xc3("]]
    assert out.ratings.numpy().tolist() == [[4.0]]


def test_numbers_are_rounded_down_where_asked():
    items = pd.DataFrame({"year": ["1995", "1989", None, "soon"], "price": [1.74, -0.1, 2.0, 0.5]})
    config = TextConfig(item_template="{price:0.5}[ of {year:10}]")
    assert render_items(tables(items), config).tolist() == [
        "1.5 of 1990",
        "-0.5 of 1980",
        "2",
        "0.5",
    ]
    with pytest.raises(ConfigError, match=r"\{year:x\} is no attribute"):
        render_items(tables(items), TextConfig(item_template="{year:x}"))
