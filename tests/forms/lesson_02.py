"""Lesson 02: the same answers, written in other ways."""

import math

import numpy as np


def share_kept__of_the_copy(R, k):
    P, sigma, Qt = np.linalg.svd(R, full_matrices=False)
    copy = sum(s * np.outer(p, q) for s, p, q in zip(sigma[:k], P.T, Qt, strict=False))
    return np.sum(copy * copy) / np.sum(R * R)


def share_kept__by_eigenvalues(R, k):
    squares = np.linalg.eigvalsh(R.T @ R)[::-1]
    return float(sum(squares[:k]) / np.trace(R.T @ R))


def share_kept__in_plain_python(R, k):
    """Turn two columns at a time until all are at right angles (Jacobi)."""
    columns = [list(map(float, column)) for column in zip(*R, strict=True)]
    for _ in range(40):
        for i in range(len(columns)):
            for j in range(i):
                x, y = columns[i], columns[j]
                xx, yy = sum(a * a for a in x), sum(b * b for b in y)
                xy = sum(a * b for a, b in zip(x, y, strict=True))
                turn = math.atan2(2 * xy, xx - yy) / 2
                c, s = math.cos(turn), math.sin(turn)
                pairs = list(zip(x, y, strict=True))
                columns[i] = [c * a + s * b for a, b in pairs]
                columns[j] = [c * b - s * a for a, b in pairs]
    squares = sorted((sum(a * a for a in x) for x in columns), reverse=True)
    return sum(squares[:k]) / sum(squares)


def factors(F, k, reg=0.0):
    P, sigma, Qt = np.linalg.svd(F, full_matrices=False)
    root = np.sqrt(np.maximum(sigma[:k] - reg, 0))
    return P[:, :k] * root, Qt[:k].T * root


def iterate(R, M, start, k, reg=0.0, n_epochs=60):
    Z = start
    steps = []
    for _ in range(n_epochs):
        U, V = factors(np.where(M, R, Z), k, reg)
        Z = U @ V.T
        penalty = reg * ((U**2).sum() + (V**2).sum()) / 2
        steps.append((Z, ((R - Z)[M] ** 2).sum() / 2 + penalty))
    return steps


def hard_impute__as_the_lesson(R, k=1, n_epochs=20):
    mean = np.nanmean(R, axis=0)
    if n_epochs == 0:
        return np.tile(mean, (len(R), 1))
    M = ~np.isnan(R)
    return mean + iterate(R - mean, M, np.zeros(R.shape), k, n_epochs=n_epochs)[-1][0]


def hard_impute__by_eigenvectors(R, k=1, n_epochs=20):
    mean = np.nansum(R, 0) / np.isfinite(R).sum(0)
    table = np.nan_to_num(R - mean)
    Z = table * 0
    holes = np.isnan(R)
    for _ in range(n_epochs):
        table[holes] = Z[holes]
        Q = np.linalg.eigh(np.einsum("ui,uj->ij", table, table))[1][:, -k:]
        Z = np.einsum("ui,if,jf->uj", table, Q, Q)
    return (Z + mean).tolist()


def hard_impute__a_cell_at_a_time(R, k, n_epochs):
    n_users, n_films = R.shape
    known = [[r == r for r in row] for row in R.tolist()]
    mean = [sum(r for r in film if r == r) / sum(film == film) for film in R.T]
    Z = [[0.0] * n_films for _ in range(n_users)]
    for _ in range(n_epochs):
        filled = [
            [R[u, i] - mean[i] if known[u][i] else Z[u][i] for i in range(n_films)]
            for u in range(n_users)
        ]
        P, sigma, Qt = np.linalg.svd(np.array(filled))
        for u in range(n_users):
            for i in range(n_films):
                Z[u][i] = sum(P[u, f] * sigma[f] * Qt[f, i] for f in range(k))
    return [[z + b for z, b in zip(row, mean, strict=True)] for row in Z]
