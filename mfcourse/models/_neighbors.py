"""The loops of ``knn``: one row's similarity to all, and sums over the best of them.

Both engines read three CSR tables, each (indptr, indices, data): A holds the values of
the rows asked for, C the values by column, L by column what neighbours say. ``kind`` is
the number of the similarity (cosine, pearson, msd, binary cosine), its min_support and
shrinkage, and the number of ratings of each row. Similarities are rounded to 12
decimals, so that what is equal on paper ties in both engines.
"""

from __future__ import annotations

import numpy as np

from mfcourse.models._compiled import kernel, prange

Csr = tuple[np.ndarray, np.ndarray, np.ndarray]  # indptr, indices, data
Kind = tuple[int, int, float, np.ndarray]


# ---- Plain: the formula, on dense arrays where NaN is a hole -------------------------


def similarity_plain(A: Csr, C: Csr, a: int, kind: Kind) -> np.ndarray:
    """Similarity of row a of A to each row, shape (n_rows,): the formula, row by row.

    Parameters
    ----------
    A, C : Csr
        Values of the rows asked for, and by column.
    a : int
    kind : Kind

    Returns
    -------
    array of shape (n_rows,)
    """
    number, min_support, shrinkage, size = kind
    R = np.full((len(size), len(C[0]) - 1), np.nan)  # (n_rows, n_columns)
    R[C[1], np.repeat(np.arange(R.shape[1]), np.diff(C[0]))] = C[2]
    row_a = np.full(R.shape[1], np.nan)
    row_a[A[1][A[0][a] : A[0][a + 1]]] = A[2][A[0][a] : A[0][a + 1]]
    s = np.zeros(len(R))
    for b, row_b in enumerate(R):
        shared = ~np.isnan(row_a) & ~np.isnan(row_b)
        x, y, n = row_a[shared], row_b[shared], shared.sum()
        if n < min_support:
            continue
        if number == 2:
            s[b] = 1 / (1 + ((x - y) ** 2).mean())
        elif number == 3:
            s[b] = n / np.sqrt((~np.isnan(row_a)).sum() * size[b])
        else:
            xx, yy = (x**2).sum(), (y**2).sum()
            if number == 1:
                x, y = x - x.mean(), y - y.mean()
            if (x**2).sum() > 1e-12 * xx and (y**2).sum() > 1e-12 * yy:
                s[b] = (x * y).sum() / np.sqrt((x**2).sum() * (y**2).sum())
        s[b] *= n / (n + shrinkage)
    return np.round(s, 12)


