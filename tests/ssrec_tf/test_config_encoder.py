"""Which architecture learns from which objective, and which weights it may take."""

import pytest

from ssrec_tf.config_encoder import ARCHITECTURES, EncoderConfig, check_architecture
from ssrec_tf.config_objectives import OBJECTIVES
from ssrec_tf.errors import ConfigError

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
    if objective in LEARNS[architecture]:
        check_architecture(architecture, [objective])
    else:
        with pytest.raises(ConfigError, match=rf"encoder\.architecture.*{objective} needs"):
            check_architecture(architecture, [objective])


def test_the_default_is_a_fresh_bert():
    assert EncoderConfig() == EncoderConfig("bert", "tiny", None, None, 0.1)


def test_weights_of_one_folder_and_one_architecture():
    with pytest.raises(ConfigError, match=r"set it to bert, or give encoder\.preset"):
        EncoderConfig(architecture="xlnet", huggingface="folder")
    with pytest.raises(ConfigError, match="both given"):
        EncoderConfig(preset="folder", huggingface="folder")
