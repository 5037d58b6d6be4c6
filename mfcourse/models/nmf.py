"""Non-negative matrix factorization: parts that add up and never cancel.

Prediction

    r̂_ui = U_u · V_i,    U ≥ 0, V ≥ 0

No mean and no bias: a rating is a sum of what its factors add.

Objective, over the observed ratings Ω, with n_u and n_i ratings a user and an item

    Σ_{(u,i) ∈ Ω} e_ui² + λ (Σ_u n_u ‖U_u‖² + Σ_i n_i ‖V_i‖²),    e_ui = r_ui − r̂_ui

Update. Each factor is multiplied by a ratio that is never negative, so that no factor
becomes negative; at a minimum every ratio is 1, or its factor 0:

    U_uf ← U_uf · Σ_i r_ui V_if / (Σ_i r̂_ui V_if + λ n_u U_uf)      i over Ω_u
    V_if ← V_if · Σ_u r_ui U_uf / (Σ_u r̂_ui U_uf + λ n_i V_if)      u over Ω_i

order="alternate": U first, then V with the new U and new r̂. The objective never rises.
With V held, row u's part is a quadratic function whose matrix A = Σ V_i V_iᵀ + λ n_u I
has no negative entry. The diagonal matrix with (A U_u)_f / U_uf is then at least as
steep in each direction (Lee and Seung's lemma). With it in place of A, the function
touches the objective at the old row and lies nowhere below; the update is its minimum.

order="joint": both from the same r̂. Each side then corrects the whole error, so that
the two together overshoot, and the objective may rise; with λ = 0 it may never settle.

A factor that is 0 stays 0. Where a denominator is 0, so is the numerator; the factor
becomes 0. Cost of an epoch: O(|Ω| k).

Symbols: U (n_users, k), V (n_items, k) factors, drawn evenly between 0 and 1; λ reg;
k n_factors; Ω_u the items that u rated, Ω_i the users who rated i.

References: D. Lee and S. Seung, "Algorithms for Non-negative Matrix Factorization",
NIPS 13, 2001. S. Zhang, W. Wang, J. Ford and F. Makedon, "Learning from Incomplete
Ratings Using Non-negative Matrix Factorization", SDM 2006 (observed ratings only).
X. Luo, M. Zhou, Y. Xia and Q. Zhu, "An Efficient Non-Negative Matrix-Factorization-
Based Approach to Collaborative Filtering for Recommender Systems", IEEE Transactions on
Industrial Informatics 10(2), 2014 (joint, with λ).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from mfcourse.interactions import Interactions
from mfcourse.models import _loss
from mfcourse.models._compiled import kernel, prange, use_fast
from mfcourse.models._epochs import learn
from mfcourse.models.base import FactorModel


@dataclass(kw_only=True)
class NMFModel(FactorModel):
    """Non-negative factors by multiplicative updates.

    A pair with an unknown user or item is predicted the mean of all ratings. On the
    embedded ratings, of λ from 0 to 0.2 the default had the least validation error, at
    k of 5, 15 and 30 alike; with a λ near 0 it rises again after some 10 epochs.
    Surprise's NMF is ``order="joint", reg=0.06, n_epochs=50``.

    Parameters
    ----------
    n_factors : int
        k: numbers per user and per item.
    reg : float
        λ, paid once a rating.
    n_epochs : int
        Passes over the ratings.
    order : {"alternate", "joint"}
        Users, then items; or both from the same predictions.
    patience : int
        With a validation frame: stop after so many epochs without a smaller error.
    seed : int
    engine : {"fast", "plain"}
        Compiled and on all threads, or the formula in NumPy for small data.
    """

    n_factors: int = 15
    reg: float = 0.15
    n_epochs: int = 100
    order: str = "alternate"
    patience: int = 5
    seed: int = 0
    engine: str = "fast"

    @property
    def _level(self) -> float:
        return 0.0

    def _fit(
        self, train: Interactions, validation: pd.DataFrame | None, progress: bool
    ) -> None:
        _refuse_negative(train.rating)
        self.global_mean_ = float(train.rating.mean())
        self.user_factors_, self.item_factors_ = self._start(train)
        update = updated if use_fast(self.engine) else updated_plain

        def one_epoch(t: int) -> tuple[float, float]:
            R, Rt, reg = train.csr, train.csr_by_item, float(self.reg)
            U, V = self.user_factors_, self.item_factors_
            new = update(R.indptr, R.indices, R.data, U, V, reg)
            U = new if self.order == "alternate" else U
            V = update(Rt.indptr, Rt.indices, Rt.data, V, U, reg)
            self.user_factors_, self.item_factors_ = new, V
            squares, sizes = _loss.sums(self, R)
            return squares + reg * sizes, squares

        learn(self, one_epoch, validation, progress)

    def _start(self, train: Interactions) -> tuple[np.ndarray, np.ndarray]:
        """Random factors: equal ones would stay equal, and 0 stays 0."""
        rng = np.random.default_rng(self.seed)
        U = rng.random((train.n_users, self.n_factors))
        return U, rng.random((train.n_items, self.n_factors))

    def _solve_user(
        self, item_codes: np.ndarray, rating: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """The exact minimum of the newcomer's part, to which the updates lead."""
        _refuse_negative(rating)
        if len(rating) == 0:
            return 0.0, np.zeros(self.n_factors)
        V = self.item_factors_[item_codes]  # (n_rated, k)
        root = np.sqrt(self.reg * len(rating))  # λ n ‖U_u‖² as k further squares
        A = np.vstack([V, root * np.eye(self.n_factors)])
        return 0.0, nnls(A, np.append(rating, np.zeros(self.n_factors)))[0]


