"""Matrix factorization by stochastic gradient descent: one rating at a time.

Prediction

    r̂_ui = μ + b_u + b_i + U_u · V_i

Objective, over the observed ratings Ω

    Σ_{(u,i) ∈ Ω} [ e_ui² + λ (b_u² + b_i² + ‖U_u‖² + ‖V_i‖²) ],    e_ui = r_ui − r̂_ui

Update. Stochastic: the gradient of one rating's term stands for that of the whole
sum. Half of it, with the sign turned, times γ (∂e/∂b_u = −1, ∂e/∂U_u = −V_i): for each
rating in turn, e is computed once, and right-hand sides have the values from before,

    b_u ← b_u + γ (e − λ b_u)            b_i ← b_i + γ (e − λ b_i)
    U_u ← U_u + γ (e V_i − λ U_u)        V_i ← V_i + γ (e U_u − λ V_i)

In epoch t = 1, 2, …, γ = lr / (1 + decay · (t − 1)).

An epoch visits each rating once, user by user in order of their codes, and a user's
ratings by item code: U_u stays in the fastest memory while its ratings are visited, and
memory is read in the order in which it lies. A random order costs two to three times
the time; on ml-100k its test error is the same to 0.001 (docs/decisions.md).

Symbols: r_ui rating of item i by user u, for the pairs (u, i) in Ω; μ global mean;
b_u (n_users,), b_i (n_items,) biases, 0 at first; U (n_users, k), V (n_items, k)
factors, at first random with mean 0 and standard deviation init_sd; λ reg; γ learning
rate; k n_factors.

References: S. Funk, "Netflix Update: Try This at Home", 2006. Y. Koren, R. Bell and
C. Volinsky, "Matrix Factorization Techniques for Recommender Systems", IEEE Computer
42(8), 2009.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from mfcourse.interactions import Interactions
from mfcourse.models import _loss
from mfcourse.models._check import check_number
from mfcourse.models._compiled import fetch, kernel, use_fast
from mfcourse.models._epochs import check_progress, learn, random_rows
from mfcourse.models._solve import ridge_row
from mfcourse.models.base import FactorModel


@dataclass(kw_only=True)
class SGDModel(FactorModel):
    """Factors, with or without biases, by stochastic gradient descent.

    Parameters
    ----------
    n_factors : int
        k: numbers per user and per item.
    reg : float
        λ, paid once a rating.
    lr : float
        γ of the first epoch.
    decay : float
        How fast γ falls: after 1 / decay epochs it is half of ``lr``.
    n_epochs : int
        Passes over the ratings.
    center : {"biases", "mean", "none"}
        What stands beside U_u · V_i: μ + b_u + b_i, μ, or nothing.
    init_sd : float
        Standard deviation of the random start.
    patience : int
        With a validation frame: stop after so many epochs without a smaller error.
    seed : int
    dtype : {"float64", "float32"}
        Of the factors and biases.
    engine : {"fast", "plain"}
        The compiled loop, or the formula in NumPy for small data.
    """

    n_factors: int = 20
    reg: float = 0.05
    lr: float = 0.01
    decay: float = 0.0
    n_epochs: int = 20
    center: str = "biases"
    init_sd: float = 0.1
    patience: int = 5
    seed: int = 0
    dtype: str = "float64"
    engine: str = "fast"

    def _fit(
        self, train: Interactions, validation: pd.DataFrame | None, progress: bool
    ) -> None:
        rng = np.random.default_rng(self.seed)
        self.global_mean_ = float(train.rating.mean())
        self.user_bias_ = np.zeros(train.n_users, self.dtype)
        self.item_bias_ = np.zeros(train.n_items, self.dtype)
        self.user_factors_ = random_rows(self, rng, train.n_users)
        self.item_factors_ = random_rows(self, rng, train.n_items)

        def one_epoch(t: int) -> tuple[float, float]:
            """Objective and sum of squared errors after the epoch."""
            self._pass(train, self.lr / (1 + self.decay * (t - 1)))
            # Σ e², and Σ over ratings of b_u² + b_i² + ‖U_u‖² + ‖V_i‖²
            squares, sizes = _loss.sums(self, train.csr)
            return squares + self.reg * sizes, squares

        learn(self, one_epoch, validation, progress)

    def _learned(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """b_u, b_i, U, V."""
        biases = self.user_bias_, self.item_bias_
        return *biases, self.user_factors_, self.item_factors_

    def _pass(self, ratings: Interactions, lr: float) -> None:
        """Visit each rating once; changes what was learned, in place."""
        run = epoch if use_fast(self.engine) else epoch_plain
        lr_bias = lr if self.center == "biases" else 0.0  # 0 leaves biases at 0
        R = ratings.csr
        run(
            R.indptr, R.indices, R.data, self._level, *self._learned(),
            float(lr), float(lr_bias), float(self.reg),
        )  # fmt: skip

    def partial_fit(self, ratings: pd.DataFrame, *, n_epochs: int = 1) -> Self:
        """Learn from further ratings, starting from what was learned.

        Only the new ratings are visited; new users and items get a random row first.
        Who rates an item again has changed their mind: the new rating stands. μ stays.

        Parameters
        ----------
        ratings : DataFrame with columns ``user, item, rating``
        n_epochs : int
            Passes over the new ratings, with the learning rate ``lr``.

        Returns
        -------
        self

        Raises
        ------
        FloatingPointError
            The model diverged. What was learned before is kept.
        """
        self._require_fit()
        check_number("n_epochs", n_epochs, low=1, kind=int)
        before = self._state()
        try:
            new = self._add(ratings)
            for t in range(1, n_epochs + 1):
                self._pass(new, self.lr)
                check_progress(self, t, _loss.sums(self, new.csr)[0], new)
        except BaseException:  # Ctrl-C too
            vars(self).update(before)
            raise
        return self

    def _add(self, ratings: pd.DataFrame) -> Interactions:
        """Make room for further ratings; returns them, with the model's codes."""
        self.train_, new = self.train_.updated(ratings)
        m, n = self.train_.n_users, self.train_.n_items
        rng = np.random.default_rng([self.seed, self.train_.n_ratings])
        more_users = random_rows(self, rng, m - len(self.user_factors_))
        more_items = random_rows(self, rng, n - len(self.item_factors_))
        self.user_factors_ = np.vstack([self.user_factors_, more_users])
        self.item_factors_ = np.vstack([self.item_factors_, more_items])
        self.user_bias_ = _grown(self.user_bias_, m)
        self.item_bias_ = _grown(self.item_bias_, n)
        return new

    def _solve_user(
        self, item_codes: np.ndarray, rating: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """A newcomer's bias and factors: the minimum that steps of SGD head for."""
        y = rating - self._level - self.item_bias_[item_codes]
        F, with_bias = self.item_factors_[item_codes], self.center == "biases"
        return ridge_row(F, y, self.reg * len(rating), with_bias)


def _grown(bias: np.ndarray, size: int) -> np.ndarray:
    return np.append(bias, np.zeros(size - len(bias), bias.dtype))


# ---- One epoch: the formula, then the same loop compiled -----------------------------
# Ratings lie user by user (CSR): user u's are ratings[indptr[u] : indptr[u + 1]], and
# the same slice of ``items`` says of which items; u and i number the rows of U and V.


def epoch_plain(
    indptr: np.ndarray, items: np.ndarray, ratings: np.ndarray, level: float,
    b_u: np.ndarray, b_i: np.ndarray, U: np.ndarray, V: np.ndarray,
    lr: float, lr_bias: float, reg: float,
) -> None:  # fmt: skip
    """Visit each rating once; changes b_u, b_i, U and V in place.

    Parameters
    ----------
    indptr, items, ratings : arrays of shape (m + 1,), (n_ratings,), (n_ratings,)
        The parts of a CSR matrix, users × items.
    level : float
        μ, or 0.
    b_u, b_i : arrays of shape (m,), (n,)
    U, V : arrays of shape (m, k), (n, k)
    lr, lr_bias : float
        γ for factors and for biases; 0 leaves the biases as they are.
    reg : float
        λ.
    """
    for u in range(len(indptr) - 1):
        for p in range(indptr[u], indptr[u + 1]):
            i, r = items[p], ratings[p]
            e = r - (level + b_u[u] + b_i[i] + U[u] @ V[i])
            b_u[u] += lr_bias * (e - reg * b_u[u])
            b_i[i] += lr_bias * (e - reg * b_i[i])
            old = U[u].copy()  # U[u] is a view: the next line would change it
            U[u] += lr * (e * V[i] - reg * U[u])
            V[i] += lr * (e * old - reg * V[i])


# reassoc: the sum of a dot product may be taken in another order, so several factors at
# once; contract: a product and a sum become one instruction.
@kernel(fastmath={"reassoc", "contract"})
def epoch(indptr, items, ratings, level, b_u, b_i, U, V, lr, lr_bias, reg):  # type: ignore[no-untyped-def]
    """The same as `epoch_plain` but for rounding, compiled.

    Parameters
    ----------
    indptr, items, ratings, level, b_u, b_i, U, V, lr, lr_bias, reg
        As there.
    """
    number = U.dtype.type  # one float64 among float32 would make the whole loop float64
    lr, lr_bias, reg = number(lr), number(lr_bias), number(reg)
    # U + γ (e V − λ U) = (1 − γ λ) U + γ e V = keep · U + step · V
    n_factors, keep = U.shape[1], number(1) - lr * reg
    last_user, last = len(indptr) - 2, len(items) - 1
    for u in range(len(indptr) - 1):
        fetch(U, min(u + 2, last_user))
        Uu = U[u]
        for p in range(indptr[u], indptr[u + 1]):
            fetch(V, items[min(p + 2, last)])
            i = items[p]
            Vi = V[i]
            dot = number(0)
            for f in range(n_factors):
                dot += Uu[f] * Vi[f]
            e = number(ratings[p] - level) - b_u[u] - b_i[i] - dot
            b_u[u] += lr_bias * (e - reg * b_u[u])
            b_i[i] += lr_bias * (e - reg * b_i[i])
            step = lr * e
            for f in range(n_factors):
                U_uf, V_if = Uu[f], Vi[f]
                Uu[f] = keep * U_uf + step * V_if
                Vi[f] = keep * V_if + step * U_uf
