"""PS1: right solutions, written in other ways, all for variants that no class gets."""

import math

import numpy as np


def rmse__masked(R, prediction):
    known = np.isfinite(R)
    d = R[known] - np.minimum(np.maximum(prediction[known], 1), 5)
    return np.linalg.norm(d) / math.sqrt(len(d))


def rmse__looped(prediction, R):
    errors = []  # of people
    for said, stars in zip(prediction, R, strict=True):
        pairs = [(min(max(p, 0.5), 5), r) for p, r in zip(said, stars, strict=True)]
        squares = [(p - r) ** 2 for p, r in pairs if not math.isnan(r)]
        if squares:
            errors.append(sum(squares) / len(squares))
    return (sum(errors) / len(errors)) ** 0.5


def rmse__nanmean(prediction, R):
    rated = ~np.isnan(R).all(axis=1)
    squares = (R[rated] - prediction[rated].clip(0.5, 5)) ** 2
    return float(np.sqrt(np.mean(np.nanmean(squares, axis=1))))


def recall_at_n__with_lexsort(score, seen, liked, n):
    shares = []
    for s, gone, good in zip(score, seen, liked, strict=True):
        left = np.flatnonzero(~gone)
        best = left[np.lexsort((left, -s[left]))][:n]
        if good[left].any():
            shares.append(good[best].sum() / good[left].sum())
    return np.mean(shares)


def recall_at_n__in_plain_python(score, seen, liked, n):
    total = 0
    for u in range(len(score)):
        left = [i for i in range(len(score[u])) if not seen[u][i]]
        left.sort(key=lambda i, u=u: (score[u][i], i), reverse=True)
        to_find = sum(bool(liked[u][i]) for i in left)
        hits = sum(bool(liked[u][i]) for i in left[:n])
        total += hits / min(n, to_find) if to_find else 0
    return total / len(score)


def shrunk_cosine__normalized(x, y, shrinkage):
    x, y = x - np.nanmean(x), y - np.nanmean(y)
    pairs = np.array([(a, b) for a, b in zip(x, y, strict=True) if a + b == a + b])
    if len(pairs) < 3 or not np.linalg.norm(pairs, axis=0).all():
        return 0
    a, b = (pairs / np.linalg.norm(pairs, axis=0)).T
    return np.dot(a, b) / (1 + shrinkage / len(pairs))


def shrunk_cosine__looped(x, y, shrinkage):
    dot = xx = yy = n = 0
    for a, b in zip(x, y, strict=True):
        if not math.isnan(a):
            xx += (a - 3) ** 2
        if not math.isnan(b):
            yy += (b - 3) ** 2
        if not math.isnan(a) and not math.isnan(b):
            n += 1
            dot += (a - 3) * (b - 3)
    if n < 3 or xx == 0 or yy == 0:
        return 0.0
    return dot / math.sqrt(xx) / math.sqrt(yy) / (1 + shrinkage / (n - 1))


def shrunk_cosine__filled_with_the_middle(x, y, shrinkage):
    a, b = np.nan_to_num(x, nan=3) - 3, np.nan_to_num(y, nan=3) - 3
    n = np.count_nonzero(~np.isnan(x * y)) - 1
    length = np.linalg.norm(a) * np.linalg.norm(b)
    return a @ b / length * n / (n + shrinkage) if n > 1 and length > 0 else 0


def masked_objective__a_rating_at_a_time(R, U, V, reg_u, reg_v):
    total = 0
    for u, i in np.argwhere(~np.isnan(R)):
        total += (R[u, i] - U[u] @ V[i]) ** 2
        total += reg_u * U[u] @ U[u] + reg_v * V[i] @ V[i]
    return total


def masked_objective__with_norms(U, V, R, reg_u, reg_v):
    fit = np.nansum(np.square(R - np.einsum("uk,ik->ui", U, V))) / 2
    return fit + reg_u * np.linalg.norm(U) ** 2 + reg_v * np.linalg.norm(V) ** 2


def sgd_step__a_number_at_a_time(U_u, V_i, b_i, r, lr, reg):
    pairs = list(zip(U_u, V_i, strict=True))
    e = r - b_i - sum(a * b for a, b in pairs)
    new_U = [(1 - lr * reg) * a + lr * e * b for a, b in pairs]
    new_V = [(1 - lr * reg) * b + lr * e * a for a, b in pairs]
    return [e, new_U, new_V, b_i + lr * e]


def sgd_step__down_the_gradient(U_u, V_i, b_i, r, lr, reg):
    e = b_i + np.dot(U_u, V_i) - r
    U_u = U_u - lr * (2 * e * V_i + 2 * reg * U_u)
    V_i = V_i - lr * (2 * e * U_u + 2 * reg * V_i)
    return e, U_u, V_i, b_i - 2 * lr * e


CHOSEN = {
    "rmse__masked": {"average": "cells", "scale": "from 1", "order": "ratings"},
    "rmse__looped": {
        "average": "people, root last",
        "scale": "from 0.5",
        "order": "prediction",
    },
    "rmse__nanmean": {
        "average": "people, root last",
        "scale": "from 0.5",
        "order": "prediction",
    },
    "recall_at_n__with_lexsort": {
        "denominator": "all",
        "ties": "lower",
        "nothing": "left out",
    },
    "recall_at_n__in_plain_python": {
        "denominator": "min",
        "ties": "higher",
        "nothing": "zero",
    },
    "shrunk_cosine__normalized": {
        "shrinkage": "ratio",
        "centre": "own mean",
        "lengths": "common",
    },
    "shrunk_cosine__looped": {
        "shrinkage": "less one",
        "centre": "middle",
        "lengths": "own",
    },
    "shrunk_cosine__filled_with_the_middle": {
        "shrinkage": "less one",
        "centre": "middle",
        "lengths": "own",
    },
    "masked_objective__a_rating_at_a_time": {
        "fit": "sum",
        "penalty": "counts",
        "order": "ratings",
    },
    "masked_objective__with_norms": {
        "fit": "half",
        "penalty": "plain",
        "order": "factors",
    },
    "sgd_step__a_number_at_a_time": {
        "step": "half",
        "turn": "together",
        "sign": "rating first",
    },
    "sgd_step__down_the_gradient": {
        "step": "whole",
        "turn": "in turn",
        "sign": "prediction first",
    },
}
