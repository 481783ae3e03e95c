"""The next token: the future is not read, the planted grammar is learnt to its entropy."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf.config import EncoderConfig
from ssrec_tf.config_regularisation import RegularisationConfig
from ssrec_tf.errors import ConfigError
from ssrec_tf.learning import create_encoder
from ssrec_tf.objectives import MaskedItem, MaskedToken, NextToken
from tests.ssrec_tf.objectives.conftest import ITEMS, SEED, config, learn, pairs, walks


@pytest.fixture
def gpt2(world):
    return create_encoder(EncoderConfig("gpt2", dropout=0.0), world.text, seed=1)


@pytest.fixture
def objective(gpt2, world):
    return NextToken(gpt2, world.text, config(item_token_dropout=0.0))


def test_no_logit_reads_a_later_token(objective):
    tokens = objective.tokens(walks(), SEED).numpy()
    for cut in (2, 6, 16):  # a rating, a number, a rating
        changed = tokens.copy()
        changed[:, cut:] = changed[::-1, cut:]
        before, after = (objective(tf.constant(each)).numpy() for each in (tokens, changed))
        assert before[:, :cut] == pytest.approx(after[:, :cut], abs=1e-5)
        assert abs(before[:, cut] - after[:, cut]).max() > 1e-2


def test_loss_is_the_mean_cross_entropy_of_all_but_special_tokens(objective, world):
    found = objective.losses_of(walks(), seed=SEED, training=False)
    tokens = objective.tokens(walks(), SEED)
    states, _ = objective.encoder(tokens)
    table = objective.encoder.token_embedding.embeddings.numpy().astype(np.float64)
    logits = states.numpy() @ table.T  # the weights are tied
    share = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    words = world.text.vocabulary.words
    total = [
        -share[row, at - 1, token]
        for (row, at), token in np.ndenumerate(tokens.numpy())
        if at and not (token < len(words) and words[token] in special)
    ]
    assert len(total) == 16 * 6 * 7  # users, events, tokens of an event
    assert float(found["loss"]) == pytest.approx(np.mean(total), rel=1e-4)


def test_labels_are_smoothed_in_training_alone(gpt2, world):
    sharp, smooth = (
        NextToken(gpt2, world.text, config(regularisation=RegularisationConfig(label_smoothing=x)))
        for x in (0.0, 0.25)
    )
    for training in (False, True):
        one, other = (
            float(each.losses_of(walks(), seed=SEED, training=training)["loss"])
            for each in (sharp, smooth)
        )
        assert (one == other) is not training


@pytest.mark.slow
def test_the_planted_grammar_is_learnt(gpt2, world):
    # The first event is any of 15; from there on each token follows from those before.
    settings = config(item_token_dropout=0.0)
    objective = NextToken(gpt2, world.text, replace(settings, sequence_length=20))
    entropy = np.log(ITEMS / 2) / (2 * 7)
    found = learn(objective, 150, pairs)
    assert entropy - 0.02 < found["loss"] < entropy + 0.05
    assert found["next_token_accuracy"] > 0.85


def test_an_encoder_that_sees_the_answer_is_refused(encoder, world):
    with pytest.raises(ConfigError, match=r"architecture is 'bert'.*next_token needs gpt2"):
        NextToken(encoder, world.text, config())


@pytest.mark.parametrize("kind", [MaskedToken, MaskedItem])
def test_a_causal_encoder_fills_no_gaps(objective, world, kind):
    with pytest.raises(ConfigError, match=r"architecture is 'gpt2', which sees only what stands"):
        kind(objective.encoder, world.text, config())
