"""Which architecture learns from which objective, with which weights, tuned or whole."""

import pytest

from ssrec_tf.config import from_dict
from ssrec_tf.config_encoder import ARCHITECTURES, EncoderConfig, can_learn, check_architecture
from ssrec_tf.config_objectives import OBJECTIVES
from ssrec_tf.errors import ConfigError

LORA = {"tuning": "lora"}
PUBLISHED = {"tuning": "lora", "huggingface": "all-minilm-l6-v2"}
PRESET = {"tuning": "lora", "preset": "folder", "architecture": "distilbert"}
CAUSAL = {"next_text", "two_views", "next_item"}
CLOZES = {"masked_token", "completion", "masked_item", "masked_rating"}
LEARNS = {
    "bert": CAUSAL | CLOZES,
    "distilbert": CAUSAL | CLOZES,
    "roberta": CAUSAL | CLOZES,
    "gpt2": CAUSAL | {"next_token"},
    "xlnet": CAUSAL | CLOZES | {"permutation"},
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_pair_is_allowed_or_refused(architecture, objective):
    assert can_learn(architecture, objective) is (objective in LEARNS[architecture])
    if objective in LEARNS[architecture]:
        check_architecture(architecture, [objective])
    else:
        with pytest.raises(ConfigError, match=rf"encoder\.architecture.*{objective} needs"):
            check_architecture(architecture, [objective])


def test_the_default_is_a_fresh_bert():
    assert EncoderConfig() == EncoderConfig("bert", "tiny", None, None, 0.1, "full")


def test_weights_of_one_folder_and_one_architecture():
    with pytest.raises(ConfigError, match=r"set it to bert, or give encoder\.preset"):
        EncoderConfig(architecture="xlnet", huggingface="folder")
    with pytest.raises(ConfigError, match="both given"):
        EncoderConfig(preset="folder", huggingface="folder")


def read(encoder, **sections):
    return from_dict({"name": "x", "data": {"dataset": "d"}, "encoder": encoder, **sections})


@pytest.mark.parametrize(
    ("encoder", "sections"),
    [
        (LORA, {"train": {"encoder_steps": 5}}),
        (LORA, {"train": {"reading": "joint"}}),
        (PUBLISHED, {}),
        (PRESET, {}),
        ({"tuning": "full"}, {}),
    ],
)
def test_a_tuning_that_something_trains(encoder, sections):
    assert read(encoder, **sections).encoder.tuning == encoder["tuning"]


@pytest.mark.parametrize(
    ("encoder", "sections"),
    [(LORA, {}), *((kind, {"pretrain": {"loop": {"steps": 0}}}) for kind in (PUBLISHED, PRESET))],
)
def test_a_tuning_that_nothing_trains(encoder, sections):
    with pytest.raises(ConfigError, match=r"encoder\.tuning is 'lora' but nothing trains"):
        read(encoder, **sections)


def test_wrong_values_are_named():
    with pytest.raises(ConfigError, match="give one of full, lora, adapter, prefix"):
        read({"tuning": "lorra"})
    with pytest.raises(ConfigError, match=r"encoder\.tuning_rank is 0: give a number of at least"):
        read({"tuning_rank": 0})


@pytest.mark.parametrize("tuning", ["lora", "adapter", "prefix"])
@pytest.mark.parametrize("architecture", ["gpt2", "xlnet"])
def test_what_cannot_be_tuned_is_refused(tuning, architecture):
    with pytest.raises(ConfigError, match="set it to one of bert, distilbert, roberta"):
        EncoderConfig(architecture, tuning=tuning)
