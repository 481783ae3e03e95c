"""Recommenders over the encoder: two readings of a pair, and the heads' losses."""

from ssrec_tf.recommenders.base import Behaviour, Outputs, PairScores, Recommender
from ssrec_tf.recommenders.factors import BIAS_PRECISION
from ssrec_tf.recommenders.indexed import Indexed
from ssrec_tf.recommenders.joint import Joint
from ssrec_tf.recommenders.retrieval import Retrieval
from ssrec_tf.recommenders.two_level import TwoLevel

__all__ = [
    "BIAS_PRECISION",
    "Behaviour",
    "Indexed",
    "Joint",
    "Outputs",
    "PairScores",
    "Recommender",
    "Retrieval",
    "TwoLevel",
]
