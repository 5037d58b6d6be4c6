"""Lesson 01: the same answers, written in other ways."""

import math

import numpy as np


def msd_similarity__looped(x, y):
    squares = [
        (a - b) ** 2
        for a, b in zip(x, y, strict=True)
        if not math.isnan(a) and not math.isnan(b)
    ]
    return 1 / (1 + sum(squares) / len(squares)) if squares else 0


def msd_similarity__nan_of_the_difference(x, y):
    d = np.square(np.subtract(x, y))
    return 0 if np.isnan(d).all() else 1 / (1 + np.nanmean(d))


def all_cosines(C):
    M = (~np.isnan(C)).astype(float)
    X = np.nan_to_num(C)
    squares = X**2 @ M.T
    bottom = np.sqrt(squares * squares.T)
    return np.divide(X @ X.T, bottom, out=np.zeros_like(bottom), where=bottom > 1e-9)


def predict_from_films__as_the_lesson(R, u, i, n_neighbors=2):
    mean = np.nanmean(R, axis=0)
    C = (R - mean).T
    s = all_cosines(C)[i]
    may_speak = ~np.isnan(C[:, u]) & (s > 0)
    may_speak[i] = False
    who = np.flatnonzero(may_speak)
    who = who[np.argsort(-s[who], kind="stable")][:n_neighbors]
    if len(who) == 0:
        return mean[i]
    return mean[i] + s[who] @ C[who, u] / s[who].sum()


def predict_from_films__in_plain_python(R, u, i, n_neighbors=2):
    R = np.asarray(R).tolist()
    known = [[r for r in film if r == r] for film in zip(*R, strict=True)]
    mean = [sum(film) / len(film) for film in known]
    opinions = []
    for j in range(len(mean)):
        if j == i or R[u][j] != R[u][j]:
            continue
        pairs = [(row[i] - mean[i], row[j] - mean[j]) for row in R]
        pairs = [(x, y) for x, y in pairs if x == x and y == y]
        bottom = sum(x * x for x, _ in pairs) * sum(y * y for _, y in pairs)
        if bottom > 1e-18:
            s = sum(x * y for x, y in pairs) / bottom**0.5
            opinions.append((s, R[u][j] - mean[j]))
    best = sorted([o for o in opinions if o[0] > 0], reverse=True)[:n_neighbors]
    total = sum(s for s, _ in best)
    return mean[i] + (sum(s * x for s, x in best) / total if best else 0)
