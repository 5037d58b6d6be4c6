"""Lesson 04: the same answers, written in other ways."""

import numpy as np


def row_with_bias__least_squares_with_further_rows(F, y, w):
    n, k = np.shape(F)
    A = np.hstack([np.ones((n, 1)), F])
    A = np.vstack([A, np.sqrt(w) * np.eye(k + 1)])
    b, *row = np.linalg.lstsq(A, np.append(y, np.zeros(k + 1)), rcond=None)[0]
    return b, row


def row_with_bias__the_bias_eliminated(F, y, w):
    n, k = F.shape
    sums = F.sum(axis=0)
    inner = F.T @ F + w * np.eye(k) - np.outer(sums, sums) / (n + w)
    row = np.linalg.inv(inner).dot(F.T @ y - sums * y.sum() / (n + w))
    return [float((y - F @ row).sum() / (n + w)), row.tolist()]


def row_with_bias__in_plain_python(F, y, w):
    rows = [[1.0, *map(float, f)] for f in F]
    size = range(len(rows[0]))
    S = [[sum(a[p] * a[q] for a in rows) + w * (p == q) for q in size] for p in size]
    t = [sum(a[p] * r for a, r in zip(rows, y, strict=True)) for p in size]
    for p in size:  # Gauss-Jordan; S is positive definite, so no pivot is 0
        S[p], t[p] = [s / S[p][p] for s in S[p]], t[p] / S[p][p]
        for q in size:
            if q != p:
                factor = S[q][p]
                S[q] = [a - factor * b for a, b in zip(S[q], S[p], strict=True)]
                t[q] -= factor * t[p]
    return t[0], t[1:]


def small_als__all_rows_at_once(Y, U, reg, n_epochs):
    known = (~np.isnan(Y)).astype(float)
    Z = np.nan_to_num(Y)
    penalty = reg * np.eye(U.shape[1])
    for _ in range(n_epochs):
        systems = np.einsum("ui,uk,ul->ikl", known, U, U) + penalty
        V = np.linalg.solve(systems, (Z.T @ U)[..., None])[..., 0]
        systems = np.einsum("ui,ik,il->ukl", known, V, V) + penalty
        U = np.linalg.solve(systems, (Z @ V)[..., None])[..., 0]
    return U, V


def small_als__two_loops_in_place(Y, U, reg, n_epochs):
    (m, n), k = Y.shape, U.shape[1]
    U, V = U.copy(), np.zeros((n, k))
    users = [np.flatnonzero(np.isfinite(Y[:, i])) for i in range(n)]
    items = [np.flatnonzero(np.isfinite(Y[u])) for u in range(m)]
    for _ in range(n_epochs):
        for i in range(n):
            A = U[users[i]]
            V[i] = np.linalg.inv(A.T @ A + np.diag([reg] * k)) @ A.T @ Y[users[i], i]
        for u in range(m):
            A = V[items[u]]
            U[u] = np.linalg.inv(A.T @ A + np.diag([reg] * k)) @ A.T @ Y[u, items[u]]
    return U.tolist(), V.tolist()


def small_als__least_squares_with_further_rows(Y, U, reg, n_epochs):
    k = U.shape[1]
    below = np.sqrt(reg) * np.eye(k)

    def solve(stars, other):
        seen = [n for n, r in enumerate(stars) if r == r]
        A, y = np.vstack([other[seen], below]), [*stars[seen], *[0.0] * k]
        return np.linalg.lstsq(A, y, rcond=None)[0]

    for _ in range(n_epochs):
        V = np.array([solve(column, U) for column in Y.T])
        U = np.array([solve(row, V) for row in Y])
    return [U, V]
