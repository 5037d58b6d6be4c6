"""Baselines: what is known of a rating before any taste is looked at.

    PopularityModel    score_i = number of training ratings of i
    MeanModel          r̂_ui = μ, or user u's mean, or item i's mean
    BiasModel          r̂_ui = μ + b_u + b_i

The bias model minimises, over the observed pairs Ω,

    Σ (r_ui − μ − b_u − b_i)² + β_u Σ b_u² + β_i Σ b_i²

one side at a time. With the other side held, each bias has a closed form, a mean pulled
to 0 as if there were β further ratings with error 0:

    b_i = Σ_{u ∈ Ω_i} (r_ui − μ − b_u) / (β_i + |Ω_i|)
    b_u = Σ_{i ∈ Ω_u} (r_ui − μ − b_i) / (β_u + |Ω_u|)

Symbols: μ global mean; b_u (n_users,), b_i (n_items,) biases; β damping; Ω_u the items
that u rated, Ω_i the users who rated i.

Reference: Y. Koren, "Factor in the Neighbors: Scalable and Accurate Collaborative
Filtering", ACM Transactions on Knowledge Discovery from Data 4(1), 2010, section 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from mfcourse.interactions import Interactions
from mfcourse.models._check import check_choice
from mfcourse.models.base import FactorModel


class _NoFactors(FactorModel):
    """A factor model with k = 0: all it knows stands in the biases."""

    def _set(
        self, train: Interactions, mu: float, b_u: np.ndarray, b_i: np.ndarray
    ) -> None:
        self.global_mean_, self.user_bias_, self.item_bias_ = mu, b_u, b_i
        self.user_factors_ = np.zeros((train.n_users, 0))
        self.item_factors_ = np.zeros((train.n_items, 0))

    def _solve_user(
        self, item_codes: np.ndarray, rating: np.ndarray
    ) -> tuple[float, np.ndarray]:
        rest = rating - self.global_mean_ - self.item_bias_[item_codes]
        return self._new_bias(rest), np.zeros(0)

    def _new_bias(self, rest: np.ndarray) -> float:
        """Bias of a newcomer whose ratings leave ``rest`` over μ + b_i."""
        return 0.0


@dataclass(kw_only=True)
class PopularityModel(_NoFactors):
    """The same list for everybody: the most rated items first.

    ``predict`` gives the count of ratings, which ranks but is no rating.
    """

    def _fit(
        self, train: Interactions, validation: pd.DataFrame | None, progress: bool
    ) -> None:
        counts = np.bincount(train.item_code, minlength=train.n_items)
        self._set(train, 0.0, np.zeros(train.n_users), counts.astype(np.float64))


@dataclass(kw_only=True)
class MeanModel(_NoFactors):
    """Predict a mean.

    Parameters
    ----------
    of : {"global", "user", "item"}
        Whose mean: of all ratings, of the user's, or of the item's.
    """

    of: str = "global"

    def _check(self) -> None:
        check_choice("of", self.of, ["global", "user", "item"])

    def _fit(
        self, train: Interactions, validation: pd.DataFrame | None, progress: bool
    ) -> None:
        mu = float(train.rating.mean())
        b_u, b_i = np.zeros(train.n_users), np.zeros(train.n_items)
        rest = train.rating - mu
        if self.of == "user":
            b_u = damped_mean(train.user_code, rest, train.n_users, 0.0)
        if self.of == "item":
            b_i = damped_mean(train.item_code, rest, train.n_items, 0.0)
        self._set(train, mu, b_u, b_i)

    def _new_bias(self, rest: np.ndarray) -> float:
        return float(rest.mean()) if self.of == "user" and len(rest) else 0.0


@dataclass(kw_only=True)
class BiasModel(_NoFactors):
    """μ + b_u + b_i by alternating damped means.

    Parameters
    ----------
    damping_user, damping_item : float
        β: ratings with error 0 that each user or item is given in addition.
    n_epochs : int
        Passes; each solves the items, then the users.
    """

    damping_user: float = 15.0
    damping_item: float = 10.0
    n_epochs: int = 10

    def _fit(
        self, train: Interactions, validation: pd.DataFrame | None, progress: bool
    ) -> None:
        mu, b_u, b_i, objective = damped_biases(
            train, self.damping_user, self.damping_item, self.n_epochs
        )
        self._set(train, mu, b_u, b_i)
        epoch = np.arange(1, self.n_epochs + 1)
        self.history_ = pd.DataFrame({"epoch": epoch, "objective": objective})

    def _new_bias(self, rest: np.ndarray) -> float:
        weight = self.damping_user + len(rest)
        return float(rest.sum() / weight) if weight else 0.0


def damped_mean(
    code: np.ndarray, value: np.ndarray, size: int, damping: float
) -> np.ndarray:
    """Mean of the values with each code, pulled to 0 by ``damping`` zeros.

    Parameters
    ----------
    code : int array of shape (n,)
        Group of each value, below ``size``.
    value : array of shape (n,)
    size : int
        Number of groups.
    damping : float
        β, in ratings.

    Returns
    -------
    array of shape (size,)
        0 for a group without values.
    """
    weight = damping + np.bincount(code, minlength=size)
    return _divide(np.bincount(code, weights=value, minlength=size), weight)


def damped_biases(
    train: Interactions, damping_user: float, damping_item: float, n_epochs: int
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Alternate the two closed forms of the module's head.

    Parameters
    ----------
    train : Interactions
    damping_user, damping_item : float
        β_u, β_i, in ratings.
    n_epochs : int

    Returns
    -------
    mu : float
        Mean of all ratings.
    b_u, b_i : arrays of shape (n_users,), (n_items,)
    objective : array of shape (n_epochs,)
        After each pass; never rises.
    """
    mu = float(train.rating.mean())
    at, shape = (train.csr.indices, train.csr.indptr), train.csr.shape
    rest = csr_matrix((train.rating - mu, *at), shape)
    rated = csr_matrix((np.ones(train.n_ratings), *at), shape)
    n_u = np.diff(rated.indptr)
    weight_u = damping_user + n_u
    weight_i = damping_item + np.bincount(train.item_code, minlength=train.n_items)
    total_u = rest @ np.ones(train.n_items)  # Σ over Ω_u of r − μ
    total_i = rest.T @ np.ones(train.n_users)
    b_u, b_i = np.zeros(train.n_users), np.zeros(train.n_items)
    objective = np.empty(n_epochs)
    for epoch in range(n_epochs):
        b_i = _divide(total_i - rated.T @ b_u, weight_i)
        b_u = _divide(total_u - rated @ b_i, weight_u)
        error = rest.data - np.repeat(b_u, n_u) - b_i[train.item_code]
        penalty = damping_user * (b_u**2).sum() + damping_item * (b_i**2).sum()
        objective[epoch] = (error**2).sum() + penalty
    return mu, b_u, b_i, objective


def _divide(total: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """total / weight, and 0 where nothing was weighed."""
    return np.divide(total, weight, out=np.zeros(len(total)), where=weight > 0)
