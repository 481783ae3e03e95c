"""Self-supervised tasks, one a file, all over the same encoder call."""

from ssrec_tf.objectives.masked_token import MaskedToken

__all__ = ["MaskedToken"]
