"""Five architectures behind one call, their sizes, and folders that fit or do not."""

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from ssrec_tf import weights
from ssrec_tf.backbones import BACKBONES, pruned
from ssrec_tf.config import EncoderConfig
from ssrec_tf.config_encoder import ARCHITECTURES
from ssrec_tf.encoders import Encoder
from ssrec_tf.errors import ConfigError, VocabularyError
from ssrec_tf.vocabulary import load_preset, train_vocabulary

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "toy", "story", "##s"]
SIZES = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16}
every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


@pytest.fixture(scope="module")
def vocabulary():
    return train_vocabulary(["a b c d"], items=["i"], ratings=[1], size=20, lowercase=True)


def make(vocabulary, architecture, seed=0, **sizes):
    """An encoder whose weights are large enough for each input to tell."""
    sizes = {**SIZES, **sizes}
    backbone = BACKBONES[architecture](vocabulary_size=vocabulary.size, dropout=0.0, **sizes)
    rng = np.random.default_rng(seed)
    for weight in backbone.weights:
        weight.assign(weight + rng.normal(0, 0.2, weight.shape))
    return Encoder(backbone, vocabulary)


def test_names_of_the_configuration_are_those_of_the_classes():
    assert tuple(BACKBONES) == ARCHITECTURES


@every_architecture
def test_from_scratch(vocabulary, architecture, tmp_path):
    config = EncoderConfig(architecture=architecture)
    encoder = Encoder.create(config, vocabulary)
    ids = tf.constant([[2, 5, 3, 0]])
    states, pooled = encoder(ids)
    assert (encoder.architecture, encoder.width) == (architecture, 128)
    assert (states.shape, pooled.shape) == ((1, 4, 128), (1, 128))
    weights.save(encoder.backbone, tmp_path / "w.npz")
    other = Encoder.create(config, vocabulary)
    assert abs(other(ids)[1] - pooled).numpy().max() > 1e-3
    weights.load(other.backbone, tmp_path / "w.npz")
    assert other(ids)[1].numpy() == pytest.approx(pooled.numpy(), abs=1e-6)


@every_architecture
def test_neither_padding_nor_neighbours_change_a_sequence(vocabulary, architecture):
    encoder = make(vocabulary, architecture)
    alone, pooled = encoder(tf.constant([[2, 5, 6, 3]]))
    together, both = encoder(tf.constant([[2, 8, 7, 6, 5, 5, 3], [2, 5, 6, 3, 0, 0, 0]]))
    assert together[1, :4].numpy() == pytest.approx(alone[0].numpy(), abs=1e-5)
    assert both[1].numpy() == pytest.approx(pooled[0].numpy(), abs=1e-5)


@every_architecture
def test_who_sees_later_tokens_and_segments(vocabulary, architecture):
    encoder = make(vocabulary, architecture)
    before, _ = encoder(tf.constant([[2, 5, 6, 3]]))
    later, _ = encoder(tf.constant([[2, 5, 6, 7]]))
    assert (abs(before - later)[0, :3].numpy().max() < 1e-6) == (architecture == "gpt2")
    parted, _ = encoder(tf.constant([[2, 5, 6, 3]]), tf.constant([[0, 0, 1, 1]]))
    knows = architecture in ("bert", "xlnet")
    assert (abs(before - parted)[0].numpy().max() > 1e-3) == knows


@every_architecture
def test_dropout_is_on_in_training_only(vocabulary, architecture):
    encoder = Encoder.create(EncoderConfig(architecture=architecture, dropout=0.5), vocabulary)
    ids = tf.constant([[2, 5, 6, 3]])
    first, again, trained = (encoder(ids, training=on)[0] for on in (False, False, True))
    assert np.array_equal(first, again)
    assert abs(first - trained).numpy().max() > 1e-2


def test_pooled_is_a_mean_and_of_gpt2_one_by_what_was_read(vocabulary):
    ids = tf.constant([[2, 5, 3, 0]])
    states, pooled = make(vocabulary, "roberta")(ids)
    assert pooled[0].numpy() == pytest.approx(states[0, :3].numpy().mean(0), abs=1e-6)
    states, pooled = make(vocabulary, "gpt2")(ids)
    one, two, three, _ = states[0].numpy()
    assert pooled[0].numpy() == pytest.approx((one + 2 * two + 3 * three) / 6, abs=1e-6)


@every_architecture
def test_the_graph_holds_core_ops_only(vocabulary, architecture):
    encoder = make(vocabulary, architecture)
    call = tf.function(lambda ids: encoder(ids)[1])
    graph = call.get_concrete_function(tf.TensorSpec([None, None], tf.int32)).graph
    ops = {node.op for node in graph.as_graph_def().node}
    ops |= {n.op for f in graph.as_graph_def().library.function for n in f.node_def}
    assert "MatMul" in ops or "Einsum" in ops
    assert not {op for op in ops if not hasattr(tf.raw_ops, op)}


# Presets


