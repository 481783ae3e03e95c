"""Factorization machine, sampled rather than optimised."""

from __future__ import annotations

import contextlib
import io
import sys
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from ssrec_tf.baselines.base import Events
from ssrec_tf.baselines.blocks import ByUser, occurrence_matrix, shared_values
from ssrec_tf.baselines.optional import library
from ssrec_tf.errors import ConfigError
from ssrec_tf.search_space import Range

_KEPT = 200  # samples of the factors held for scoring


class FactorizationMachine(ByUser):
    """Bayesian factorization machine, Gibbs sampling from the library `myfm`.

    A row's features x are its user, the items the user has in train, its item and the
    users that have it in train (the last two sets as 1 / sqrt(their number)); on request
    the attributes of both. score = w0 + w x + sum over pairs of features <v_a, v_b> x_a x_b,
    averaged over samples of w and v. Nothing is chosen on valid rows: the penalties are
    sampled too. A user or an item train never saw counts as the mean of the train rows, and
    the item's attributes, where they are read, are added.

    Reference:
        Rendle, Zhang and Koren 2019, "On the difficulty of evaluating baselines",
        arXiv:1905.01395; Freudenthaler, Schmidt-Thieme and Rendle 2011, "Bayesian
        factorization machines".
    """

    name = "fm"
    space = MappingProxyType({"rank": Range(4, 32, log=True)})

    def __init__(
        self, rank: int = 10, iterations: int = 300, *, attributes: bool = False, seed: int = 0
    ) -> None:
        """Make an unfitted baseline.

        Args:
            rank: Length of a feature's vector.
            iterations: Samples to draw; the first fifth is thrown away.
            attributes: Whether to read the columns of items and users: each value that at
                least two of them have is a feature. Numbers are not read.
            seed: Of the sampler.
        """
        super().__init__()
        self._rank, self._iterations, self._seed = rank, iterations, seed
        self._attributes = attributes

    def _fit(self, train: Events, valid: Events) -> None:
        history = occurrence_matrix(train.user, train.item, (len(self._users), len(self._items)))
        rows = [np.bincount(train.user), np.bincount(train.item, minlength=len(self._items))]
        sides = [
            _Side(history, rows[0], self._known(self._users, "users")),
            _Side(history.T.tocsr(), rows[1], self._known(self._items, "items")),
        ]
        samples = _Samples(sides, self._iterations)
        myfm = _myfm()
        blocks = [
            myfm.RelationBlock(codes, sparse.csr_matrix(side.features))
            for codes, side in zip((train.user, train.item), sides, strict=True)
        ]
        model = myfm.MyFMRegressor(rank=self._rank, random_seed=self._seed)
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar cannot be asked off
            model.fit(
                None,
                train.rating,
                X_rel=blocks,
                n_iter=self._iterations,
                n_kept_samples=1,  # `samples` keeps what scoring needs, which is less
                group_shapes=[width for side in sides for width in side.widths],
                callback=samples.keep,
            )
        self._mean, self._linear, self._factors = samples.result()

    def _known(self, ids: pd.Index, table: str) -> list[sparse.csr_array]:
        """Return the attributes of users or items, if wanted: float64 [ids, values] a column."""
        if not self._attributes:
            return []
        frame = getattr(self._tables, table).reindex(ids)
        return [part for name in frame if (part := shared_values(frame[name])) is not None]

    def _rows(self, users: np.ndarray) -> np.ndarray:
        (user, item), (users_linear, items_linear) = self._factors, self._linear
        linear = self._mean + users_linear[users, None] + items_linear
        found: np.ndarray = linear + user[users] @ item.T
        return found


class _Side:
    """The features of users or of items, and what a sample of weights makes of them.

    Attributes:
        features: float64 [ids, features], sparse: the id itself, its history, attributes.
        widths: Number of features of each group.
    """

    def __init__(self, history: sparse.csr_array, rows: np.ndarray, attributes: list[Any]) -> None:
        scale = sparse.diags_array(1 / np.sqrt(np.maximum(history.sum(axis=1), 1)))
        groups = [sparse.eye_array(history.shape[0]), scale @ history, *attributes]
        self.widths = [group.shape[1] for group in groups]
        self.features = sparse.csr_array(sparse.hstack(groups))
        self._own, self._share = sum(self.widths[:2]), rows / rows.sum()

    def project(self, weight: np.ndarray, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what each id adds alone, and its vector.

        An id without train rows counts as the mean of the train rows, but for its attributes.

        Args:
            weight: float [features].
            vector: float [features, rank].

        Returns:
            float64 [ids + 1] and [ids + 1, rank]; the last for an unknown id.
        """
        own, known = self.features[:, : self._own], self.features[:, self._own :]
        alone, total = _alone(own, weight[: self._own], vector[: self._own])
        cold = self._share == 0
        alone[cold], total[cold] = self._share @ alone, self._share @ total
        more, others = _alone(known, weight[self._own :], vector[self._own :])
        alone += more + (total * others).sum(axis=1)
        total += others
        return np.append(alone, self._share @ alone), np.vstack([total, self._share @ total])


def _alone(
    features: sparse.csr_array, weight: np.ndarray, vector: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return w x + sum over pairs v_a v_b x_a x_b, [ids], and sum v_a x_a, [ids, rank]."""
    total: np.ndarray = features @ vector
    pairs = (total**2).sum(axis=1) - features.power(2) @ (vector**2).sum(axis=1)
    return features @ weight + pairs / 2, total


class _Samples:
    """What scoring needs of every sample.

    A score is w0 + a_u + a_i + q_u q_i, where q sums the vectors of a side's features and
    a is what that side adds alone. So the mean over samples needs the mean of a, and the
    vectors q of all samples side by side.
    """

    def __init__(self, sides: list[_Side], iterations: int) -> None:
        self._sides = sides
        self._first = iterations // 5
        self._every = max(1, -(-(iterations - self._first) // _KEPT))
        self._means: list[float] = []
        self._alone: list[list[np.ndarray]] = [[], []]
        self._vectors: list[list[np.ndarray]] = [[], []]

    def keep(self, number: int, model: Any, *_: Any) -> tuple[bool, None]:
        """Note a sample; called by the sampler, which goes on."""
        if number >= self._first and (number - self._first) % self._every == 0:
            self._means.append(model.w0)
            start = 0
            for place, side in enumerate(self._sides):
                part = slice(start, start := start + sum(side.widths))
                alone, vector = side.project(model.w[part], model.V[part])
                self._alone[place].append(alone)
                self._vectors[place].append(vector.astype(np.float32))
        return False, None

    def result(self) -> tuple[float, list[np.ndarray], list[np.ndarray]]:
        """Return w0, and for users and items a [ids + 1] and q [ids + 1, samples x rank]."""
        root = np.sqrt(len(self._means))
        alone = [np.mean(values, axis=0) for values in self._alone]
        vectors = [np.hstack(values) / root for values in self._vectors]
        return float(np.mean(self._means)), alone, vectors


def _myfm() -> ModuleType:
    """Import myfm, which asks for two names it never uses of a module setuptools 82 dropped."""
    name = "pkg_resources"
    with contextlib.ExitStack() as stack:
        try:
            library(name)
        except ConfigError:
            stand_in: Any = ModuleType(name)
            stand_in.DistributionNotFound, stand_in.get_distribution = ImportError, None
            sys.modules[name] = stand_in
            stack.callback(sys.modules.pop, name)
        return library("myfm")
