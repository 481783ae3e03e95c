"""A tuning is refused where nothing would train it."""

import pytest

from ssrec_tf.config import from_dict
from ssrec_tf.errors import ConfigError

LORA = {"tuning": "lora"}
PUBLISHED = {"tuning": "lora", "huggingface": "all-minilm-l6-v2"}


def read(encoder, **sections):
    return from_dict({"name": "x", "data": {"dataset": "d"}, "encoder": encoder, **sections})


@pytest.mark.parametrize(
    ("encoder", "sections"),
    [
        (LORA, {"train": {"encoder_steps": 5}}),
        (LORA, {"train": {"reading": "joint"}}),
        (PUBLISHED, {}),
        ({"tuning": "full"}, {}),
    ],
)
def test_a_tuning_that_something_trains(encoder, sections):
    assert read(encoder, **sections).encoder.tuning == encoder["tuning"]


@pytest.mark.parametrize(
    ("encoder", "sections"), [(LORA, {}), (PUBLISHED, {"pretrain": {"loop": {"steps": 0}}})]
)
def test_a_tuning_that_nothing_trains(encoder, sections):
    with pytest.raises(ConfigError, match=r"encoder\.tuning is 'lora' but nothing trains"):
        read(encoder, **sections)


def test_wrong_values_are_named():
    with pytest.raises(ConfigError, match="give one of full, lora, adapter, prefix"):
        read({"tuning": "lorra"})
    with pytest.raises(ConfigError, match=r"encoder\.tuning_rank is 0: give a number of at least"):
        read({"tuning_rank": 0})
