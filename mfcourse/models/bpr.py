"""Bayesian personalized ranking (BPR): learn from pairs which item a user prefers.

Score, which ranks the items of one user and is no rating

    s_ui = b_i + U_u · V_i

There is no b_u: it would be the same for both items of a pair, and cancel. Of a triple
(u, i, j), user u has item i and does not have item j, and the chance that u prefers i
is σ(x), with x = s_ui − s_uj = b_i − b_j + U_u · (V_i − V_j) and σ(x) = 1 / (1 + e⁻ˣ).

Objective, to be made small; each triple (u, i, j) adds

    −ln σ(x) + λ/2 (b_i² + b_j² + ‖U_u‖² + ‖V_i‖² + ‖V_j‖²)

Update. The gradient of one triple's term, with the sign turned, times γ. Since
∂/∂x (−ln σ(x)) = −σ(−x), let z = σ(−x) = 1 − σ(x): how wrong the triple is ranked, from
0 to 1. All right-hand sides have the values from before,

    b_i ← b_i + γ (z − λ b_i)            V_i ← V_i + γ (z U_u − λ V_i)
    b_j ← b_j + γ (−z − λ b_j)           V_j ← V_j + γ (−z U_u − λ V_j)
    U_u ← U_u + γ (z (V_i − V_j) − λ U_u)

(The ½ lets λ stand alone in them.)

An epoch visits each observed pair (u, i) once, and draws its j: every item alike, or in
proportion to how many users have it; again while u has j, TRIES times at most. A pair
for which none was found is skipped, as all pairs of a user who has everything are. How
often an event happened (the rating) does not count, only that it did.

The visits go user by user as memory lies, like those of SGD. (The paper draws triples
at random; on the embedded likes both orders reach the same NDCG@10.) They go on one
thread, and not for want of a second: two triples on two threads change the same rows,
and which comes first, or is lost, differs from run to run. So do the results of
libraries that do it. Items to compare with are drawn before the epoch, so that both
engines see the same.

Symbols: b_i (n_items,) biases, 0 at first; U (n_users, k), V (n_items, k) factors, at
first random with mean 0 and standard deviation init_sd; λ reg; γ lr; k n_factors.

Reference: S. Rendle, C. Freudenthaler, Z. Gantner and L. Schmidt-Thieme, "BPR: Bayesian
Personalized Ranking from Implicit Feedback", UAI 2009.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, log_expit  # σ and ln σ, exact for large |x| too

from mfcourse.interactions import Interactions
from mfcourse.models import _lists
from mfcourse.models._check import check_counts, check_newcomer_counts
from mfcourse.models._compiled import fetch, kernel, use_fast
from mfcourse.models._epochs import learn, random_rows
from mfcourse.models.base import FactorModel

TRIES = 10  # draws a pair: who has half of all items is skipped once in 1,024 times


@dataclass(kw_only=True)
class BPRModel(FactorModel):
    """Factors and item biases that rank what a user has above what they have not.

    ``history_`` has a row an epoch: ``objective`` and ``auc`` are the mean of a
    triple's term and the share with x > 0, over the triples visited. Each is counted
    just before its update, while all else moves: running figures, not those of the
    model at the end of the epoch. Both are NaN where no pair could be compared.

    Parameters
    ----------
    n_factors : int
        k: numbers per user and per item.
    reg : float
        λ, paid once a triple.
    lr : float
        γ.
    n_epochs : int
        Passes over the observed pairs.
    negatives : {"uniform", "popularity"}
        How j is drawn: every item alike, or in proportion to how many users have it.
        The latter are harder to tell apart, and want a smaller ``init_sd`` and ``lr``,
        and fewer epochs (on the embedded ratings 0.03, 0.01 and 40).
    init_sd : float
        Standard deviation of the random start.
    seed : int
    dtype : {"float64", "float32"}
        Of the factors and biases.
    engine : {"fast", "plain"}
        The compiled loop, or the formula in NumPy for small data.
    """

    n_factors: int = 100
    reg: float = 0.02
    lr: float = 0.05
    n_epochs: int = 150
    negatives: str = "uniform"
    init_sd: float = 0.1
    seed: int = 0
    dtype: str = "float64"
    engine: str = "fast"

    def _fit(
        self, train: Interactions, validation: pd.DataFrame | None, progress: bool
    ) -> None:
        check_counts(train, validation)
        rng = np.random.default_rng(self.seed)
        self.user_bias_ = np.zeros(train.n_users, self.dtype)
        self.item_bias_ = np.zeros(train.n_items, self.dtype)
        self.user_factors_ = random_rows(self, rng, train.n_users)
        self.item_factors_ = random_rows(self, rng, train.n_items)
        shares = []

        def one_epoch(t: int) -> tuple[float, None]:
            objective, auc = self._pass(train, t)
            shares.append(auc)
            return objective, None

        learn(self, one_epoch, None, progress)
        self.history_.insert(2, "auc", shares)

    def _pass(self, train: Interactions, t: int) -> tuple[float, float]:
        """Visit each pair once; returns what ``history_`` tells of epoch t."""
        run, R = epoch if use_fast(self.engine) else epoch_plain, train.csr
        others = self._draw(train, np.random.default_rng([self.seed, t]))
        total, right = run(
            R.indptr, R.indices, others, self.item_bias_, self.user_factors_,
            self.item_factors_, float(self.lr), float(self.reg),
        )  # fmt: skip
        n_visited = int((others >= 0).sum())
        if n_visited == 0:
            return np.nan, np.nan
        if not np.isfinite(total):
            raise FloatingPointError(
                f"BPRModel diverged in epoch {t}: each step overshoots and the "
                f"objective is {total}. Lower lr, now {self.lr:g}"
            )
        return total / n_visited, right / n_visited

    def _draw(self, train: Interactions, rng: np.random.Generator) -> np.ndarray:
        """An item that the user does not have, for each pair; −1 where none was found.

        Shape (n_ratings,), in CSR order. Pairs without one draw together, in rounds.
        """
        others = np.full(train.n_ratings, -1, train.item_code.dtype)
        left = np.arange(train.n_ratings)
        for _ in range(TRIES):
            if len(left) == 0:
                break
            if self.negatives == "uniform":
                j = rng.integers(train.n_items, size=len(left), dtype=others.dtype)
            else:  # the item of a pair drawn at random
                j = train.item_code[rng.integers(train.n_ratings, size=len(left))]
            has = np.asarray(train.csr[train.user_code[left], j]).ravel() > 0
            others[left[~has]] = j[~has]
            left = left[has]
        return others

    def _solve_user(
        self, item_codes: np.ndarray, rating: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """A newcomer's row: the minimum of the objective with b and V held.

        Each item of theirs is compared with all that they do not have, weighted by how
        often it would be drawn. −ln σ is convex and x linear in U_u, so there is one
        minimum for λ > 0, and Newton's steps lead to it, halved where they overshoot.
        Cost of a step: O(n_rated n_items k).
        """
        check_newcomer_counts(rating)
        row = step = np.zeros(self.n_factors)
        weight = np.ones(self.train_.n_items)
        if self.negatives == "popularity":
            weight = np.diff(self.train_.csr_by_item.indptr).astype(np.float64)
        weight[item_codes] = 0.0
        if not weight.any():  # they have everything
            return 0.0, row
        weight, best = weight / weight.sum(), np.inf
        for _ in range(1000):  # 6 to 10 as a rule
            value, slope, curve = self._newcomer_at(row, item_codes, weight)
            if value > best:
                step = step / 2
                row = row + step
                continue
            best, step = value, np.linalg.lstsq(curve, slope, rcond=None)[0]
            row = row - step
            if slope @ step < 1e-10:  # twice what the step could gain
                break
        return 0.0, row

    def _newcomer_at(
        self, row: np.ndarray, item_codes: np.ndarray, weight: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Objective, gradient and Hessian at a newcomer's row, of shape (k,)."""
        V, penalty = self.item_factors_, self.reg * len(item_codes)
        s, value = self.item_bias_ + V @ row, penalty / 2 * (row @ row)
        z_sum, c_sum = np.zeros(len(s)), np.zeros(len(s))
        curve = penalty * np.eye(len(row))
        for i in _lists.blocks(item_codes, len(s)):
            x = s[i, None] - s  # (len(i), n_items), as z and c
            value -= (log_expit(x) @ weight).sum()
            z = expit(-x)
            c = z * (1 - z) * weight  # second derivative of −ln σ
            z *= weight
            z_sum += z.sum(axis=0)
            z_sum[i] -= z.sum(axis=1)
            c_sum += c.sum(axis=0)
            c_sum[i] += c.sum(axis=1)
            cross = V[i].T @ (c @ V)
            curve -= cross + cross.T
        return value, V.T @ z_sum + penalty * row, (V.T * c_sum) @ V + curve


