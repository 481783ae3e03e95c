"""Self-supervised tasks, one a file, all over the same encoder call."""

from ssrec_tf.objectives.completion import Completion
from ssrec_tf.objectives.contrastive import NextText, TwoViews
from ssrec_tf.objectives.masked_item import MaskedItem
from ssrec_tf.objectives.masked_rating import MaskedRating
from ssrec_tf.objectives.masked_token import MaskedToken
from ssrec_tf.objectives.mixture import Mixture, make_objective
from ssrec_tf.objectives.next_item import NextItem
from ssrec_tf.objectives.next_token import NextToken
from ssrec_tf.objectives.permutation import Permutation

__all__ = [
    "Completion",
    "MaskedItem",
    "MaskedRating",
    "MaskedToken",
    "Mixture",
    "NextItem",
    "NextText",
    "NextToken",
    "Permutation",
    "TwoViews",
    "make_objective",
]
