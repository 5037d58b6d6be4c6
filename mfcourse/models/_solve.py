"""One row's system of linear equations: the heart of alternating least squares.

With the other side held, a user's row x (or an item's) minimises a ridge regression

    ‖y − A x‖² + w ‖x‖²

whose gradient, −2 Aᵀ(y − A x) + 2 w x, is 0 at the solution (the normal equations):

    M x = Aᵀ y,    M = AᵀA + w I

Row p of A holds the factors of the p-th rated item, V_i; with biases, (1, V_i), and
x = (b_u, U_u). y_p = r_ui − μ − b_i. A is n_u × d: n_u ratings, d = k or 1 + k.

Cholesky. M = L Lᵀ with L lower triangular; then L z = Aᵀ y and Lᵀ x = z, from the top
and from the bottom: n_u d² + d³ / 3 operations. With w > 0 and fewer ratings than
unknowns, the same x comes from a smaller system, n_u × n_u, in n_u² d + n_u³ / 3:

    x = Aᵀ z,    (A Aᵀ + w I) z = y

(put x into M x = Aᵀ y: Aᵀ (A Aᵀ + w I) z is on the left, Aᵀ y on the right).

Conjugate gradients. From the row as it was, go to the lowest point along a direction,
a few times. The first direction is the residual Aᵀ y − M x, half the gradient with its
sign turned: downhill. Each further one is the new residual plus as much of the last
direction as makes direction · M last = 0, so that no step undoes an earlier one. A step
takes 2 n_u d operations, and the compiled loop never forms M.

Reference: M. Hestenes and E. Stiefel, "Methods of Conjugate Gradients for Solving
Linear Systems", Journal of Research of the National Bureau of Standards 49(6), 1952.
"""

from __future__ import annotations

import numpy as np

# kernel: compiled by numba; prange: a range whose turns run on all threads.
from mfcourse.models._compiled import kernel, prange

LEAST = 1e-12  # a pivot that lost as many digits counts as 0: M is singular
SHARES = 64  # every 64th row is one thread's turn: each gets long and short rows alike


def ridge_row(
    F: np.ndarray, y: np.ndarray, weight: float, with_bias: bool
) -> tuple[float, np.ndarray]:
    """Solve one row, in NumPy.

    Parameters
    ----------
    F : array of shape (n_rated, k)
        Factors of the rated items.
    y : array of shape (n_rated,)
        Their ratings, less μ and the items' biases.
    weight : float
        w.
    with_bias : bool
        Solve for a bias too.

    Returns
    -------
    bias : float
    row : array of shape (k,)
    """
    if len(F) == 0:
        return 0.0, np.zeros(F.shape[1])
    A = np.insert(F, 0, 1.0, axis=1) if with_bias else F
    x = np.linalg.solve(A.T @ A + weight * np.eye(A.shape[1]), A.T @ y)
    return (float(x[0]), x[1:]) if with_bias else (0.0, x)


def implicit_system(
    gramian: np.ndarray, F: np.ndarray, extra: np.ndarray, weight: float
) -> tuple[np.ndarray, np.ndarray]:
    """One row's system over all cells, where c = 1 + extra for what was seen.

    Parameters
    ----------
    gramian : array of shape (k, k)
        FᵀF of all rows of the other side.
    F : array of shape (n_seen, k)
        Those of them that were seen.
    extra : array of shape (n_seen, 1)
        α r of each.
    weight : float
        w.

    Returns
    -------
    M : array of shape (k, k)
        Left side.
    terms : array of shape (n_seen, k)
        c F; their sum is the right side.
    """
    M = gramian + F.T @ (extra * F) + weight * np.eye(F.shape[1])
    return M, (1 + extra) * F