def _refuse_negative(rating: np.ndarray) -> None:
    if (rating < 0).any():
        raise ValueError(
            f"{(rating < 0).sum()} rating(s) are below 0, the least {rating.min():g}, "
            "but what non-negative factors add up to never is. Shift all ratings: "
            "frame['rating'] -= frame['rating'].min()"
        )


# ---- One side's update: the formula, then the same loop compiled ---------------------


def updated_plain(
    indptr: np.ndarray, codes: np.ndarray, data: np.ndarray,
    own: np.ndarray, other: np.ndarray, reg: float,
) -> np.ndarray:  # fmt: skip
    """Update every row of one side.

    Parameters
    ----------
    indptr, codes, data : arrays of shape (m + 1,), (n_ratings,), (n_ratings,)
        Ratings of each row, as CSR: row u has ``codes[indptr[u]:indptr[u + 1]]``.
    own, other : arrays of shape (m, k), (n, k)
        Factors of the rows to update, which are not changed, and of the other side.
    reg : float
        λ.

    Returns
    -------
    array of shape (m, k)
        The new rows.
    """
    new = np.zeros_like(own)
    for u in range(len(own)):
        V = other[codes[indptr[u] : indptr[u + 1]]]  # (n_u, k)
        r = data[indptr[u] : indptr[u + 1]]
        above = r @ V
        below = (V @ own[u]) @ V + reg * len(r) * own[u]
        ratio = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
        new[u] = own[u] * ratio
    return new


@kernel(parallel=True, fastmath={"reassoc", "contract"})
def updated(indptr, codes, data, own, other, reg):  # type: ignore[no-untyped-def]
    """The same as `updated_plain`, compiled, on all threads: a row knows no other.

    Parameters
    ----------
    indptr, codes, data, own, other, reg
        As there.

    Returns
    -------
    array of shape (m, k)
    """
    k = own.shape[1]
    new = np.zeros_like(own)
    for u in prange(len(own)):
        Uu, above, below = own[u], np.zeros(k), np.zeros(k)
        for p in range(indptr[u], indptr[u + 1]):
            Vi, r = other[codes[p]], data[p]
            dot = 0.0
            for f in range(k):
                dot += Uu[f] * Vi[f]
            for f in range(k):
                above[f] += r * Vi[f]
                below[f] += dot * Vi[f]
        weight = reg * (indptr[u + 1] - indptr[u])
        for f in range(k):
            total = below[f] + weight * Uu[f]
            if total > 0:
                new[u, f] = Uu[f] * (above[f] / total)
    return new
