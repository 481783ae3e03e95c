"""Models simple enough to be trusted, which every other one has to beat."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from ssrec_tf.baselines.als import ALS
from ssrec_tf.baselines.base import Baseline
from ssrec_tf.baselines.bias import Bias
from ssrec_tf.baselines.cnn_text import ConvolutionalText
from ssrec_tf.baselines.content import Content
from ssrec_tf.baselines.ease import EASE
from ssrec_tf.baselines.fm import FactorizationMachine
from ssrec_tf.baselines.knn import ImplicitItemKNN, ItemKNN, RecentItemKNN, UserKNN
from ssrec_tf.baselines.means import GlobalMean, ItemMean, UserMean
from ssrec_tf.baselines.mf import MatrixFactorization
from ssrec_tf.baselines.mlp import MultilayerPerceptron
from ssrec_tf.baselines.ncf import NeuralCollaborativeFiltering
from ssrec_tf.baselines.popularity import Popularity
from ssrec_tf.baselines.recurrent import GRU, LSTM
from ssrec_tf.baselines.running_bias import RunningBias
from ssrec_tf.baselines.surprise_models import SVD, SVDpp
from ssrec_tf.baselines.vae import VariationalAutoencoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ssrec_tf.tables import Tables

__all__ = [
    "ALS",
    "EASE",
    "EXTENDED",
    "GRU",
    "LSTM",
    "SVD",
    "Baseline",
    "Bias",
    "Content",
    "ConvolutionalText",
    "FactorizationMachine",
    "GlobalMean",
    "ImplicitItemKNN",
    "ItemKNN",
    "ItemMean",
    "MatrixFactorization",
    "MultilayerPerceptron",
    "NeuralCollaborativeFiltering",
    "Popularity",
    "RecentItemKNN",
    "RunningBias",
    "SVDpp",
    "UserKNN",
    "UserMean",
    "VariationalAutoencoder",
    "available",
]

BASELINES: tuple[type[Baseline], ...] = (GlobalMean, UserMean, ItemMean, Bias, Popularity)

# Slower ones, for a comparison with published figures. Libraries of the extra `bench` are
# imported when a model is fitted, not before. From `mf` on they are networks in Keras.
EXTENDED: Mapping[str, type[Baseline]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            UserKNN, ItemKNN, ImplicitItemKNN, RecentItemKNN, Content, EASE, ALS, SVD, SVDpp,
            FactorizationMachine, RunningBias,
            MatrixFactorization, NeuralCollaborativeFiltering, MultilayerPerceptron,
            ConvolutionalText, VariationalAutoencoder, GRU, LSTM,
        )
    }
)  # fmt: skip


def available(tables: Tables) -> list[Baseline]:
    """Return an unfitted baseline of every kind the data allows: without ratings, one."""
    return [kind() for kind in BASELINES if kind.can_learn_from(tables)]
