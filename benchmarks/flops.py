"""Floating-point operations of an encoder's training step, by formula."""

from __future__ import annotations

PASSES = 3  # forward, and twice as much backward


def bert_flops(tokens: float, length: float, *, width: int, layers: int, inner: int) -> float:
    """Operations of one forward pass over `tokens` tokens in sequences of `length`.

    A layer multiplies each token by four matrices width x width and two width x inner, and
    attention compares it with `length` others and sums them up; a product counts as two
    operations. Embeddings, norms and softmax are left out.

    Reference:
        Kaplan et al. 2020, arXiv:2001.08361, table 1.
    """
    matrices = 2 * (4 * width**2 + 2 * width * inner)
    attention = 2 * 2 * length * width
    return layers * tokens * (matrices + attention)