def solve_rows_plain(
    indptr: np.ndarray, codes: np.ndarray, data: np.ndarray, level: float,
    own: np.ndarray, other: np.ndarray, reg: float, weighted: bool, first: int,
    cg_steps: int,
) -> np.ndarray:  # fmt: skip
    """Solve every row of one side, as the formula says; one without ratings is 0.

    Parameters
    ----------
    indptr, codes, data : arrays of shape (m + 1,), (n_ratings,), (n_ratings,)
        Ratings of each row, as CSR: row u has ``codes[indptr[u]:indptr[u + 1]]``.
    level : float
        μ, or 0.
    own, other : arrays of shape (m, 1 + k), (n, 1 + k)
        Bias and factors of the rows to solve, changed in place, and of the other side.
    reg : float
        λ.
    weighted : bool
        w = λ n_u; else w = λ.
    first : int
        0 to solve for bias and factors, 1 for factors alone.
    cg_steps : int
        Steps of conjugate gradients; 0 to solve exactly.

    Returns
    -------
    int8 array of shape (m,)
        1 where M is singular or next to it; never with conjugate gradients.
    """
    failed = np.zeros(len(own), np.int8)
    for u in range(len(own)):
        rated = codes[indptr[u] : indptr[u + 1]]
        if len(rated) == 0:
            own[u] = 0.0
            continue
        A = other[rated, first:]
        if first == 0:
            A[:, 0] = 1.0
        y = data[indptr[u] : indptr[u + 1]] - level - other[rated, 0]
        weight = reg * len(rated) if weighted else reg
        M, b = A.T @ A + weight * np.eye(A.shape[1]), A.T @ y
        if cg_steps:
            own[u, first:] = steps_plain(M, b, own[u, first:], cg_steps)
        elif _singular(M):
            failed[u] = 1
        else:
            own[u, first:] = np.linalg.solve(M, b)
    return failed


def _singular(M: np.ndarray) -> bool:
    try:
        pivots = np.diag(np.linalg.cholesky(M)) ** 2
    except np.linalg.LinAlgError:
        return True
    return bool((pivots <= LEAST * np.diag(M)).any())


def steps_plain(M: np.ndarray, b: np.ndarray, x: np.ndarray, steps: int) -> np.ndarray:
    """Conjugate gradients from x, with M formed.

    Parameters
    ----------
    M : array of shape (d, d)
    b, x : arrays of shape (d,)
        Right side, and where to start.
    steps : int

    Returns
    -------
    array of shape (d,)
    """
    residual = b - M @ x
    direction, squares = residual, residual @ residual
    for _ in range(steps):
        if squares < 1e-30:  # solved: go on, and it would be 0 / 0
            break
        image = M @ direction
        step = squares / (direction @ image)
        x, residual = x + step * direction, residual - step * image
        before, squares = squares, residual @ residual
        direction = residual + squares / before * direction
    return x


# The flags of fastmath are those of sgd.py.
@kernel(parallel=True, fastmath={"reassoc", "contract"})
def solve_rows(  # type: ignore[no-untyped-def]
    indptr, codes, data, level, own, other, reg, weighted, first, cg_steps
):
    """The same as `solve_rows_plain`, compiled, on all threads: no row needs another.

    Parameters
    ----------
    indptr, codes, data, level, own, other, reg, weighted, first, cg_steps
        As there.

    Returns
    -------
    int8 array of shape (m,)
    """
    size = own.shape[1] - first
    failed = np.zeros(len(own), np.int8)
    for share in prange(SHARES):
        for u in range(share, len(own), SHARES):
            n_rated = indptr[u + 1] - indptr[u]
            if n_rated == 0:
                own[u] = 0.0
                continue
            A = np.empty((n_rated, size))
            y = np.empty(n_rated)
            for p in range(n_rated):
                i = codes[indptr[u] + p]
                y[p] = data[indptr[u] + p] - level - other[i, 0]
                A[p] = other[i, first:]
                if first == 0:
                    A[p, 0] = 1.0
            weight = reg * n_rated if weighted else reg
            x = own[u, first:]  # a view: the solution lands in own
            if cg_steps > 0:
                conjugate_gradients(A, y, weight, x, cg_steps)
            else:
                failed[u] = cholesky(A, y, weight, x)
    return failed