def preset(folder, architecture, size=8, words=None):
    backbone = BACKBONES[architecture](vocabulary_size=size, **SIZES)
    backbone.save_to_preset(str(folder))
    if words:
        kind = {"bert": "Bert", "distilbert": "DistilBert"}[architecture]
        tokenizer = getattr(keras_hub.tokenizers, f"{kind}Tokenizer")
        tokenizer(vocabulary=words, lowercase=True).save_to_preset(str(folder))
    return backbone


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_a_preset_s_words_are_the_vocabulary_s_and_its_states_are_kept(tmp_path, architecture):
    backbone = preset(tmp_path, architecture, words=WORDS)
    vocabulary = load_preset(tmp_path, items=["b", "a"], ratings=[1, 2])
    assert (vocabulary.words, vocabulary.items) == (tuple(WORDS), ("a", "b"))
    assert vocabulary.lowercase
    config = EncoderConfig(architecture=architecture, preset=str(tmp_path), dropout=0.3)
    encoder = Encoder.create(config, vocabulary)
    assert encoder.backbone.dropout == 0.3
    ids = np.array([[2, 5, 6, 3]])
    inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": 1 + 0 * ids}
    expected = backbone({name: inputs[name] for name in backbone.input})
    if architecture == "bert":
        expected = expected["sequence_output"]
    # BERT's GELU is made exact, as in the reference.
    close = 5e-3 if architecture == "bert" else 1e-5
    assert encoder(tf.constant(ids))[0].numpy() == pytest.approx(expected.numpy(), abs=close)
    rows = encoder.token_embedding.embeddings.numpy()
    assert rows.shape == (vocabulary.size, 8)
    assert np.array_equal(rows[:8], backbone.token_embedding.embeddings)
    assert 0.2 < rows[8:].std() / rows[:8].std() < 5


@every_architecture
def test_a_preset_saved_over_this_vocabulary_fits(vocabulary, tmp_path, architecture):
    saved = make(vocabulary, architecture, seed=3)
    saved.backbone.save_to_preset(str(tmp_path))
    config = EncoderConfig(architecture=architecture, preset=str(tmp_path))
    loaded = Encoder.create(config, vocabulary)
    ids = tf.constant([[2, 5, 6, 3, 0]])
    assert loaded(ids)[1].numpy() == pytest.approx(saved(ids)[1].numpy(), abs=1e-6)


def test_a_folder_that_does_not_fit_is_named(vocabulary, tmp_path):
    def create(name, architecture):
        config = EncoderConfig(architecture=architecture, preset=str(tmp_path / name))
        return Encoder.create(config, vocabulary)

    preset(tmp_path / "words", "bert", words=WORDS)
    preset(tmp_path / "rows", "roberta", size=vocabulary.size + 1)
    preset(tmp_path / "bytes", "gpt2", size=vocabulary.size)
    (tmp_path / "bytes" / "tokenizer.json").write_text('{"class_name": "GPT2Tokenizer"}')
    with pytest.raises(ConfigError, match=r"has no config\.json: give a KerasHub preset folder"):
        create("bert_base_en", "bert")
    with pytest.raises(VocabularyError, match=r"set text\.preset to the same folder"):
        create("words", "bert")
    with pytest.raises(VocabularyError, match="saved over this very vocabulary"):
        create("rows", "roberta")
    with pytest.raises(ConfigError, match=r"no preset of encoder\.architecture='gpt2'"):
        create("rows", "gpt2")
    with pytest.raises(ConfigError, match="those of GPT2Tokenizer, but text is read as WordPiece"):
        create("bytes", "gpt2")
    with pytest.raises(VocabularyError, match=r"no WordPiece tokenizer \(it has GPT2Tokenizer\)"):
        load_preset(tmp_path / "bytes", items=[], ratings=[])


def test_wrong_names_are_named(vocabulary):
    with pytest.raises(ConfigError, match=r"encoder\.architecture='t5' must be one of bert"):
        Encoder.create(EncoderConfig(architecture="t5"), vocabulary)
    other = keras_hub.models.AlbertBackbone(
        vocabulary_size=vocabulary.size, embedding_dim=8, **{**SIZES, "num_heads": 1}
    )
    with pytest.raises(ConfigError, match="AlbertBackbone is no backbone of bert"):
        Encoder(other, vocabulary)


@every_architecture
def test_pruned_to_all_layers_reads_as_before_and_to_fewer_otherwise(vocabulary, architecture):
    whole = make(vocabulary, architecture, num_layers=4)
    ids = tf.constant([[2, 5, 6, 3, 0]])
    expected = whole(ids)[0].numpy()[:, :4]
    for layers, apart in ((4, False), (2, True)):
        found = Encoder(pruned(whole.backbone, layers), vocabulary)(ids)[0].numpy()[:, :4]
        assert (np.abs(found - expected).max() > 1e-3) == apart
    with pytest.raises(ConfigError, match=r"encoder.layers is 5: the encoder has 4; give fewer"):
        pruned(whole.backbone, 5)


@pytest.mark.parametrize(("layers", "kept"), [(1, [3]), (2, [0, 3]), (3, [0, 2, 3])])
def test_a_pruned_bert_skips_layers(vocabulary, layers, kept):
    whole = make(vocabulary, "bert", num_layers=4).backbone
    inputs = {
        "token_ids": tf.constant([[2, 5, 6, 3]]),
        "segment_ids": tf.zeros([1, 4], tf.int32),
        "padding_mask": tf.ones([1, 4], tf.int32),
    }
    start = keras.Model(whole.inputs, whole.get_layer("embeddings_dropout").output)
    states = start(inputs)
    for number in kept:
        states = whole.transformer_layers[number](states, padding_mask=inputs["padding_mask"])
    found = Encoder(pruned(whole, layers), vocabulary).backbone(inputs)["sequence_output"].numpy()
    assert found == pytest.approx(states.numpy(), abs=1e-5)


def test_layers_are_kept_of_published_weights_only():
    with pytest.raises(ConfigError, match=r"encoder.layers is 3, but a fresh encoder"):
        EncoderConfig(layers=3)
    assert EncoderConfig(preset="folder", layers=3).layers == 3
