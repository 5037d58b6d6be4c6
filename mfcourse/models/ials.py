"""Implicit feedback by alternating least squares (iALS): every cell counts.

Plays, clicks and purchases say what was chosen, never what was disliked. So each cell
(u, i) gets a preference and a confidence: p_ui = 1 where u was seen with i, r_ui > 0
times, else 0; c_ui = 1 + α r_ui, so c_ui = 1 for all that never happened.

Prediction, a score to rank by, near 1 for what was seen

    r̂_ui = U_u · V_i

Objective, over all n_users × n_items cells

    Σ_{u,i} c_ui (p_ui − U_u · V_i)² + Σ_u w_u ‖U_u‖² + Σ_i w_i ‖V_i‖²

Half-step. With V held, user u's row solves, with C the diagonal matrix of the c_ui

    (Vᵀ C V + w_u I) U_u = Vᵀ C p = Σ_{i ∈ Ω_u} c_ui V_i

The plain engine is that formula: each row walks over all items. The Gramian trick: C is
the identity plus α r_ui for the few seen items, so

    Vᵀ C V = VᵀV + Σ_{i ∈ Ω_u} α r_ui V_i V_iᵀ

and G = VᵀV is the same for all users. The fast engine goes a step further, and takes
coordinates in which G is no work at all. Let G = Q diag(s) Qᵀ, t = (s + w_u)^½, and
U_u = Q (x / t). With A the rows (α r_ui)^½ (V_i Q) / t of the seen items, and
y = c_ui / (α r_ui)^½, the system becomes

    (AᵀA + I) x = Aᵀ y

a ridge regression on the seen items alone: all that was never seen is the penalty 1.
``_solve`` solves it as it does for ALS. Items: the same with U for V.

An epoch solves all users, then all items; after the last one the users once more, so
that each is exact for the items as they ended. No half-step raises the objective. Cost
of an epoch: O(|Ω| k²) at most with Cholesky (users with fewer than k items: |Ω_u|² k),
O(|Ω| k) a step with conjugate gradients, and O((n_users + n_items) k² + k³).

Conventions, and how to meet each objective here (r is the count; w of items alike):

    source       seen pair       other cells   w of user u                 reg_scaling
    Hu et al.    1 + α r         1             λ                           "none"
    implicit     its value × α   1             λ                           "none"
    Spark        1 + α |r|       1             λ |Ω_u|                     "count"
    Rendle       1 + α₀          α₀            λ (|Ω_u| + α₀ n_items)      "frequency"

implicit: give it the values 1 + α r, and alpha=1. Spark: Ω_u counts what is above 0.
Rendle (at his exponent ν = 1): his seen pair has the two terms (1 − r̂)² + α₀ r̂²; take
r = 1, α = 1 / α₀ and reg = λ (1 + α), and his factors are ours / (1 + α₀)^½.

Symbols: r_ui count; Ω_u items seen with u; U (n_users, k), V (n_items, k) factors, at
first random with mean 0 and standard deviation init_sd; G Gramian (k, k); λ reg;
α alpha; k n_factors.

References: Y. Hu, Y. Koren and C. Volinsky, "Collaborative Filtering for Implicit
Feedback Datasets", ICDM 2008. G. Takács, I. Pilászy and D. Tikk, "Applications of the
Conjugate Gradient Method for Implicit Feedback Collaborative Filtering", RecSys 2011.
S. Rendle, W. Krichene, L. Zhang and Y. Koren, "Revisiting the Performance of iALS on
Item Recommendation Benchmarks", RecSys 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from mfcourse.interactions import Interactions
from mfcourse.models import _solve
from mfcourse.models._check import check_counts, check_newcomer_counts
from mfcourse.models._compiled import kernel, prange, use_fast
from mfcourse.models._epochs import learn
from mfcourse.models.base import FactorModel


@dataclass(kw_only=True)
class ImplicitALSModel(FactorModel):
    """Factors from counts of events, by alternating least squares over all cells.

    Parameters
    ----------
    n_factors : int
        k: numbers per user and per item.
    reg : float
        λ.
    alpha : float
        α: how much a further event adds to the confidence.
    reg_scaling : {"none", "count", "frequency"}
        w = λ, λ times the row's events, or Rendle's: see the table of conventions.
    n_epochs : int
        Passes; each solves the users, then the items.
    solver : {"cg", "cholesky"}
        Take ``cg_steps`` steps towards each row, or solve it exactly.
    cg_steps : int
        Steps of conjugate gradients a row and half-step.
    init_sd : float
        Standard deviation of the random start.
    seed : int
    dtype : {"float64", "float32"}
        Of the factors.
    engine : {"fast", "plain"}
        Compiled and on all threads, or the formula over all items for small data.
    """

    n_factors: int = 32
    reg: float = 20.0
    alpha: float = 5.0
    reg_scaling: str = "none"
    n_epochs: int = 15
    solver: str = "cholesky"
    cg_steps: int = 3
    init_sd: float = 0.1
    seed: int = 0
    dtype: str = "float64"
    engine: str = "fast"

    def _fit(
        self, train: Interactions, validation: pd.DataFrame | None, progress: bool
    ) -> None:
        check_counts(train, validation)
        rng = np.random.default_rng(self.seed)
        self.item_factors_ = V = self._start(rng, train.n_items)
        self.user_factors_ = U = self._start(rng, train.n_users)  # where cg starts

        def one_epoch(t: int) -> tuple[float, None]:
            self._half_step(train.csr, U, V)
            self._half_step(train.csr_by_item, V, U)
            if t == self.n_epochs:
                self._half_step(train.csr, U, V)
            return self._objective(train), None

        with _one_blas_thread():
            learn(self, one_epoch, None, progress)

    def _start(self, rng: np.random.Generator, size: int) -> np.ndarray:
        start = rng.normal(0, self.init_sd, (size, self.n_factors))
        return start.astype(self.dtype)

    def _half_step(self, R: csr_matrix, own: np.ndarray, other: np.ndarray) -> None:
        """Solve rows of one side, changing ``own``; R has a row for each of them."""
        n_seen = np.diff(R.indptr)
        weight = self._weight(n_seen, len(other)).astype(self.dtype)
        steps = self.cg_steps if self.solver == "cg" else 0
        spectrum, Q = np.linalg.eigh((other.T @ other).astype(np.float64))
        least = spectrum[0] + weight[n_seen > 0].min(initial=np.inf)
        if not least > _solve.LEAST * spectrum[-1]:
            raise np.linalg.LinAlgError(
                f"no unique solution at reg={self.reg:g}: {len(other)} rows of factors "
                f"do not span {self.n_factors} dimensions. Raise reg, or lower "
                "n_factors"
            )
        if not use_fast(self.engine):
            solve_rows_plain(R, self.alpha, weight, own, other, steps)
            return
        Q = Q.astype(self.dtype)
        turned = own @ Q if steps else np.empty_like(own)  # where cg starts
        solve_rows(
            R.indptr, R.indices, R.data, float(self.alpha),
            spectrum.clip(0).astype(self.dtype), weight, turned, other @ Q, steps,
        )  # fmt: skip
        np.matmul(turned, Q.T, out=own)

    def _weight(self, n_seen: Any, n_other: int) -> np.ndarray:
        """w of rows with so many events, when the other side has ``n_other`` rows."""
        n_seen = np.asarray(n_seen, np.float64)
        if self.reg_scaling == "none":
            return np.full(n_seen.shape, float(self.reg))
        all_cells = n_other / self.alpha if self.reg_scaling == "frequency" else 0
        return self.reg * (n_seen + all_cells)

    def _objective(self, train: Interactions) -> float:
        """The sum over all cells, without visiting those that are not seen.

        If nothing were seen it would be Σ (U_u · V_i)², the sum of the elements of
        UᵀU × VᵀV, cell by cell; each seen cell then changes its term.
        """
        U, V = self.user_factors_, self.item_factors_
        R, S = train.csr, train.csr_by_item
        gramians = [(F.T @ F).astype(np.float64) for F in (U, V)]
        seen = seen_terms(R.indptr, R.indices, R.data, float(self.alpha), U, V).sum()
        penalty = sum(
            float(self._weight(np.diff(X.indptr), X.shape[1]) @ (F**2).sum(axis=1))
            for X, F in ((R, U), (S, V))
        )
        return float((gramians[0] * gramians[1]).sum() + seen + penalty)

    def partial_fit(self, ratings: pd.DataFrame) -> Self:
        """Solve the rows of users with new events, and of new items; hold the others.

        Parameters
        ----------
        ratings : DataFrame with columns ``user, item, rating``
            Events to add. For a pair that is known already this is the new count.

        Returns
        -------
        self
        """
        self._require_fit()
        before = self._state()
        try:
            n_items = self.train_.n_items
            self.train_, new = self.train_.updated(ratings)
            check_counts(new, None)
            R, S = self.train_.csr, self.train_.csr_by_item
            U, V = (
                np.vstack([F, np.zeros((size - len(F), F.shape[1]), F.dtype)])
                for F, size in zip(
                    (self.user_factors_, self.item_factors_), R.shape, strict=True
                )
            )
            users = np.flatnonzero(np.diff(new.csr.indptr))
            items = np.arange(n_items, self.train_.n_items)
            rounds = [(R, U, V, users), (S, V, U, items), (R, U, V, users)]
            with _one_blas_thread():
                for X, own, other, rows in rounds if len(items) else rounds[:1]:
                    part = own[rows]
                    self._half_step(X[rows], part, other)
                    own[rows] = part
            self.user_factors_, self.item_factors_ = U, V
            self.user_bias_, self.item_bias_ = np.zeros(len(U)), np.zeros(len(V))
        except BaseException:  # Ctrl-C too
            vars(self).update(before)
            raise
        return self

    def _system(
        self, item_codes: np.ndarray, rating: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Left side M of a user's system, and the terms c_ui V_i of the right one."""
        check_newcomer_counts(rating)
        V = self.item_factors_
        if "_cache" not in vars(self) or self._cache[0] is not V:
            with _one_blas_thread():
                F = V.astype(np.float64)
                self._cache: tuple[Any, Any] = V, F.T @ F  # once for all newcomers
        A, extra = V[item_codes].astype(np.float64), self.alpha * rating[:, None]
        weight = float(self._weight(len(rating), len(V)))
        return _solve.implicit_system(self._cache[1], A, extra, weight)

    def _solve_user(
        self, item_codes: np.ndarray, rating: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """A newcomer's row, solved exactly."""
        M, terms = self._system(item_codes, rating)
        return 0.0, np.linalg.solve(M, terms.sum(axis=0))

    def _reasons(self, codes: np.ndarray, rating: np.ndarray, i: int) -> np.ndarray:
        """With M the left side of u's system, U_u · V_i = V_iᵀ M⁻¹ Σ_j c_uj V_j."""
        M, terms = self._system(codes, rating)
        return terms @ np.linalg.solve(M, self.item_factors_[i].astype(np.float64))


def _one_blas_thread() -> Any:
    """How many threads there are must not change the last bits, nor fight for cores."""
    return threadpool_limits(1, user_api="blas")


# ---- The rows of one side: the formula, then compiled --------------------------------


def solve_rows_plain(
    R: csr_matrix, alpha: float, weight: np.ndarray, own: np.ndarray,
    other: np.ndarray, cg_steps: int,
) -> None:  # fmt: skip
    """Solve every row over all items, as the formula says; one without events is 0.

    Conjugate gradients are preconditioned by G + w I = S Sᵀ, the system of somebody who
    was seen with nothing: they run in the coordinates Sᵀ x.

    Parameters
    ----------
    R : csr_matrix of shape (m, n)
        Counts.
    alpha : float
    weight : array of shape (m,)
        w of each row.
    own, other : arrays of shape (m, k), (n, k)
        Rows to solve, changed in place, and the other side.
    cg_steps : int
        Steps of conjugate gradients; 0 to solve exactly.
    """
    eye, V, gramian = np.eye(own.shape[1]), other, other.T @ other
    for u in range(len(own)):
        r = R[u].toarray().ravel()  # (n,), 0 where nothing was seen
        if not r.any():
            own[u] = 0.0
            continue
        c, p = 1 + alpha * r, np.where(r > 0, 1.0, 0.0)
        M, b = V.T @ (c[:, None] * V) + weight[u] * eye, V.T @ (c * p)
        if not cg_steps:
            own[u] = np.linalg.solve(M, b)
            continue
        S = np.linalg.cholesky(gramian + weight[u] * eye)
        inverse = np.linalg.inv(S)
        x = _solve.steps_plain(
            inverse @ M @ inverse.T, inverse @ b, S.T @ own[u], cg_steps
        )
        own[u] = inverse.T @ x


@kernel(parallel=True, fastmath={"reassoc", "contract"})
def solve_rows(  # type: ignore[no-untyped-def]
    indptr, codes, data, alpha, spectrum, weight, own, other, cg_steps
):
    """The same for factors in the coordinates Q, compiled, on all threads.

    Parameters
    ----------
    indptr, codes, data : arrays of shape (m + 1,), (n_events,), (n_events,)
        R as CSR.
    alpha : float
    spectrum : array of shape (k,)
        s: eigenvalues of the Gramian of ``other``.
    weight : array of shape (m,)
        w of each row.
    own, other : arrays of shape (m, k), (n, k)
        Rows to solve, changed in place, and the other side.
    cg_steps : int
        Steps of conjugate gradients; 0 to solve exactly.
    """
    m, k = own.shape
    one = own.dtype.type(1)
    for share in prange(_solve.SHARES):
        t = np.empty(k, own.dtype)  # here 1 / t of the head
        for u in range(share, m, _solve.SHARES):
            n_seen = indptr[u + 1] - indptr[u]
            if n_seen == 0:
                own[u] = 0.0
                continue
            for f in range(k):
                t[f] = 1 / np.sqrt(spectrum[f] + weight[u])
            A, y = np.empty((n_seen, k), own.dtype), np.empty(n_seen, own.dtype)
            for p in range(n_seen):
                i, extra = codes[indptr[u] + p], alpha * data[indptr[u] + p]
                y[p] = (1 + extra) / np.sqrt(extra)
                root = own.dtype.type(np.sqrt(extra))
                for f in range(k):
                    A[p, f] = root * other[i, f] * t[f]
            x = own[u]  # a view: the solution lands in own
            if cg_steps > 0:
                for f in range(k):
                    x[f] /= t[f]
                _solve.conjugate_gradients(A, y, one, x, cg_steps)
            else:
                _solve.cholesky(A, y, one, x)  # AᵀA + I is never singular
            for f in range(k):
                x[f] *= t[f]


@kernel(parallel=True, fastmath={"reassoc", "contract"})
def seen_terms(indptr, codes, data, alpha, U, V):  # type: ignore[no-untyped-def]
    """What the seen cells of each user change in the objective.

    Parameters
    ----------
    indptr, codes, data : arrays of shape (m + 1,), (n_events,), (n_events,)
        R as CSR.
    alpha : float
    U, V : arrays of shape (m, k), (n, k)

    Returns
    -------
    float64 array of shape (m,)
        Σ over seen items of c (1 − U_u · V_i)² − (U_u · V_i)².
    """
    out = np.zeros(len(U))
    for u in prange(len(U)):
        for p in range(indptr[u], indptr[u + 1]):
            score = np.float64(_solve.dot(U[u], V[codes[p]]))
            out[u] += (1 + alpha * data[p]) * (1 - score) ** 2 - score**2
    return out