@kernel(fastmath={"reassoc", "contract"})
def cholesky(A, y, weight, x):  # type: ignore[no-untyped-def]
    """Solve M x = Aᵀ y, or the smaller system, by a factor L L ᵀ.

    Parameters
    ----------
    A : array of shape (n_rated, d)
    y : array of shape (n_rated,)
    weight : float
        w, of A's type.
    x : array of shape (d,)
        The solution is put here.

    Returns
    -------
    int
        1 where M is singular, or next to it; x is then unchanged.
    """
    n, d = A.shape
    small = n < d and weight > 0
    size = n if small else d
    L = np.zeros((size, size), A.dtype)  # lower triangle of M, then its factor
    b = np.zeros(size, A.dtype)  # the right side, then z, then the solution
    if small:
        for p in range(n):
            b[p] = y[p]
            for q in range(p + 1):
                L[p, q] = dot(A[p], A[q])
    else:
        for p in range(n):
            row = A[p]
            for f in range(d):
                b[f] += y[p] * row[f]
                for g in range(f + 1):
                    L[f, g] += row[f] * row[g]
    for f in range(size):
        L[f, f] += weight
    for f in range(size):  # L_fg = (M_fg − Σ_h L_fh L_gh) / L_gg; L_ff the root of that
        least = LEAST * L[f, f]
        for g in range(f):
            L[f, g] = (L[f, g] - dot(L[f, :g], L[g, :g])) / L[g, g]
        rest = L[f, f] - dot(L[f, :f], L[f, :f])
        if not rest > least:
            return 1
        L[f, f] = np.sqrt(rest)
    for f in range(size):  # L z = b
        b[f] = (b[f] - dot(L[f, :f], b[:f])) / L[f, f]
    for f in range(size - 1, -1, -1):  # Lᵀ x = z
        b[f] /= L[f, f]
        for g in range(f):
            b[g] -= L[f, g] * b[f]
    if small:
        x[:] = 0
        for p in range(n):
            for f in range(d):
                x[f] += b[p] * A[p, f]
    else:
        x[:] = b
    return 0


@kernel(fastmath={"reassoc", "contract"})
def conjugate_gradients(A, y, weight, x, steps):  # type: ignore[no-untyped-def]
    """Take steps towards the solution of M x = Aᵀ y, from x.

    Parameters
    ----------
    A : array of shape (n_rated, d)
    y : array of shape (n_rated,)
    weight : float
        w, of A's type.
    x : array of shape (d,)
        Where to start; changed in place.
    steps : int
        At most; d steps solve the system but for rounding.
    """
    n, d = A.shape
    residual = np.empty(d, A.dtype)  # Aᵀ y − M x
    image = np.empty(d, A.dtype)  # M · direction
    for f in range(d):
        residual[f] = -weight * x[f]
    for p in range(n):
        error = y[p] - dot(A[p], x)
        for f in range(d):
            residual[f] += error * A[p, f]
    direction = residual.copy()
    squares = dot(residual, residual)
    for _ in range(steps):
        if squares < 1e-30:  # solved: go on, and it would be 0 / 0
            break
        for f in range(d):
            image[f] = weight * direction[f]
        for p in range(n):
            along = dot(A[p], direction)
            for f in range(d):
                image[f] += along * A[p, f]
        step = squares / dot(direction, image)
        for f in range(d):
            x[f] += step * direction[f]
            residual[f] -= step * image[f]
        before, squares = squares, dot(residual, residual)
        turn = squares / before
        for f in range(d):
            direction[f] = residual[f] + turn * direction[f]


@kernel(fastmath={"reassoc", "contract"})
def dot(a, b):  # type: ignore[no-untyped-def]
    """a · b without BLAS, whose threads would get in the way.

    Parameters
    ----------
    a, b : arrays of shape (k,)

    Returns
    -------
    number of a's type
    """
    total = a.dtype.type(0)
    for f in range(len(a)):
        total += a[f] * b[f]
    return total
