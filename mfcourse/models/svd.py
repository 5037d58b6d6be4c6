"""Factors from the singular value decomposition of a filled matrix.

Prediction

    r̂_ui = c_i + Z_ui,    Z = P D Qᵀ = U Vᵀ,    U = P √D,    V = Q √D

An SVD needs every cell, and most are missing. Let X = R − c on the observed cells Ω,
with center c: 0 (fill="zero"), or each item's mean μ + b_i (fill="mean").

Update. Each epoch fills the missing cells of X, with 0 in the first epoch (that is,
with the center) and with Z in each later one, and takes of the filled matrix F the k
largest singular values, each lowered by λ:

    F = X on Ω, Z elsewhere;    F = P Σ Qᵀ;    Z ← P_k D Q_kᵀ,    D = max(Σ_k − λ, 0)

One epoch with λ = 0 is truncated SVD, the matrix of rank k that is nearest to F. More
epochs with λ = 0 are hard impute, with λ > 0 soft impute.

Objective, over matrices of rank at most k

    ½ Σ_{(u,i) ∈ Ω} (x_ui − z_ui)² + λ Σ_f d_f

where Σ d_f = ½ (‖U‖² + ‖V‖²), the least that any U Vᵀ = Z allows: twice the objective
is that of ALS with a λ that is not weighted.

It never rises. For any Z', let g(Z') = ½ ‖F − Z'‖² + λ Σ d'. On Ω these are the terms
of the objective; elsewhere they are ½ (Z − Z')², never below 0, and 0 at Z' = Z. Of all
matrices of rank at most k the update has the least g: the best Z' shares singular
vectors with F, for each of them d' = max(σ − λ, 0) is best, and it gains the more the
larger σ is, so the k largest are taken. Z itself has rank at most k. Hence

    objective(new Z) ≤ g(new Z) ≤ g(Z) = objective(Z)

F = S + U Vᵀ with S = X − Z on Ω, and 0 elsewhere: sparse plus low rank. The fast engine
finds its singular vectors from products with F, and never forms it.

Symbols: μ global mean; b_i (n_items,) item biases; U (n_users, k), V (n_items, k)
factors; P, Q orthonormal columns, Σ, D diagonal; λ reg; k n_factors.

References: C. Eckart and G. Young, "The Approximation of One Matrix by Another of
Lower Rank", Psychometrika 1(3), 1936. O. Troyanskaya et al., "Missing Value Estimation
Methods for DNA Microarrays", Bioinformatics 17(6), 2001 (hard impute). M. Kurucz,
A. Benczúr and K. Csalogány, "Methods for Large Scale SVD with Missing Values", KDD Cup
2007. R. Mazumder, T. Hastie and R. Tibshirani, "Spectral Regularization Algorithms for
Learning Large Incomplete Matrices", JMLR 11, 2010 (soft impute).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, eigsh
from threadpoolctl import threadpool_limits

from mfcourse.interactions import Interactions
from mfcourse.models import _loss
from mfcourse.models._compiled import kernel, prange, use_fast
from mfcourse.models._epochs import learn
from mfcourse.models.base import FactorModel

SMALL = 40_000  # cells: a matrix with fewer is quicker formed than spared


@dataclass(kw_only=True)
class SVDModel(FactorModel):
    """Factors by truncated SVD of the filled matrix, once or iterated.

    After ``fit``, ``singular_values_`` has the k largest of the last filled matrix.

    Parameters
    ----------
    n_factors : int
        k: the rank.
    fill : {"mean", "zero"}
        What a missing cell holds at first: its item's mean, or 0. With "zero" nothing
        is centered, and a stranger is predicted 0.
    n_epochs : int
        1 for truncated SVD; more to fill again with the model's own predictions.
    reg : float
        λ, taken from each singular value; in the unit of their size, so far larger
        than the λ of SGD or ALS.
    patience : int
        With a validation frame: stop after so many epochs without a smaller error.
    seed : int
        Where the fast engine starts its search; what it finds depends on it only by
        rounding.
    engine : {"fast", "plain"}
        Sparse plus low rank, or the filled matrix itself for small data.
    """

    n_factors: int = 20
    fill: str = "mean"
    n_epochs: int = 1
    reg: float = 0.0
    patience: int = 5
    seed: int = 0
    engine: str = "fast"

    def _fit(
        self, train: Interactions, validation: pd.DataFrame | None, progress: bool
    ) -> None:
        m, n = train.csr.shape
        if self.n_factors > min(m, n):
            raise ValueError(
                f"n_factors={self.n_factors} is more than a matrix of {m} users × {n} "
                f"items has singular values. Lower it to {min(m, n)} or less"
            )
        if self.fill == "mean":
            self.global_mean_ = float(train.rating.mean())
            rest = train.rating - self.global_mean_
            count = np.bincount(train.item_code, minlength=n)
            total = np.bincount(train.item_code, rest, minlength=n)
            self.item_bias_ = total / np.maximum(count, 1)
        X = train.csr.copy()
        X.data -= self.global_mean_ + self.item_bias_[train.item_code]
        self.user_factors_ = np.zeros((m, self.n_factors))
        self.item_factors_ = np.zeros((n, self.n_factors))
        fast = use_fast(self.engine)
        svd = filled_svd if fast and m * n > SMALL else filled_svd_plain

        def one_epoch(t: int) -> tuple[float, float]:
            factors = self.user_factors_, self.item_factors_
            self._set(*svd(X, *factors, self.n_factors, self.seed))
            squares, _ = _loss.sums(self, train.csr)
            return squares / 2 + self.reg * self._lowered().sum(), squares

        with threadpool_limits(1):  # the same bits on any number of BLAS threads
            learn(self, one_epoch, validation, progress)

    def _set(self, P: np.ndarray, singular: np.ndarray, Q: np.ndarray) -> None:
        """U, V and Σ from singular vectors, with signs that no solver chooses."""
        noise = singular[0] * max(len(P), len(Q)) * np.finfo(float).eps
        self.singular_values_ = np.where(singular > noise, singular, 0.0)
        size = abs(Q)
        largest = (size >= size.max(axis=0) * (1 - 1e-9)).argmax(axis=0)
        sign = np.where(np.take_along_axis(Q, largest[None], axis=0) < 0, -1.0, 1.0)
        root = sign * np.sqrt(self._lowered())
        self.user_factors_, self.item_factors_ = P * root, Q * root

    def _lowered(self) -> np.ndarray:
        """D, the singular values less λ."""
        return np.maximum(self.singular_values_ - self.reg, 0.0)

    def _solve_user(
        self, item_codes: np.ndarray, rating: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """The newcomer's row of each epoch, with Q held.

        A row of U is f Q √D / Σ, f the filled row. With e = x − z on the rated items,
        f = z + e; and as z = U_u Vᵀ and Σ = D + λ, that is a step down the gradient

            U_u ← U_u + (Σ_i e_i V_i − λ U_u) / Σ

        Without end it leads to the row solve of ALS with a λ that is not weighted.
        """
        V = self.item_factors_[item_codes]
        x = rating - self.global_mean_ - self.item_bias_[item_codes]
        row = np.zeros(self.n_factors)
        kept = self._lowered() > 0
        for _ in range(self.best_epoch_):  # type: ignore[attr-defined]
            step = V.T @ (x - V @ row) - self.reg * row
            row[kept] += step[kept] / self.singular_values_[kept]
        return 0.0, row


# ---- The k largest singular values of the filled matrix ------------------------------


def filled_svd_plain(
    X: csr_matrix, U: np.ndarray, V: np.ndarray, k: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """SVD of rank k of F: X where it is observed, U Vᵀ elsewhere.

    Parameters
    ----------
    X : csr_matrix of shape (m, n)
        Centered ratings.
    U, V : arrays of shape (m, k), (n, k)
    k : int
    seed : int
        Not used here.

    Returns
    -------
    P, singular, Q : arrays of shape (m, k), (k,), (n, k)
        Largest first.
    """
    F = U @ V.T  # (m, n)
    u = np.repeat(np.arange(len(U)), np.diff(X.indptr))
    F[u, X.indices] = X.data
    P, singular, Qt = np.linalg.svd(F, full_matrices=False)
    return P[:, :k], singular[:k], Qt[:k].T


def filled_svd(
    X: csr_matrix, U: np.ndarray, V: np.ndarray, k: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same as `filled_svd_plain`, without forming F = S + U Vᵀ.

    The eigenvectors E of F Fᵀ or Fᵀ F, whichever is smaller, span the singular vectors
    on that side; the SVD of F restricted to them, of only k columns, gives the rest.

    Parameters
    ----------
    X, U, V, k
        As there.
    seed : int
        Of the vector from which the search for eigenvectors starts.

    Returns
    -------
    P, singular, Q : arrays of shape (m, k), (k,), (n, k)
    """
    if 3 * k > min(X.shape):  # so many that the search would hold F several times
        return filled_svd_plain(X, U, V, k)
    rest = residuals(X.indptr, X.indices, X.data, U, V)
    S = csr_matrix((rest, X.indices, X.indptr), X.shape)
    wide = len(U) < len(V)
    if wide:
        S, U, V = S.T.tocsr(), V, U
    St, size = S.T, S.shape[1]

    def gramian_times(v: np.ndarray) -> np.ndarray:
        w = S @ v + U @ (V.T @ v)
        return St @ w + V @ (U.T @ w)

    rng = np.random.default_rng(seed)
    start = rng.standard_normal(size)
    if not gramian_times(start).any():  # F = 0
        left, singular, E = np.zeros((len(U), k)), np.zeros(k), np.zeros((size, k))
    else:
        gramian = LinearOperator((size, size), gramian_times, dtype=np.float64)
        _, E = eigsh(gramian, k, v0=start, rng=rng)
        E, _ = np.linalg.qr(E)
        FE = S @ E + U @ (V.T @ E)
        left, singular, Qt = np.linalg.svd(FE, full_matrices=False)
        E = E @ Qt.T
    return (E, singular, left) if wide else (left, singular, E)


@kernel(parallel=True, fastmath={"reassoc", "contract"})
def residuals(indptr, indices, data, U, V):  # type: ignore[no-untyped-def]
    """x − U_u · V_i of each rating.

    Parameters
    ----------
    indptr, indices, data : arrays of shape (m + 1,), (n_ratings,), (n_ratings,)
        The parts of X.
    U, V : arrays of shape (m, k), (n, k)

    Returns
    -------
    array of shape (n_ratings,)
    """
    out = np.empty(len(data))
    for u in prange(len(indptr) - 1):
        for p in range(indptr[u], indptr[u + 1]):
            i = indices[p]
            dot = 0.0
            for f in range(U.shape[1]):
                dot += U[u, f] * V[i, f]
            out[p] = data[p] - dot
    return out