# ---- One epoch: the formula, then the same loop compiled -----------------------------
# Pairs lie user by user (CSR): user u has items[indptr[u] : indptr[u + 1]], and the
# same slice of ``others`` says what each is compared with, −1 for nothing.


def epoch_plain(
    indptr: np.ndarray, items: np.ndarray, others: np.ndarray,
    b: np.ndarray, U: np.ndarray, V: np.ndarray, lr: float, reg: float,
) -> tuple[float, int]:  # fmt: skip
    """Visit each pair once; changes b, U and V in place.

    Parameters
    ----------
    indptr, items : arrays of shape (m + 1,), (n_ratings,)
        The parts of a CSR matrix, users × items.
    others : int array of shape (n_ratings,)
        j of each pair, or −1 to skip it.
    b : array of shape (n,)
        Item biases.
    U, V : arrays of shape (m, k), (n, k)
    lr, reg : float
        γ and λ.

    Returns
    -------
    total : float
        Sum of the triples' terms of the objective, each just before its update.
    right : int
        Triples with x > 0.
    """
    total, right = 0.0, 0
    for u in range(len(indptr) - 1):
        for p in range(indptr[u], indptr[u + 1]):
            i, j = items[p], others[p]
            if j < 0:
                continue
            x = b[i] - b[j] + U[u] @ (V[i] - V[j])
            sizes = b[i] ** 2 + b[j] ** 2 + U[u] @ U[u] + V[i] @ V[i] + V[j] @ V[j]
            total += float(reg / 2 * sizes - log_expit(x))
            right += int(x > 0)
            z = expit(-x)
            b[i] += lr * (z - reg * b[i])
            b[j] += lr * (-z - reg * b[j])
            old = U[u].copy()  # U[u] is a view: the next line would change it
            U[u] += lr * (z * (V[i] - V[j]) - reg * U[u])
            V[i] += lr * (z * old - reg * V[i])
            V[j] += lr * (-z * old - reg * V[j])
    return total, right


