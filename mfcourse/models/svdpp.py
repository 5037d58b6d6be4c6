"""SVD++: what a person chose to rate says something, whatever the stars.

Prediction

    r̂_ui = μ + b_u + b_i + V_i · (U_u + z_u),    z_u = |Ω_u|^(−½) Σ_{j ∈ Ω_u} Y_j

Objective, over the observed ratings Ω

    Σ_{(u,i) ∈ Ω} e_ui² + λ (b_u² + b_i² + ‖U_u‖² + ‖V_i‖² + Σ_{j ∈ Ω_u} ‖Y_j‖²)

Update. For each rating in turn, all right-hand sides with the values from before it,

    b_u ← b_u + γ (e − λ b_u)             b_i ← b_i + γ (e − λ b_i)
    U_u ← U_u + γ (e V_i − λ U_u)         V_i ← V_i + γ (e (U_u + z_u) − λ V_i)
    Y_j ← Y_j + γ (e |Ω_u|^(−½) V_i − λ Y_j)      for each j ∈ Ω_u

In linear time. As it stands, a rating moves |Ω_u| rows of Y, and an epoch takes
Σ_u |Ω_u|² steps. But all those rows get the same push. Summed over j, the last line is

    z_u ← z_u + γ (e V_i − λ z_u)

so that z_u alone can be carried along while u's ratings are visited. After n = |Ω_u| of
them each Y_j has shrunk by (1 − γλ)ⁿ and got one common push d, which z_u reveals:

    Y_j ← (1 − γλ)ⁿ Y_j + d,    d = |Ω_u|^(−½) (z_u now − (1 − γλ)ⁿ z_u before)

This is the same algorithm, to rounding, with |Ω| steps: no approximation.

Symbols: Ω_u items that u rated; μ, b_u, b_i, λ reg, γ learning rate as in ``sgd``; U
(n_users, k) own factors; V, Y (n_items, k); ``user_factors_`` holds U + z.

Reference: Y. Koren, "Factorization Meets the Neighborhood: a Multifaceted Collaborative
Filtering Model", KDD 2008, equation 15.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from mfcourse.interactions import Interactions
from mfcourse.models import _loss
from mfcourse.models._compiled import fetch, kernel, use_fast
from mfcourse.models._epochs import learn
from mfcourse.models._solve import ridge_row
from mfcourse.models.base import FactorModel


@dataclass(kw_only=True)
class SVDppModel(FactorModel):
    """Factors, biases and implicit factors of what was rated.

    Parameters
    ----------
    n_factors : int
        k.
    reg : float
        λ, paid once a rating.
    lr : float
        γ of the first epoch.
    decay : float
        In epoch t, from 1, γ = lr / (1 + decay · (t − 1)).
    n_epochs : int
        Passes over the ratings, user by user.
    init_sd : float
        Standard deviation of the random start.
    patience : int
        With a validation frame: stop after so many epochs without a smaller error.
    seed : int
    dtype : {"float64", "float32"}
        Of the factors and biases.
    engine : {"fast", "plain"}
        Compiled and linear, or the formula in NumPy for small data.
    """

    n_factors: int = 20
    reg: float = 0.02
    lr: float = 0.007
    decay: float = 0.0
    n_epochs: int = 20
    init_sd: float = 0.1
    patience: int = 5
    seed: int = 0
    dtype: str = "float64"
    engine: str = "fast"

    def _fit(
        self, train: Interactions, validation: pd.DataFrame | None, progress: bool
    ) -> None:
        rng = np.random.default_rng(self.seed)
        fast, R, k = use_fast(self.engine), train.csr, self.n_factors
        U, V, Y = (
            (rng.standard_normal((size, k)) * self.init_sd).astype(self.dtype)
            for size in (train.n_users, train.n_items, train.n_items)
        )
        b_u, b_i = np.zeros(len(U), self.dtype), np.zeros(len(V), self.dtype)
        self.global_mean_ = float(train.rating.mean())
        self.user_bias_, self.item_bias_ = b_u, b_i
        self.item_factors_, self.implicit_factors_ = V, Y
        n_u, n_i = np.diff(R.indptr), np.bincount(R.indices, minlength=len(V))
        share = np.repeat(n_u**-0.5, n_u).astype(self.dtype)
        implicit = csr_matrix((share, R.indices, R.indptr), R.shape)  # z = implicit @ Y
        pays = np.bincount(R.indices, np.repeat(n_u, n_u), len(V))  # for ‖Y_j‖²

        def one_epoch(t: int) -> tuple[float, float]:
            lr = self.lr / (1 + self.decay * (t - 1))
            run = epoch if fast else epoch_plain
            run(
                R.indptr, R.indices, R.data, self.global_mean_,
                b_u, b_i, U, V, Y, float(lr), float(self.reg),
            )  # fmt: skip
            self.user_factors_ = U + implicit @ Y
            squares, _ = _loss.sums(self, R)
            sizes = n_u @ (b_u**2 + (U**2).sum(axis=1)) + pays @ (Y**2).sum(axis=1)
            sizes += n_i @ (b_i**2 + (V**2).sum(axis=1))
            return squares + self.reg * float(sizes), squares

        learn(self, one_epoch, validation, progress)

    def _solve_user(
        self, item_codes: np.ndarray, rating: np.ndarray
    ) -> tuple[float, np.ndarray]:
        F, n = self.item_factors_[item_codes], len(rating)
        z = self.implicit_factors_[item_codes].sum(axis=0) / max(n, 1) ** 0.5
        rest = rating - self.global_mean_ - self.item_bias_[item_codes] - F @ z
        bias, row = ridge_row(F, rest, self.reg * n, True)
        return bias, row + z


# ---- One epoch: the formula, then the same in linear time ----------------------------


def epoch_plain(
    indptr: np.ndarray, items: np.ndarray, ratings: np.ndarray, mu: float,
    b_u: np.ndarray, b_i: np.ndarray, U: np.ndarray, V: np.ndarray, Y: np.ndarray,
    lr: float, reg: float,
) -> None:  # fmt: skip
    """Visit each rating once, by the formula; changes all arrays in place.

    Parameters
    ----------
    indptr, items, ratings : arrays of shape (m + 1,), (n_ratings,), (n_ratings,)
        The parts of a CSR matrix, users × items.
    mu : float
        μ.
    b_u, b_i : arrays of shape (m,), (n,)
    U, V, Y : arrays of shape (m, k), (n, k), (n, k)
    lr, reg : float
        γ and λ.
    """
    for u in range(len(indptr) - 1):
        rated = items[indptr[u] : indptr[u + 1]]
        for i, r in zip(rated, ratings[indptr[u] : indptr[u + 1]], strict=True):
            root = len(rated) ** -0.5
            z = root * Y[rated].sum(axis=0)
            U_u, V_i = U[u].copy(), V[i].copy()  # the values from before this rating
            e = r - (mu + b_u[u] + b_i[i] + V_i @ (U_u + z))
            b_u[u] += lr * (e - reg * b_u[u])
            b_i[i] += lr * (e - reg * b_i[i])
            U[u] += lr * (e * V_i - reg * U_u)
            V[i] += lr * (e * (U_u + z) - reg * V_i)
            Y[rated] += lr * (e * root * V_i - reg * Y[rated])


@kernel(fastmath={"reassoc", "contract"})
def epoch(indptr, items, ratings, mu, b_u, b_i, U, V, Y, lr, reg):  # type: ignore[no-untyped-def]
    """The same as `epoch_plain`, compiled, with z_u carried along.

    Parameters
    ----------
    indptr, items, ratings, mu, b_u, b_i, U, V, Y, lr, reg
        As there.
    """
    number = U.dtype.type  # float32 throughout, or float64
    lr, reg = number(lr), number(reg)
    k, keep = U.shape[1], number(1) - lr * reg
    z, z_before, last = np.empty(k, U.dtype), np.empty(k, U.dtype), len(items) - 1
    for u in range(len(indptr) - 1):
        n = indptr[u + 1] - indptr[u]
        if n == 0:
            continue
        root = number(1) / number(np.sqrt(n))
        z[:] = 0
        for p in range(indptr[u], indptr[u + 1]):
            fetch(Y, items[min(p + 4, last)])
            z += Y[items[p]]
        z *= root
        z_before[:] = z
        Uu = U[u]
        for p in range(indptr[u], indptr[u + 1]):
            fetch(V, items[min(p + 2, last)])
            i = items[p]
            Vi = V[i]
            dot = number(0)
            for f in range(k):
                dot += (Uu[f] + z[f]) * Vi[f]
            e = number(ratings[p] - mu) - b_u[u] - b_i[i] - dot
            b_u[u] += lr * (e - reg * b_u[u])
            b_i[i] += lr * (e - reg * b_i[i])
            step = lr * e
            for f in range(k):
                U_uf, V_if, z_f = Uu[f], Vi[f], z[f]
                Uu[f] = keep * U_uf + step * V_if
                Vi[f] = keep * V_if + step * (U_uf + z_f)
                z[f] = keep * z_f + step * V_if
        shrink = keep ** number(n)
        push = root * (z - shrink * z_before)
        for p in range(indptr[u], indptr[u + 1]):
            Yj = Y[items[p]]
            for f in range(k):
                Yj[f] = shrink * Yj[f] + push[f]
