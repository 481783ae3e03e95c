"""Every single difference between two cards is an error that names it."""

import json
from dataclasses import fields, replace

import pytest

from ssrec_tf.errors import DataError, ProtocolError
from ssrec_tf.protocol import PAST_HISTORY, STREAMING_HISTORY, TRAIN_HISTORY, ProtocolCard

CARD = ProtocolCard(
    dataset="d", split="time", split_digest="ab", split_seed=None, part="test", rows=3,
    click="as logged", k=10, relevant="every click of the part", ranked_users=2,
    ranked_users_digest="cd",
)  # fmt: skip


@pytest.mark.parametrize("name", [item.name for item in fields(ProtocolCard)])
def test_any_other_value_is_an_error(name):
    CARD.check_same(replace(CARD))
    old = getattr(CARD, name)
    other = replace(CARD, **{name: 77 if isinstance(old, int) or old is None else "other"})
    with pytest.raises(ProtocolError, match=f"{name}: ") as caught:
        CARD.check_same(other)
    assert repr(old) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_differences_are_named_at_once():
    with pytest.raises(ProtocolError, match="part: 'test' and 'valid'; k: 10 and 5"):
        CARD.check_same(replace(CARD, part="valid", k=5))


def test_round_trip_through_json():
    assert ProtocolCard.from_dict(json.loads(json.dumps(CARD.to_dict()))) == CARD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": "10"}, "k is '10'"),
        ({"rows": True}, "rows is True"),
        ({"part": None}, "part is None"),
        ({"more": 1}, "fields more missing or unknown"),
    ],
)
def test_odd_values_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        ProtocolCard.from_dict({**CARD.to_dict(), **change})


def test_a_card_from_before_versions_is_version_one():
    values = CARD.to_dict()
    assert values.pop("metrics_version") == 1
    assert ProtocolCard.from_dict(values) == CARD
    with pytest.raises(ProtocolError, match="metrics_version: 2 and 1"):
        replace(CARD, metrics_version=2).check_same(ProtocolCard.from_dict(values))


def test_a_card_from_before_histories_has_the_rule_of_its_split():
    for split, rule in (("time", PAST_HISTORY), ("random", TRAIN_HISTORY)):
        values = replace(CARD, split=split).to_dict()
        del values["histories"]
        assert ProtocolCard.from_dict(values).histories == rule
    streaming = replace(CARD, histories=STREAMING_HISTORY)
    with pytest.raises(ProtocolError, match=r"histories: 'train rows of the user' and .all rows"):
        CARD.check_same(streaming)


def test_a_missing_field_is_named():
    values = CARD.to_dict()
    del values["ties"]
    with pytest.raises(DataError, match="fields ties missing"):
        ProtocolCard.from_dict(values)
