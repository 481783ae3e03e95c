"""The sizes of the factorization, and what holds its weights back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FactorConfig:
    """The factorization of the two-level reading.

    `precision`: of its weights' prior, in precisions of one rating's noise.
    `behaviour_width`: length of the items' co-occurrence vectors; 0 does without.
    `text_width`: how many leading directions of the encoder's vectors a user's taste may
    follow; 0 for none.
    `waves`: frequencies for each pace at which a user's bias drifts; 0 keeps it still.
    """

    width: int = 16
    precision: float = 300.0
    behaviour_width: int = 32
    text_width: int = 0
    waves: int = 6
