"""How many models are averaged, and how one learns from them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EnsembleConfig:
    """Bayesian averaging of the fine-tuned recommender, distilled into one for serving.

    Attributes:
        kind: none; deep, trainings with seeds of their own; snapshot, one training whose
            learning rate rises anew for each member; swag, draws from a Gaussian over the
            weights that a training passes through at its end.
        members: how many are averaged.
        teacher_weight: share of the loss that is the distance to the members' mean, from 0
            (labels alone) to 1 (the mean alone).
        drawn_items: items drawn for each behaviour, which the user has not seen, and for
            which the members' mean is learnt too.
    """

    kind: str = "none"
    members: int = 5
    teacher_weight: float = 0.5
    drawn_items: int = 64
