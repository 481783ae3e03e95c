"""XLNet's streams against the paper's formulas in numpy, and against what batches may change."""

import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import erf

from ssrec_tf.xlnet import XLNetStreams, visible

WIDTH, HEADS, LAYERS = 16, 2, 2


@pytest.fixture(scope="module")
def streams():
    backbone = keras_hub.models.XLNetBackbone(
        vocabulary_size=30,
        num_layers=LAYERS,
        num_heads=HEADS,
        hidden_dim=WIDTH,
        intermediate_dim=24,
    )
    rng = np.random.default_rng(0)
    for weight in backbone.weights:  # large, so that every term of attention tells
        weight.assign(weight + rng.normal(0, 0.3, weight.shape))
    return XLNetStreams(backbone)


def reference(backbone, ids, segments, order=None):
    """Content and query states of one sequence, token by token (Yang et al. 2019, A.2)."""
    w = {v.path: v.numpy().astype(np.float64) for v in backbone.weights}
    length, head = len(ids), WIDTH // HEADS
    order = np.full(length, -1) if order is None else order

    def sinusoid(distance):
        angle = distance / 10000 ** (np.arange(0, WIDTH, 2) / WIDTH)
        return np.concatenate([np.sin(angle), np.cos(angle)])

    def norm(x, name):
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-12)
        return x * w[f"{name}/gamma"] + w[f"{name}/beta"]

    def attend(at, state, i, content, seen):
        parts = []
        for n in range(HEADS):
            q = state @ w[f"{at}/rel_attn/query/kernel"][:, n]
            bias = [w[f"{at}/{kind}_attention_bias"][n] for kind in ("content", "positional")]
            logits = []
            for j in seen:
                k = content[j] @ w[f"{at}/rel_attn/key/kernel"][:, n]
                r = sinusoid(i - j) @ w[f"{at}/rel_attn/encoding/kernel"][:, n]
                s = w[f"{at}/segment_encoding"][int(segments[i] != segments[j]), n]
                b = w[f"{at}/segment_attention_bias"][n]
                logit = (q + bias[0]) @ k + (q + bias[1]) @ r + (q + b) @ s
                logits.append(logit / np.sqrt(head))
            share = np.exp(np.array(logits) - max(logits))
            values = [content[j] @ w[f"{at}/rel_attn/value/kernel"][:, n] for j in seen]
            mixed = share @ np.array(values) / share.sum()
            parts.append(w[f"{at}/rel_attn/attention_output/kernel"][:, n] @ mixed)
        x = norm(state + sum(parts), f"{at}/layer_norm_rel_attn")
        inner = x @ w[f"{at}/feedforward_intermediate_dense/kernel"]
        inner = inner + w[f"{at}/feedforward_intermediate_dense/bias"]
        inner = inner * 0.5 * (1 + erf(inner / np.sqrt(2)))
        out = inner @ w[f"{at}/feedforward_output_dense/kernel"]
        return norm(x + out + w[f"{at}/feedforward_output_dense/bias"], f"{at}/layer_norm_ff")

    content = w["content_query_embedding/word_embedding/embeddings"][ids]
    query = np.repeat(w["encoder_block_attn_mask_layer/mask_emb"][0], length, axis=0)
    for n in range(LAYERS):
        at = f"xlnet_encoder_{n}"
        sees = [
            [j for j in range(length) if order[j] < 0 or order[j] < order[i]] for i in range(length)
        ]
        itself = [sorted({*sees[i], i}) for i in range(length)]
        new = [attend(at, content[i], i, content, itself[i]) for i in range(length)]
        query = np.array([attend(at, query[i], i, content, sees[i]) for i in range(length)])
        content = np.array(new)
    return content, query


IDS = np.array([[3, 9, 4, 7, 5, 8], [11, 12, 13, 0, 0, 0]], np.int32)
SEGMENTS = np.array([[0, 0, 0, 1, 1, 1], [0, 1, 1, 0, 0, 0]], np.int32)
ORDER = np.array([[-1, 1, -1, 0, -1, 2], [-1, -1, 0, -1, -1, -1]], np.int32)


def test_both_streams_equal_the_formulas(streams):
    positions = np.array([[3, 1, 5], [2, 0, 0]])
    used = np.array([[1, 1, 1], [1, 0, 0]], np.float32)
    targets = tf.one_hot(positions, 6) * used[..., None]
    content, query = streams(
        tf.constant(IDS), tf.constant(SEGMENTS), tf.constant((IDS != 0) * 1), ORDER, targets
    )
    for row, length in ((0, 6), (1, 3)):
        at = slice(0, length)
        states, guesses = reference(
            streams.backbone, IDS[row, at], SEGMENTS[row, at], ORDER[row, at]
        )
        assert content[row, at].numpy() == pytest.approx(states, abs=1e-4)
        slots = positions[row][used[row] > 0]
        assert query[row, : len(slots)].numpy() == pytest.approx(guesses[slots], abs=1e-4)


def test_without_an_order_each_sees_all(streams):
    content, query = streams(tf.constant(IDS), tf.constant(SEGMENTS), tf.constant((IDS != 0) * 1))
    assert query is None
    for row, length in ((0, 6), (1, 3)):
        states, _ = reference(streams.backbone, IDS[row, :length], SEGMENTS[row, :length])
        assert content[row, :length].numpy() == pytest.approx(states, abs=1e-4)


def test_what_is_visible_by_hand():
    content, query = visible(tf.constant([[1, 1, 1, 0]]), tf.constant([[-1, 1, 0, -1]]))
    assert query.numpy()[0, :3].astype(int).tolist() == [[1, 0, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0]]
    assert content.numpy()[0].astype(int).tolist() == [
        [1, 0, 0, 0],
        [1, 1, 1, 0],
        [1, 0, 1, 0],
        [1, 0, 0, 1],
    ]


def test_the_weights_are_those_of_the_backbone(streams):
    assert {id(v) for v in streams.variables} == {id(v) for v in streams.backbone.variables}
