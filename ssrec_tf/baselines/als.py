"""Matrix factorization of implicit feedback."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from ssrec_tf.baselines.optional import library
from ssrec_tf.baselines.ranker import Option, Ranker
from ssrec_tf.search_space import Range


class ALS(Ranker):
    """Factors of users and items by alternating least squares, from the library `implicit`.

    Minimises sum c (x - p_u q_i)^2 + penalty (sum |p_u|^2 + sum |q_i|^2) over all cells,
    where x is 1 and the confidence c is `alpha` for what a user has in train, and 0 and 1
    for all else. Alpha and the penalty are chosen on valid rows.

    Reference:
        Hu, Koren and Volinsky 2008, "Collaborative filtering for implicit feedback datasets".
    """

    name = "als"
    space = MappingProxyType({"factors": Range(16, 256, log=True), "iterations": Range(5, 30)})
    grid = (
        (10.0, 50.0), (3.0, 10.0), (3.0, 20.0), (5.0, 20.0), (5.0, 50.0), (10.0, 100.0),
        (20.0, 100.0),
    )  # fmt: skip

    def __init__(self, factors: int = 64, iterations: int = 15, seed: int = 0) -> None:
        """Make an unfitted baseline.

        Args:
            factors: Length of a user's and an item's vector.
            iterations: Rounds of solving for users, then for items.
            seed: Of the first factors.
        """
        super().__init__()
        self._factors, self._iterations, self._seed = factors, iterations, seed

    def _learn(self, option: Option) -> None:
        history = sparse.csr_matrix(self._history, dtype=np.float32)
        with threadpool_limits(1, "blas"):  # its own threads and those of BLAS hold each other up
            model = library("implicit.cpu.als").AlternatingLeastSquares(
                factors=self._factors,
                iterations=self._iterations,
                alpha=option[0],
                regularization=option[1],
                random_state=self._seed,
            )
            model.fit(history, show_progress=False)
        self._user = np.vstack([model.user_factors, model.user_factors.mean(axis=0)])
        self._item = np.asarray(model.item_factors)

    def _score_items(self, users: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._user[users] @ self._item.T
        return found
