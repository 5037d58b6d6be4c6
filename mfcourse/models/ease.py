"""EASE: an item's events are a weighted sum of the user's other events, solved exactly.

Score

    ŝ_u = x_u B,    B_jj = 0:  what u did with item i must be told by the other items

X holds 1 for any event, whatever its count, and 0 for none; ŝ ranks, and is no rating.

Objective

    ‖X − X B‖² + λ ‖B‖²,    diag(B) = 0

so that column j of B is a ridge regression of item j on all other items.

Solution. Lagrange multipliers γ, one for each B_jj = 0, and Γ = diag(γ) make the
gradient 0 at (XᵀX + λI) B = XᵀX − Γ. With P = (XᵀX + λI)⁻¹ that is B = I − P (λI + Γ),
and B_jj = 0 asks for λ + γ_j = 1 / P_jj:

    B_ij = −P_ij / P_jj,  i ≠ j                 x B = x − (x P) / diag(P)  (by element)

This is the primal form, for n_items ≤ n_users: an n × n matrix is inverted.

Dual form, for fewer users than items: an m × m matrix is inverted, and nothing of
n × n numbers is formed. With K = XXᵀ + λI, X (XᵀX + λI) = K X; times K⁻¹ from the left
and P from the right, and put into (XᵀX + λI) P = I, that says

    X P = K⁻¹ X              P = (I − Xᵀ X P) / λ = (I − Xᵀ K⁻¹ X) / λ

so a training user's x_u P is row u of K⁻¹ X, P_jj = (1 − x_jᵀ K⁻¹ x_j) / λ with x_j
column j of X, and a newcomer's x P = (x − (x Xᵀ) K⁻¹ X) / λ.

Memory: one array of s × s numbers, s = min(m, n), is counted, inverted and turned into
B in its place: 8 s² bytes in float64, 3.2 GB for s = 20,000. Time grows with s³.

Symbols: X (n_users, n_items), m × n, of 0 and 1, x_u its rows; B (n_items, n_items)
weights; P (n_items, n_items); K (n_users, n_users); λ reg.

Reference: H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg import get_lapack_funcs
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from mfcourse.interactions import Interactions
from mfcourse.models import _lists
from mfcourse.models._check import check_counts, check_newcomer_counts
from mfcourse.models.base import Recommender

ROWS = 64  # of a Gramian, counted at a time: few, for they are held twice meanwhile


@dataclass(kw_only=True)
class EASEModel(Recommender):
    """Weights between items by one ridge regression each, in closed form.

    Learns from events: a rating above 0 is one, and counts once. ``predict`` gives a
    score, which ranks but is no rating. ``similar_items`` ranks by row i of B: what an
    event with item i adds to the score of each other.

    Parameters
    ----------
    reg : float
        λ, above 0; in the unit of numbers of users.
    dtype : {"float64", "float32"}
        Of the matrix that is inverted, and of the scores.
    engine : {"fast", "plain"}
        LAPACK in one array, primal or dual; or the formula in NumPy for small data.
    """

    reg: float = 150.0
    dtype: str = "float64"
    engine: str = "fast"

    def _check(self) -> None:
        super()._check()
        if self.reg == 0:
            raise ValueError(
                "reg must be a number above 0; got 0: XᵀX alone has no inverse once "
                "two items have the same users. Start from the default and halve it"
            )

    @property
    def _dual(self) -> bool:
        """Whether to invert a matrix users × users."""
        return self.engine == "fast" and self.train_.n_users < self.train_.n_items

    def _fit(
        self, train: Interactions, validation: pd.DataFrame | None, progress: bool
    ) -> None:
        from tqdm import tqdm

        check_counts(train, validation)
        # ‖XᵀX‖ is at most its trace, the number of events.
        if self.reg <= (least := np.finfo(self.dtype).eps * train.n_ratings):
            raise ValueError(
                f"reg={self.reg:g} is lost in rounding beside {train.n_ratings:,} "
                f"events in {self.dtype}. Raise it far above {least:.1g}"
            )
        need = self._need(train)
        title = f"EASE, {need / 1e6:,.1f} MB"
        # One thread of BLAS: with two, the last bits differ.
        with (
            tqdm(desc=title, total=1, disable=not progress) as bar,
            threadpool_limits(1),
        ):
            X, reg = self._events(train.csr), float(self.reg)
            if self._dual:
                self.inverse_ = inverse(X, reg)
                self.diagonal_ = dual_diagonal(X, self.inverse_, reg)
            elif self.engine == "fast":
                self.weights_ = weights(X, reg)
            else:
                self.weights_ = weights_plain(X.toarray(), reg)
            bar.update()

    def _need(self, train: Interactions) -> int:
        """Bytes of the large arrays; raises unless that much memory is free."""
        import psutil

        side = "users" if self._dual else "items"
        size = train.n_users if self._dual else train.n_items
        itemsize = np.dtype(self.dtype).itemsize
        need, cures = itemsize * size**2, [f"keep only {side} with more events"]
        if self.engine == "plain":
            need += itemsize * train.n_users * size  # X
            need += 3 * 8 * size**2  # NumPy's copy, I and P, whatever the type
            cures.append('take engine="fast"')
        if self.dtype == "float64":
            cures.append('take dtype="float32"')
        free = psutil.virtual_memory().available
        if need > free:
            raise MemoryError(
                f"{size:,} {side} need {need / 1e6:,.1f} MB for {side} × {side}; "
                f"{free / 1e6:,.1f} MB are free. One of these helps: "
                f"{', '.join(cures)}, fit ImplicitALSModel, which holds no such matrix"
            )
        return need

    def _events(self, R: csr_matrix) -> csr_matrix:
        """1 for each rating of R."""
        return csr_matrix((np.ones(R.nnz, self.dtype), R.indices, R.indptr), R.shape)

    def _scores(self, user_codes: np.ndarray) -> np.ndarray:
        x = self._events(self.train_.csr[user_codes])  # (len(user_codes), n)
        if hasattr(self, "weights_"):
            return x @ self.weights_
        xP = self.inverse_[user_codes] @ self._events(self.train_.csr)
        return x.toarray() - xP / self.diagonal_

    def _new_user(self, item_codes: np.ndarray, rating: np.ndarray) -> np.ndarray:
        check_newcomer_counts(rating)
        n, one = self.train_.n_items, np.ones(len(item_codes), self.dtype)
        x = csr_matrix((one, item_codes, [0, len(item_codes)]), (1, n))
        if hasattr(self, "weights_"):
            return (x @ self.weights_)[0]
        X, dense = self._events(self.train_.csr), x.toarray()
        xP = (dense - x @ X.T @ self.inverse_ @ X) / float(self.reg)
        return (dense - xP / self.diagonal_)[0]

    def _similar_items(self, item_code: int) -> np.ndarray:
        """Row i of B, which is what a newcomer with item i alone is scored."""
        return self._new_user(np.array([item_code]), np.ones(1))


# ---- B: the formula, then the same in one array --------------------------------------


def weights_plain(X: np.ndarray, reg: float) -> np.ndarray:
    """B by the formula.

    Parameters
    ----------
    X : array of shape (m, n)
        Of 0 and 1.
    reg : float
        λ.

    Returns
    -------
    array of shape (n, n)
    """
    P = np.linalg.inv(X.T @ X + reg * np.eye(X.shape[1], dtype=X.dtype))
    B = -P / np.diag(P)  # column j by P_jj
    np.fill_diagonal(B, 0.0)
    return B


def weights(X: csr_matrix, reg: float) -> np.ndarray:
    """The same as `weights_plain` but for rounding, for a sparse X.

    Parameters
    ----------
    X : csr_matrix of shape (m, n)
    reg : float

    Returns
    -------
    array of shape (n, n)
    """
    B = inverse(X.T.tocsr(), reg)  # P, and in its place B
    B /= -np.diag(B)
    np.fill_diagonal(B, 0.0)
    return B


def inverse(X: csr_matrix, reg: float) -> np.ndarray:
    """(XXᵀ + λI)⁻¹ by Cholesky, in the one array that is returned.

    Parameters
    ----------
    X : csr_matrix of shape (s, t)
    reg : float
        λ.

    Returns
    -------
    array of shape (s, s)
        Of the type of X.

    Raises
    ------
    LinAlgError
        λ is lost in rounding.
    """
    s, Xt = X.shape[0], X.T.tocsr()
    A = np.empty((s, s), X.dtype)
    for a in range(0, s, ROWS):
        (X[a : a + ROWS] @ Xt).toarray(out=A[a : a + ROWS])
    A.flat[:: s + 1] += reg
    potrf, potri = get_lapack_funcs(("potrf", "potri"), (A,))
    # A.T, as LAPACK reads columns first; what it calls the lower half is A's upper.
    half, failed = potrf(A.T, lower=1, overwrite_a=1, clean=0)
    if failed:
        raise np.linalg.LinAlgError(
            f"reg={reg:g} is lost in rounding, so there is no inverse. Raise reg, or "
            'take dtype="float64"'
        )
    A = potri(half, lower=1, overwrite_c=1)[0].T
    for i in range(s):
        A[i, :i] = A[:i, i]
    return A


def dual_diagonal(X: csr_matrix, inverse: np.ndarray, reg: float) -> np.ndarray:
    """P_jj = (1 − x_jᵀ K⁻¹ x_j) / λ of each item j.

    Parameters
    ----------
    X : csr_matrix of shape (m, n)
    inverse : array of shape (m, m)
        K⁻¹.
    reg : float
        λ.

    Returns
    -------
    array of shape (n,)
    """
    Xt, told = X.T.tocsr(), np.empty(X.shape[1], X.dtype)
    for items in _lists.blocks(np.arange(len(told)), len(inverse)):
        rows = Xt[items]  # x_jᵀ of each
        told[items] = rows.multiply(rows @ inverse).sum(axis=1).ravel()
    return (1 - told) / reg
