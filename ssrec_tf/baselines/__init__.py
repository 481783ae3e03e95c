"""Models simple enough to be trusted, which every other one has to beat."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from ssrec_tf.baselines.als import ALS
from ssrec_tf.baselines.base import Baseline
from ssrec_tf.baselines.bias import Bias
from ssrec_tf.baselines.content import Content
from ssrec_tf.baselines.ease import EASE
from ssrec_tf.baselines.fm import FactorizationMachine
from ssrec_tf.baselines.knn import ImplicitItemKNN, ItemKNN, UserKNN
from ssrec_tf.baselines.means import GlobalMean, ItemMean, UserMean
from ssrec_tf.baselines.popularity import Popularity
from ssrec_tf.baselines.running_bias import RunningBias
from ssrec_tf.baselines.surprise_models import SVD, SVDpp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ssrec_tf.tables import Tables

__all__ = [
    "ALS",
    "EASE",
    "EXTENDED",
    "SVD",
    "Baseline",
    "Bias",
    "Content",
    "FactorizationMachine",
    "GlobalMean",
    "ImplicitItemKNN",
    "ItemKNN",
    "ItemMean",
    "Popularity",
    "RunningBias",
    "SVDpp",
    "UserKNN",
    "UserMean",
    "available",
]

BASELINES: tuple[type[Baseline], ...] = (GlobalMean, UserMean, ItemMean, Bias, Popularity)

# Slower ones, for a comparison with published figures. Libraries of the extra `bench` are
# imported when a model is fitted, not before.
EXTENDED: Mapping[str, type[Baseline]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            UserKNN, ItemKNN, ImplicitItemKNN, Content, EASE, ALS, SVD, SVDpp, FactorizationMachine,
            RunningBias,
        )
    }
)  # fmt: skip


def available(tables: Tables) -> list[Baseline]:
    """Return an unfitted baseline of every kind the data allows: without ratings, one."""
    rated = "rating" in tables.interactions
    return [kind() for kind in BASELINES if rated or not kind.needs_rating]