# The flags of fastmath are those of sgd.py.
@kernel(fastmath={"reassoc", "contract"})
def epoch(indptr, items, others, b, U, V, lr, reg):  # type: ignore[no-untyped-def]
    """The same as `epoch_plain` but for rounding, compiled.

    Parameters
    ----------
    indptr, items, others, b, U, V, lr, reg
        As there.

    Returns
    -------
    total : float
    right : int
    """
    number = U.dtype.type  # one float64 among float32 would make the whole loop float64
    lr, reg = number(lr), number(reg)
    one, keep = number(1), number(1) - lr * reg
    n_factors, total, right = U.shape[1], 0.0, 0
    last_user, last = len(indptr) - 2, len(items) - 1
    for u in range(len(indptr) - 1):
        fetch(U, min(u + 2, last_user))
        Uu = U[u]
        for p in range(indptr[u], indptr[u + 1]):
            fetch(V, items[min(p + 2, last)])
            fetch(V, max(others[min(p + 2, last)], 0))
            i, j = items[p], others[p]
            if j < 0:
                continue
            Vi, Vj, b_i, b_j = V[i], V[j], b[i], b[j]
            x, sizes = b_i - b_j, b_i * b_i + b_j * b_j
            for f in range(n_factors):
                U_uf, V_if, V_jf = Uu[f], Vi[f], Vj[f]
                x += U_uf * (V_if - V_jf)
                sizes += U_uf * U_uf + V_if * V_if + V_jf * V_jf
            small = np.exp(-abs(x))  # e^|x| would overflow
            whole = one + small
            z = (small if x > 0 else one) / whole
            total += max(-x, number(0)) + np.log(whole) + reg * sizes / 2
            right += x > 0
            step = lr * z
            b[i] = keep * b_i + step
            b[j] = keep * b_j - step
            for f in range(n_factors):
                U_uf, V_if, V_jf = Uu[f], Vi[f], Vj[f]
                Uu[f] = keep * U_uf + step * (V_if - V_jf)
                Vi[f] = keep * V_if + step * U_uf
                Vj[f] = keep * V_jf - step * U_uf
    return total, right
