"""Embarrassingly shallow autoencoder."""

from __future__ import annotations

import numpy as np

from ssrec_tf.baselines.ranker import Linear, Option


class EASE(Linear):
    """Each item of a history regressed on the others, in closed form.

    The weights B minimise |X - X B|^2 + penalty |B|^2 with a diagonal of 0, where X is 1
    for what a user has in train: with P the inverse of X'X + penalty I, B_ij = -P_ij / P_jj.
    The penalty is chosen on valid rows. Needs memory for items x items.

    Reference:
        Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data", arXiv:1905.03375.
    """

    name = "ease"
    grid = ((200.0,), (20.0,), (50.0,), (100.0,), (400.0,), (800.0,), (1600.0,))

    def _learn(self, option: Option) -> None:
        gram = (self._history.T @ self._history).toarray()
        gram[np.diag_indices_from(gram)] += option[0]
        inverse = np.linalg.inv(gram)
        self._weights = -inverse / np.diag(inverse)
        np.fill_diagonal(self._weights, 0.0)
