"""Names, weights and sizes of the self-supervised tasks are checked."""

import pytest

from ssrec_tf.config import PretrainConfig
from ssrec_tf.config_objectives import OBJECTIVES, TaskConfig, check_objectives
from ssrec_tf.errors import ConfigError


def test_the_default_is_masked_tokens_alone():
    assert PretrainConfig().objectives == {"masked_token": 1.0}
    assert PretrainConfig().objectives_end == {}


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ({"cloze": 1.0}, {}, f"objectives.cloze is no objective: give some of {OBJECTIVES[0]}"),
        ({"masked_token": 1.0}, {"cloze": 1.0}, "objectives_end.cloze is no objective"),
        ({"masked_token": -1.0}, {}, "objectives.masked_token is -1.0: give a number of at least"),
        ({}, {}, "give at least one of masked_token"),
        ({"masked_token": 0.0}, {}, "a weight above 0, at the start and at the end"),
        ({"masked_token": 1.0}, {"masked_token": 0.0}, "a weight above 0, at the start and at"),
        ({"masked_token": 1.0}, {"two_views": 1.0}, "objectives_end.two_views: give it a weight"),
    ],
)
def test_weights_are_checked(start, end, message):
    with pytest.raises(ConfigError) as caught:
        check_objectives(start, end)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hide_rate": 1.5}, "pretrain.tasks.hide_rate is 1.5: give a number from 0 to 1"),
        ({"temperature": 0.0}, "pretrain.tasks.temperature is 0.0: give a number of at least"),
        ({"layers": 0}, "pretrain.tasks.layers is 0: give a number of at least 1"),
        ({"prediction_k": 1}, "pretrain.tasks.prediction_k is 1: give a number of at least 2"),
        ({"item_loss": "bpr"}, "give one of softmax, sampled_softmax, gbce"),
    ],
)
def test_sizes_are_checked(options, message):
    with pytest.raises(ConfigError) as caught:
        TaskConfig(**options)
    assert message in str(caught.value)
