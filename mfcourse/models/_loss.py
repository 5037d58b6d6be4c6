"""How well μ + b_u + b_i + U_u · V_i fits the observed ratings.

    Σ over ratings of e²,   e = r − (level + b_u + b_i + U_u · V_i)
    Σ over ratings of b_u² + b_i² + ‖U_u‖² + ‖V_i‖²

The first plus λ times the second is the objective of SGD, and of ALS with weighted λ:
a user with n ratings is penalised n times.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from mfcourse.models._compiled import fetch, kernel, use_fast


def sums(model: Any, R: csr_matrix) -> tuple[float, float]:
    """Both sums, in one walk over the ratings.

    Parameters
    ----------
    model : FactorModel
        With what it has learned so far.
    R : csr_matrix of shape (m, n)
        Ratings; rows and columns are numbered as the model's.

    Returns
    -------
    squares, sizes : float
    """
    b_u, b_i = model.user_bias_, model.item_bias_
    U, V = model.user_factors_, model.item_factors_
    walk = _walk if use_fast(model.engine) else _walk_plain
    with np.errstate(over="ignore"):  # of a model that diverges; the caller will see
        size_i = b_i.astype(np.float64) ** 2 + np.einsum("ik,ik->i", V, V)
        squares, sizes = walk(
            R.indptr, R.indices, R.data, model._level, b_u, b_i, U, V, size_i
        )
    return float(squares), float(sizes)


def _walk_plain(indptr, indices, data, level, b_u, b_i, U, V, size_i):  # type: ignore[no-untyped-def]
    squares = sizes = 0.0
    for u in range(len(indptr) - 1):
        items = indices[indptr[u] : indptr[u + 1]]
        error = data[indptr[u] : indptr[u + 1]] - level - b_u[u] - b_i[items]
        error = error - V[items] @ U[u]
        squares += error @ error
        sizes += len(items) * (b_u[u] ** 2 + U[u] @ U[u]) + size_i[items].sum()
    return squares, sizes


# On one thread: on small data, waking the others would take longer than the walk.
@kernel(fastmath={"reassoc", "contract"})
def _walk(indptr, indices, data, level, b_u, b_i, U, V, size_i):  # type: ignore[no-untyped-def]
    squares = sizes = 0.0
    last_user, last = len(indptr) - 2, len(indices) - 1
    for u in range(len(indptr) - 1):
        fetch(U, min(u + 4, last_user))
        Uu, size_u = U[u], b_u[u] ** 2
        for f in range(len(Uu)):
            size_u += Uu[f] ** 2
        for p in range(indptr[u], indptr[u + 1]):
            fetch(V, indices[min(p + 4, last)])
            i = indices[p]
            Vi = V[i]
            dot = U.dtype.type(0)
            for f in range(len(Uu)):
                dot += Uu[f] * Vi[f]
            error = data[p] - level - b_u[u] - b_i[i] - dot
            squares += error * error
            sizes += size_u + size_i[i]
    return squares, sizes
