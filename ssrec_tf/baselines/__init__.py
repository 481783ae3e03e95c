"""Models simple enough to be trusted, which every other one has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssrec_tf.baselines.base import Baseline
from ssrec_tf.baselines.bias import Bias
from ssrec_tf.baselines.means import GlobalMean, ItemMean, UserMean
from ssrec_tf.baselines.popularity import Popularity

if TYPE_CHECKING:
    from ssrec_tf.tables import Tables

__all__ = ["Baseline", "Bias", "GlobalMean", "ItemMean", "Popularity", "UserMean", "available"]

BASELINES: tuple[type[Baseline], ...] = (GlobalMean, UserMean, ItemMean, Bias, Popularity)


def available(tables: Tables) -> list[Baseline]:
    """Return an unfitted baseline of every kind the data allows: without ratings, one."""
    rated = "rating" in tables.interactions
    return [kind() for kind in BASELINES if rated or not kind.needs_rating]
