"""Matrix factorization by alternating least squares: hold one side, solve the other.

Prediction

    r̂_ui = μ + b_u + b_i + U_u · V_i

Objective, over the observed ratings Ω, with e_ui = r_ui − r̂_ui

    Σ_{(u,i) ∈ Ω} e_ui² + Σ_u w_u (b_u² + ‖U_u‖²) + Σ_i w_i (b_i² + ‖V_i‖²)

weighted: w_u = λ n_u, w_i = λ n_i, with n_u ratings of user u and n_i of item i (ALS
with weighted λ, ALS-WR; the objective of SGD at the same λ). Not weighted:
w_u = w_i = λ.

Half-step. With b_i and V held, no user's term touches another user's, and each is a
ridge regression. With A the rows (1, V_i) of the items that u rated, n_u × (1 + k), so
that A (b_u, U_u) is b_u + U_u · V_i row by row, and y their r_ui − μ − b_i,

    (AᵀA + w_u I) (b_u, U_u) = Aᵀ y

Items: the same with U for V, b_u for b_i and w_i for w_u. center="mean" drops b_u, b_i
and the column of ones; "none" drops μ too.

An epoch solves all items, then all users. A half-step goes to the minimum of its side
(Cholesky) or lowers it (conjugate gradients), so the objective never rises. Cost of an
epoch: O(|Ω| k² + (n_users + n_items) k³) with Cholesky, O(|Ω| k) a step with conjugate
gradients.

Symbols: r_ui rating of item i by user u, for the pairs (u, i) in Ω; μ global mean;
b_u (n_users,), b_i (n_items,) biases, 0 at first; U (n_users, k), V (n_items, k)
factors, at first random with mean 0 and standard deviation init_sd; λ reg; k n_factors.

References: Y. Zhou, D. Wilkinson, R. Schreiber and R. Pan, "Large-Scale Parallel
Collaborative Filtering for the Netflix Prize", AAIM 2008 (weighted λ). Y. Hu, Y. Koren
and C. Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008,
section 5 (explanations).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from mfcourse.interactions import Interactions
from mfcourse.models import _loss
from mfcourse.models._compiled import use_fast
from mfcourse.models._epochs import learn
from mfcourse.models._solve import ridge_row, solve_rows, solve_rows_plain
from mfcourse.models.base import FactorModel


@dataclass(kw_only=True)
class ALSModel(FactorModel):
    """Factors, with or without biases, by alternating least squares.

    Parameters
    ----------
    n_factors : int
        k: numbers per user and per item.
    reg : float
        λ.
    weighted : bool
        Penalise a row by λ times its number of ratings, as SGD does; else by λ.
    n_epochs : int
        Passes; each solves the items, then the users.
    center : {"biases", "mean", "none"}
        What stands beside U_u · V_i: μ + b_u + b_i, μ, or nothing.
    solver : {"cholesky", "cg"}
        Solve each row exactly, or take ``cg_steps`` steps towards it.
    cg_steps : int
        Steps of conjugate gradients a row and half-step.
    init_sd : float
        Standard deviation of the random start.
    patience : int
        With a validation frame: stop after so many epochs without a smaller error.
    seed : int
    engine : {"fast", "plain"}
        Compiled and on all threads, or the formula in NumPy for small data.
    """

    n_factors: int = 20
    reg: float = 0.05
    weighted: bool = True
    n_epochs: int = 15
    center: str = "biases"
    solver: str = "cholesky"
    cg_steps: int = 3
    init_sd: float = 0.1
    patience: int = 5
    seed: int = 0
    engine: str = "fast"

    def _fit(
        self, train: Interactions, validation: pd.DataFrame | None, progress: bool
    ) -> None:
        rng = np.random.default_rng(self.seed)
        self.global_mean_ = float(train.rating.mean())
        user_rows = self._start(rng, train.n_users)
        item_rows = self._start(rng, train.n_items)  # where conjugate gradients start

        def one_epoch(t: int) -> tuple[float, float]:
            self._half_step(train.csr_by_item, item_rows, user_rows, "item")
            self._half_step(train.csr, user_rows, item_rows, "user")
            # Copies: the rows change in the next epoch, what was learned must not.
            self.user_bias_ = user_rows[:, 0].copy()
            self.user_factors_ = user_rows[:, 1:].copy()
            self.item_bias_ = item_rows[:, 0].copy()
            self.item_factors_ = item_rows[:, 1:].copy()
            return self._objective(train)

        learn(self, one_epoch, validation, progress)

    def _start(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Bias and random factors of each row, side by side: (size, 1 + k)."""
        rows = rng.normal(0, self.init_sd, (size, 1 + self.n_factors))
        rows[:, 0] = 0.0
        return rows

    def _half_step(
        self, R: csr_matrix, own: np.ndarray, other: np.ndarray, side: str
    ) -> None:
        """Solve every row of one side, changing ``own``; R has a row for each of it."""
        solve = solve_rows if use_fast(self.engine) else solve_rows_plain
        steps = self.cg_steps if self.solver == "cg" else 0
        first = 0 if self.center == "biases" else 1  # 0 solves for the bias, too
        failed = solve(
            R.indptr, R.indices, R.data, self._level, own, other,
            float(self.reg), bool(self.weighted), first, steps,
        )  # fmt: skip
        if failed.any():
            row, size = int(failed.argmax()), own.shape[1] - first
            ids = self.train_.users if side == "user" else self.train_.items
            who = ids.ids.tolist()[row]  # 29, where ids.ids[row] says np.int64(29)
            raise np.linalg.LinAlgError(
                f"{side} {who!r} has {R.indptr[row + 1] - R.indptr[row]} ratings "
                f"for {size} unknowns: no unique solution at reg={self.reg:g}. Raise "
                f"reg, or lower n_factors, now {self.n_factors}"
            )

    def _objective(self, train: Interactions) -> tuple[float, float]:
        """Objective and sum of squared errors."""
        squares, sizes = _loss.sums(self, train.csr)
        if not self.weighted:  # w = λ: each row pays once, not once a rating
            biases, factors = self.user_bias_, self.user_factors_
            rows = biases, self.item_bias_, factors, self.item_factors_
            sizes = sum(float((part**2).sum()) for part in rows)
        return squares + self.reg * sizes, squares

    def _weight(self, n_rated: int) -> float:
        return self.reg * (n_rated if self.weighted else 1)

    def _solve_user(
        self, item_codes: np.ndarray, rating: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """A newcomer's bias and factors, by the row solve of training."""
        y = rating - self._level - self.item_bias_[item_codes]
        F, with_bias = self.item_factors_[item_codes], self.center == "biases"
        return ridge_row(F, y, self._weight(len(rating)), with_bias)

    def _reasons(self, codes: np.ndarray, rating: np.ndarray, i: int) -> np.ndarray:
        """The row solve is linear in y, the ratings less μ and b_i.

        With t = (1, V_i) and M = AᵀA + w I, b_u + U_u · V_i = tᵀ M⁻¹ Aᵀ y
        = Σ_p (A M⁻¹ t)_p y_p: a term for each rating p.
        """
        if not len(rating):
            return rating  # no terms; M would be 0
        y = rating - self._level - self.item_bias_[codes]
        A, t = self.item_factors_[codes], self.item_factors_[i]
        if self.center == "biases":
            A, t = np.insert(A, 0, 1.0, axis=1), np.insert(t, 0, 1.0)
        M = A.T @ A + self._weight(len(y)) * np.eye(len(t))
        return (A @ np.linalg.solve(M, t)) * y
