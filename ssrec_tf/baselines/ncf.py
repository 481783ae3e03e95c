"""Neural collaborative filtering."""

from __future__ import annotations

from types import MappingProxyType

import keras

from ssrec_tf.baselines.networks import Schedule
from ssrec_tf.baselines.rating_network import RatingNetwork, dense_stack, id_embedding
from ssrec_tf.search_space import Range


class NeuralCollaborativeFiltering(RatingNetwork):
    """NeuMF: a linear layer over GMF (the product of two vectors) and an MLP over two others.

    The paper ranks by clicks; here the same network predicts the rating by squared error,
    and clicks follow from it as for every baseline of ratings. Both halves are trained
    together from the start, without the paper's pretraining of each.

    Reference:
        He, Liao, Zhang, Nie, Hu and Chua 2017, "Neural collaborative filtering",
        arXiv:1708.05031, section 3.4.
    """

    name = "ncf"
    space = MappingProxyType(
        {
            "factors": Range(8, 64, log=True),
            "penalty": Range(0.003, 0.1, log=True),
            "dropout": Range(0.0, 0.5),
            "learning_rate": Range(3e-4, 1e-2, log=True),
        }
    )

    def __init__(
        self,
        factors: int = 32,
        penalty: float = 0.02,
        dropout: float = 0.2,
        learning_rate: float = 0.002,
        epochs: int = 40,
        seed: int = 0,
    ) -> None:
        """Make an unfitted baseline.

        Args:
            factors: Length of each of a user's and an item's two vectors.
            penalty: On the squares of the vectors of one rating.
            dropout: Before each layer of the MLP.
            learning_rate: Of Adam.
            epochs: At most so many passes over the train rows.
            seed: Of the first weights, dropout, the shuffles and the rows kept out.
        """
        super().__init__(Schedule(epochs, 1024, learning_rate, seed=seed))
        self._factors, self._penalty = factors, penalty
        self._dropout, self._seed = dropout, seed

    def _build(self) -> keras.Model:
        user = keras.Input((), dtype="int32", name="user")
        item = keras.Input((), dtype="int32", name="item")
        sides = [("user", user, len(self._users)), ("item", item, len(self._items))]
        vectors = [
            id_embedding(
                f"{name}_{half}",
                ids,
                self._factors,
                seed=self._seed + 2 * place + (half == "mlp"),
                penalty=self._penalty,
            )(code)
            for place, (name, code, ids) in enumerate(sides)
            for half in ("gmf", "mlp")
        ]  # [batch, factors] each
        gmf = keras.layers.Multiply()([vectors[0], vectors[2]])
        mlp = keras.layers.Concatenate()([vectors[1], vectors[3]])  # [batch, 2 factors]
        widths = (2 * self._factors, self._factors, self._factors // 2)
        mlp = dense_stack(mlp, widths, self._dropout, self._seed)
        both = keras.layers.Concatenate()([gmf, mlp])
        start = keras.initializers.GlorotUniform(self._seed)
        rating = keras.layers.Dense(1, kernel_initializer=start)(both)  # [batch, 1]
        return keras.Model({"user": user, "item": item}, rating)
