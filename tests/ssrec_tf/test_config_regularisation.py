"""The switches against overfitting: off by default, refused where nothing could follow."""

import pytest

from ssrec_tf.config import RunConfig, from_dict
from ssrec_tf.config_regularisation import RegularisationConfig
from ssrec_tf.errors import ConfigError


def read(**sections) -> RunConfig:
    return from_dict({"name": "x", "data": {"dataset": "d"}, **sections})


def test_all_is_off_by_default():
    config = read()
    assert config.train.regularisation == config.pretrain.regularisation == RegularisationConfig()
    assert not config.train.regularisation.changes_texts
    assert config.train.regularisation.adversarial_epsilon == 0
    assert config.train.regularisation.label_smoothing == 0
    assert (config.text.alternatives.count, config.encoder.tuning) == (0, "full")


@pytest.mark.parametrize("name", ["token_dropout", "field_dropout", "alternative_rate"])
def test_any_of_three_changes_texts(name):
    assert RegularisationConfig(**{name: 0.1}).changes_texts


def test_switches_are_read():
    kept = {"count": 2, "synonyms": "words.yaml"}
    config = read(
        text={"alternatives": kept},
        train={"regularisation": {"alternative_rate": 0.5, "fields": ["genres"]}},
        pretrain={"regularisation": {"token_dropout": 0.1, "mask_dropped": True}},
    )
    assert config.text.alternatives.synonyms == "words.yaml"
    assert config.train.regularisation.fields == ("genres",)
    assert config.pretrain.regularisation.mask_dropped


@pytest.mark.parametrize("section", ["train", "pretrain"])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"token_dropout": 1.0}, "token_dropout is 1.0: give a number from 0 to 0.99"),
        ({"field_dropout": -0.1}, "field_dropout is -0.1: give a number from 0 to 0.99"),
        ({"label_smoothing": 2}, "label_smoothing is 2.0: give a number from 0 to 0.99"),
        ({"adversarial_epsilon": -1}, "adversarial_epsilon is -1.0: give a number of at least 0"),
        ({"text_variants": 0}, "text_variants is 0: give a number of at least 1"),
        ({"alternative_rate": 0.5}, "alternative_rate is 0.5 but there is no other wording"),
        ({"token_drop": 1}, "did you mean"),
    ],
)
def test_a_wrong_value_is_named(section, values, message):
    with pytest.raises(ConfigError) as caught:
        read(**{section: {"regularisation": values}})
    assert f"{section}.regularisation." in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ({"count": 2}, "text.alternatives.count is 2 but nothing words texts anew"),
        ({"synonyms": "wordnet"}, "text.alternatives.count is 0 though 'wordnet' is given"),
        ({"count": 1, "synonyms": "w", "synonym_rate": 2}, "synonym_rate is 2.0"),
        ({"count": -1}, "text.alternatives.count is -1: give a number of at least 0"),
    ],
)
def test_wordings_without_a_source_and_the_reverse_are_refused(kept, message):
    with pytest.raises(ConfigError) as caught:
        read(text={"alternatives": kept})
    assert message in str(caught.value)