def predict_plain(
    A: Csr, C: Csr, L: Csr, target: np.ndarray, group: np.ndarray, column: np.ndarray,
    kind: Kind, n_neighbors: int, own: bool,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Σ s·rest and Σ s over each pair's neighbours, one by one.

    Parameters
    ----------
    A, C, L : Csr
    target : int array
        Rows of A that are asked for.
    group : int array of length len(target) + 1
        Pairs group[g] … group[g + 1] − 1 belong to row target[g].
    column : int array of shape (n_pairs,)
        Column of L of each pair.
    kind : Kind
    n_neighbors : int
    own : bool
        Row target[g] is one of the rows that speak: leave it out.

    Returns
    -------
    total, weight : arrays of shape (n_pairs,)
    """
    total, weight = np.zeros(len(column)), np.zeros(len(column))
    for g, a in enumerate(target):
        s = similarity_plain(A, C, a, kind)
        if own:
            s[a] = 0.0
        for p in range(group[g], group[g + 1]):
            at = slice(L[0][column[p]], L[0][column[p] + 1])
            rows, rest = L[1][at], L[2][at]
            best = np.argsort(-s[rows], kind="stable")[:n_neighbors]
            best = best[s[rows[best]] > 0]
            total[p] = s[rows[best]] @ rest[best]
            weight[p] = s[rows[best]].sum()
    return total, weight


# ---- Fast: one pass over the ratings in shared columns -------------------------------


@kernel
def similarity(A: Csr, C: Csr, a: int, kind: Kind) -> np.ndarray:
    """Similarity of row a of A to each row, shape (n_rows,): the compiled twin.

    Parameters
    ----------
    A, C : Csr
        Values of the rows asked for, and by column.
    a : int
    kind : Kind

    Returns
    -------
    array of shape (n_rows,)
    """
    number, min_support, shrinkage, size = kind
    sums = np.zeros((len(size), 6))  # per row b: |Ω_ab|, Σx, Σy, Σx², Σy², Σxy
    for p in range(A[0][a], A[0][a + 1]):
        x, c = A[2][p], A[1][p]
        for q in range(C[0][c], C[0][c + 1]):
            y, b = C[2][q], C[1][q]
            sums[b, 0] += 1
            sums[b, 1] += x
            sums[b, 2] += y
            sums[b, 3] += x * x
            sums[b, 4] += y * y
            sums[b, 5] += x * y
    s = np.zeros(len(size))
    for b in range(len(size)):
        n, x, y, xx, yy, xy = sums[b]
        if n < min_support:
            continue
        if number == 2:
            s[b] = 1 / (1 + max(xx + yy - 2 * xy, 0.0) / n)
        elif number == 3:
            s[b] = n / np.sqrt((A[0][a + 1] - A[0][a]) * size[b])
        else:
            xx_least, yy_least = 1e-12 * xx, 1e-12 * yy
            if number == 1:
                xx, yy, xy = xx - x * x / n, yy - y * y / n, xy - x * y / n
            if xx > xx_least and yy > yy_least:
                s[b] = xy / np.sqrt(xx * yy)
        s[b] = np.rint(1e12 * (s[b] * (n / (n + shrinkage)))) / 1e12
    return s


@kernel
def _neighbors(s: np.ndarray, rows: np.ndarray, rest: np.ndarray, k: int) -> tuple:
    """Σ s·rest and Σ s over the k most similar of these rows with s > 0."""
    all_fit, k, size = len(rows) <= k, min(k, len(rows)), 0
    best, left = np.zeros(k), np.zeros(k)  # s and rest of the best so far, in order
    for j in range(len(rows)):
        similar = s[rows[j]]
        if similar > best[k - 1]:
            i = min(size, k - 1)  # the place of the last one, which drops out
            size = i + 1
            while not all_fit and i > 0 and best[i - 1] < similar:  # ties: first stays
                best[i], left[i] = best[i - 1], left[i - 1]
                i -= 1
            best[i], left[i] = similar, rest[j]
    total = weight = 0.0
    for i in range(size):
        total += best[i] * left[i]
        weight += best[i]
    return total, weight


@kernel(parallel=True)
def predict(
    A: Csr, C: Csr, L: Csr, target: np.ndarray, group: np.ndarray, column: np.ndarray,
    kind: Kind, n_neighbors: int, own: bool,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Σ s·rest and Σ s over each pair's neighbours, rows in parallel.

    Parameters
    ----------
    A, C, L : Csr
    target : int array
        Rows of A that are asked for.
    group : int array of length len(target) + 1
        Pairs group[g] … group[g + 1] − 1 belong to row target[g].
    column : int array of shape (n_pairs,)
        Column of L of each pair.
    kind : Kind
    n_neighbors : int
    own : bool
        Row target[g] is one of the rows that speak: leave it out.

    Returns
    -------
    total, weight : arrays of shape (n_pairs,)
    """
    total, weight = np.zeros(len(column)), np.zeros(len(column))
    for g in prange(len(target)):
        s = similarity(A, C, target[g], kind)
        if own:
            s[target[g]] = 0.0
        for p in range(group[g], group[g + 1]):
            first, last = L[0][column[p]], L[0][column[p] + 1]
            total[p], weight[p] = _neighbors(
                s, L[1][first:last], L[2][first:last], n_neighbors
            )
    return total, weight
